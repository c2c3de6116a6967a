"""Whose weights answer: the sides of a comparison, by the words that people type for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.run.checkpoints import ADAPTER_CONFIG, step_of
from workbench.run.directory import RunDirectory, find_run
from workbench.run.record import RunRecord, read_record
from workbench.run.trust import refuse_imported

BASE = "base"
TUNED = "tuned"
START = "start"
FULL_MODEL_FILES = ("model.safetensors", "model.safetensors.index.json")
MOST_SIDES = 3
HINT = "A side is base, tuned, sft, dpo, dpo:8 (a checkpoint), start, or RUN@dpo of another run."


@dataclass(frozen=True)
class Side:
    """Weights that can answer.

    Attributes:
        spec: What was asked for: `base`, `tuned`, a stage, `STAGE:STEP`, `start`, or `RUN@` and
            one of these.
        label: The same for people.
        run, stage: The run and the stage that have trained the weights; empty for the base.
        step: Of a checkpoint; 0 for final weights.
        folder: The adapter or the whole model; None for the base.
    """

    spec: str
    label: str
    run: str = ""
    stage: str = ""
    step: int = 0
    folder: Path | None = None


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds a PEFT adapter."""
    return (folder / ADAPTER_CONFIG).is_file()


def is_full_model(folder: Path) -> bool:
    """Whether a folder holds whole weights."""
    return any((folder / name).is_file() for name in FULL_MODEL_FILES)


def find_side(run: RunDirectory, spec: str) -> Side:
    """The weights that a text names.

    Args:
        run: whose sides are meant where the text names no run; of another run (`RUN@PLACE`) the
            whole id, and its base model must be the same.

    Raises:
        ProblemError: there are no such weights, with a list of those that there are.
    """
    name, at, place = spec.partition("@")
    if not at:
        return _side_of(run, spec)
    other = run.path.parent / name
    if Path(name).name != name or not (other / "run.json").is_file():
        what = f"there is no run {name}"
        raise ProblemError(Problem(what, spec, "List them: dpo-workbench runs."), exit_code=2)
    found = RunDirectory(other)
    _check_base(run, found)
    side = _side_of(found, place or TUNED)
    if side.folder is None:
        return side
    record = read_record(found)
    return dataclasses.replace(side, spec=spec, label=f"{record.name or name} {side.label}")


def list_sides(run: RunDirectory) -> list[Side]:
    """Every side that a run has by itself: base, start, then checkpoints and stages by age."""
    record = read_record(run)
    sides = [Side(BASE, BASE)]
    if start := _start(run, record):
        sides.append(start)
    for stage in record.stages:
        steps = run.checkpoints(stage)
        sides += [_checkpoint(run, stage, step_of(folder), folder) for folder in steps]
        if final := _final(run, record, stage):
            sides.append(final)
    return sides


def parse_sides(paths: Paths, run: RunDirectory, texts: Sequence[str]) -> list[Side]:
    """Two or three sides as somebody types them; a run may be named by a prefix or its name.

    Raises:
        ProblemError: there are no such weights, or too few or too many of them (exit code 2).
    """
    sides: list[Side] = []
    for text in texts:
        name, at, place = text.strip().partition("@")
        spec = f"{find_run(paths, name).id}@{place}" if at else name
        sides.append(find_side(run, spec))
    if not 2 <= len({side.spec for side in sides}) == len(sides) <= MOST_SIDES:
        what = "a comparison has two or three different sides"
        raise ProblemError(Problem(what, ",".join(texts), HINT), exit_code=2)
    return sides


def tuned_sides(run: RunDirectory) -> dict[str, Side]:
    """The newest weights of each stage that has any: final ones, else the newest checkpoint."""
    record = read_record(run)
    found = {stage: _newest(run, record, stage) for stage in record.stages}
    return {stage: side for stage, side in found.items() if side is not None}


def _side_of(run: RunDirectory, spec: str) -> Side:
    record = read_record(run)
    refuse_imported(run, record)
    if spec == BASE:
        return Side(BASE, BASE)
    found: Side | None = None
    if spec == START:
        found = _start(run, record)
    elif spec == TUNED:
        newest = list(tuned_sides(run).values())
        found = _as_tuned(newest[-1]) if newest else None
    elif spec in record.stages:
        found = _newest(run, record, spec)
    else:
        stage, _, step = spec.partition(":")
        if stage in record.stages and step.isdecimal():
            folders = {step_of(folder): folder for folder in run.checkpoints(stage)}
            if int(step) in folders:
                found = _checkpoint(run, stage, int(step), folders[int(step)])
    if found is None:
        known = ", ".join(side.spec for side in list_sides(run))
        hint = f"Sides of this run: {known}. Train it, or wait for its first checkpoint."
        raise ProblemError(Problem(f"the run has no weights for {spec}", run.id, hint), exit_code=2)
    return found


def _as_tuned(side: Side) -> Side:
    return dataclasses.replace(side, spec=TUNED, label=f"{TUNED} ({side.label})")


def _newest(run: RunDirectory, record: RunRecord, stage: str) -> Side | None:
    if final := _final(run, record, stage):
        return final
    checkpoints = run.checkpoints(stage)
    if not checkpoints:
        return None
    newest = _checkpoint(run, stage, step_of(checkpoints[-1]), checkpoints[-1])
    return dataclasses.replace(newest, spec=stage)


def _final(run: RunDirectory, record: RunRecord, stage: str) -> Side | None:
    folder = run.output(stage)
    if stage in record.results and (is_adapter(folder) or is_full_model(folder)):
        return Side(stage, stage, run.id, stage, 0, folder)
    return None


def _checkpoint(run: RunDirectory, stage: str, step: int, folder: Path) -> Side:
    return Side(f"{stage}:{step}", f"{stage} step {step}", run.id, stage, step, folder)


def _start(run: RunDirectory, record: RunRecord) -> Side | None:
    folder = Path(record.start_adapter) if record.start_adapter else None
    if folder is None or not is_adapter(folder):
        return None
    return Side(START, START, run.id, record.parent_stage, record.parent_step, folder)


def _check_base(run: RunDirectory, other: RunDirectory) -> None:
    here, there = read_record(run), read_record(other)
    if here.model_path == there.model_path or (
        here.model_source and here.model_source == there.model_source
    ):
        return
    what = f"run {other.id} was trained on another base model, {there.model_source}"
    hint = f"Compare runs of one base model; this one's is {here.model_source}."
    raise ProblemError(Problem(what, run.id, hint), exit_code=2)
