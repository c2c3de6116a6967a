"""Base beside tuned when the weights vanish, do not fit, or generating fails half way.

One real answering process on a tiny model serves all tests; nothing is trained.
"""

from __future__ import annotations

import queue
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checkpoint_files import write_checkpoint
from tiny_model import make_tiny_model, write_tiny_recipe

from workbench.base.paths import Paths
from workbench.cli import main
from workbench.judge.answers import AnswerProcess, Sampling
from workbench.recipe.recipe import load_recipe
from workbench.run.checkpoints import write_manifest
from workbench.run.directory import RunDirectory, create_run
from workbench.run.record import update_record

pytestmark = pytest.mark.model

WAIT_SECONDS = 120.0
SAMPLING = Sampling(max_new_tokens=12)
TEA = [{"role": "user", "content": "What is tea?"}]
# The real process, whose decoder raises in the middle of an answer where RUN/raise is there.
FRAGILE = """\
import sys
from pathlib import Path
from workbench.worker import answerer, generate

class Fragile(answerer.Decoder):
    count = 0
    def step(self):
        self.count += 1
        mark = Path(sys.argv[1], "raise")
        if self.count == 4 and mark.exists():
            mark.unlink()
            raise RuntimeError("the decoder broke")
        super().step()

answerer.Decoder = Fragile
raise SystemExit(generate.main())
"""


class Panes:
    """A client of the answering process, as the compare screen is one."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        command = [sys.executable, "-c", FRAGILE, str(run.path)]
        self.process = AnswerProcess(run, self.events.put, command=command)

    def ask(self, messages: Any = TEA, sides: tuple[str, ...] = ("base", "tuned")) -> Any:
        """The texts by side, or the error event; and whether the models were loaded for it."""
        number = self.process.generate(messages, SAMPLING, sides)
        texts, self.loaded = {}, False
        while True:
            event = self.events.get(timeout=WAIT_SECONDS)
            self.loaded = self.loaded or event["event"] == "ready"
            if event["event"] == "answer" and event["id"] == number:
                texts[event["side"]] = event["text"]
            if event["event"] == "error":
                assert event["id"] == number
                assert event["next_step"]
                assert "Traceback" not in event["what"]
                return event
            if event["event"] == "done":
                return texts


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """No model hub is asked, and threads that wait leave the cores to others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("GOMP_SPINCOUNT", "5000")
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A finished run whose adapter says other things than its base."""
    root = tmp_path_factory.mktemp("compare")
    model = make_tiny_model(root / "tiny")
    recipe = write_tiny_recipe(root / "tiny.yaml", model, stages=("dpo",))
    made = create_run(
        Paths.from_environment({"DPO_WORKBENCH_HOME": str(root)}), load_recipe(recipe)
    )
    write_lora(model, made.output("dpo"))
    update_record(made, state="finished", results={"dpo": {}})
    return made


def write_lora(model: Path, folder: Path) -> None:
    """An adapter with random weights, strong enough to change each answer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    settings = LoraConfig(
        r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"], init_lora_weights=False
    )
    base = AutoModelForCausalLM.from_pretrained(model)
    get_peft_model(base, settings).save_pretrained(folder)


@pytest.fixture(scope="module")
def panes(run: RunDirectory) -> Iterator[Panes]:
    client = Panes(run)
    yield client
    client.process.close()


@pytest.fixture(scope="module")
def right(panes: Panes) -> dict[str, str]:
    """What both sides answer where nothing is wrong."""
    texts = panes.ask()
    assert set(texts) == {"base", "tuned"}
    assert texts["base"] != texts["tuned"]
    return dict(texts)


@pytest.fixture
def put_back(run: RunDirectory, panes: Panes, right: dict[str, str]) -> Iterator[None]:
    """The run's adapter and state are as they were after the test, and both sides answer."""
    kept = run.path.parent / "kept"
    shutil.copytree(run.output("dpo"), kept)
    yield
    shutil.rmtree(run.output("dpo"))
    kept.rename(run.output("dpo"))
    update_record(run, state="finished", results={"dpo": {}})
    assert panes.ask() == right


@pytest.mark.usefixtures("put_back")
def test_an_adapter_that_is_deleted_meanwhile(
    panes: Panes, run: RunDirectory, right: dict[str, str]
) -> None:
    """Row 55."""
    shutil.rmtree(run.output("dpo"))
    run.output("dpo").mkdir()
    error = panes.ask()
    assert error["what"] == "the run has no weights for tuned"
    assert "Sides of this run: base. Train it" in error["next_step"]
    assert panes.ask(sides=("base",)) == {"base": right["base"]}


@pytest.mark.usefixtures("put_back")
def test_a_stopped_run_answers_from_its_checkpoint(
    panes: Panes, run: RunDirectory, right: dict[str, str]
) -> None:
    """Row 55: a checkpoint that is damaged counts as none."""
    output = run.output("dpo")
    checkpoint = write_checkpoint(output, 2, manifest=False)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (output / name).replace(checkpoint / name)
    (checkpoint / "tokenizer_config.json").unlink()
    write_manifest(checkpoint, {"run": run.id, "stage": "dpo", "step": 2})
    update_record(run, state="stopped", results={})
    assert panes.ask() == right
    assert panes.loaded
    weights = checkpoint / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    assert panes.ask()["what"] == "the run has no weights for tuned"
    assert panes.ask(sides=("base",)) == {"base": right["base"]}


@pytest.mark.usefixtures("put_back")
@pytest.mark.parametrize(
    ("damage", "what", "next_step"),
    [
        ("other base", "was trained on another base model than", "Put the run's own adapter"),
        ("no weights", "has no adapter_model.safetensors", "Train the adapter anew"),
        ("half weights", "damaged", ""),
    ],
)
def test_an_adapter_that_does_not_load(
    panes: Panes,
    run: RunDirectory,
    right: dict[str, str],
    damage: str,
    what: str,
    next_step: str,
    tmp_path: Path,
) -> None:
    """Row 55."""
    output = run.output("dpo")
    weights = output / "adapter_model.safetensors"
    if damage == "other base":
        write_lora(make_wider_model(tmp_path / "wide"), output)
    elif damage == "no weights":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:-400])
    error = panes.ask()
    assert what in error["what"]
    assert next_step in error["next_step"]
    assert panes.ask()["what"] == error["what"]
    assert panes.ask(sides=("base",)) == {"base": right["base"]}
    assert panes.process.alive


def make_wider_model(folder: Path) -> Path:
    """A model of another hidden size, without a tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=384,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("sides", [("base", "tuned"), ("tuned",)])
def test_an_error_in_the_middle_of_an_answer(
    panes: Panes, run: RunDirectory, right: dict[str, str], sides: tuple[str, ...]
) -> None:
    """Row 56."""
    (run.path / "raise").touch()
    error = panes.ask(sides=sides)
    assert error["what"] == "RuntimeError: the decoder broke"
    assert error["next_step"] == "The full report stands at the end of generate.log."
    assert "in step" in run.generate_log.read_text()
    assert panes.ask() == right
    assert panes.loaded
    assert panes.ask(sides=("base",)) == {"base": right["base"]}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("tea " * 2000, "tokens, the model reads 512"),
        ("", ""),
        ("\ud800", ""),
        ("\x00 \x1b[2J", ""),
    ],
    ids=["too long", "empty", "lone surrogate", "controls"],
)
def test_odd_prompts(panes: Panes, right: dict[str, str], content: str, what: str) -> None:
    """Row 57: the next prompt is answered as ever, without loading anew."""
    got = panes.ask([{"role": "user", "content": content}])
    if what:
        assert what in got["what"]
        assert got["next_step"] == "Correct the request and ask again."
    else:
        assert set(got) == {"base", "tuned"}
    assert panes.ask() == right
    assert not panes.loaded


@pytest.mark.parametrize("prompt", ["", " \t "])
def test_the_command_without_a_prompt(
    run: RunDirectory,
    prompt: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Row 57."""
    monkeypatch.setenv("DPO_WORKBENCH_HOME", str(run.path.parent.parent))
    assert main(["compare", run.id, "--prompt", prompt]) == 2
    assert "there is no prompt to answer. Give one" in capsys.readouterr().err
    assert not run.comparisons.exists()
