"""What a stage has logged since it began or was resumed, and how long its steps took."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.base.files import amount, is_number
from workbench.run.metrics import MetricsReader, is_step
from workbench.run.record import RunRecord
from workbench.run.stage_totals import TIME_NAMES

OUTLIER_WINDOWS = 5
OUTLIER_FACTOR = 20.0
"""A step so many times slower than the median was no step: the machine slept, or was stopped."""


@dataclass(frozen=True)
class Attempt:
    """A stage since its beginning, or since it was resumed.

    Attributes:
        began, first_step: When, and behind which step; 0 where it is not known.
        rows: Its last log records, of training and of evaluations.
        saves: `(time, step)` of its last checkpoints.
        earlier: The last log records of the attempts before it.
    """

    began: float
    first_step: int
    rows: tuple[dict[str, Any], ...]
    saves: tuple[tuple[float, int], ...]
    earlier: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, record: RunRecord, reader: MetricsReader) -> Attempt:
        """The present one of the stage that trains."""
        began, first_step = 0.0, 0
        saves: list[tuple[float, int]] = []
        for event in reader.events:
            when, step = amount(event, "time"), event.get("step")
            if event.get("stage") != record.stage or not when:
                continue
            if event["event"] in ("stage", "resume"):
                began, first_step = when, step if is_step(step) else 0
                saves = []
            elif event["event"] == "checkpoint" and is_step(step):
                saves.append((when, step))
        mine = [
            row
            for row in reader.recent
            if row["stage"] == record.stage and is_number(row.get("time"))
        ]
        rows = tuple(row for row in mine if row["time"] >= began)
        earlier = tuple(row for row in mine if row["time"] < began)
        return cls(began, first_step, rows, tuple(saves), earlier)


def last_place(attempt: Attempt) -> tuple[float, int, bool, bool] | None:
    """When a step's end was heard of last, which, and whether it is evaluated and saved."""
    places = [(attempt.began, attempt.first_step, True, True)] if attempt.began else []
    if attempt.rows:
        row = attempt.rows[-1]
        places.append((float(row["time"]), row["step"], not is_training(row), False))
    if attempt.saves:
        places.append((*attempt.saves[-1], True, True))
    return max(places, default=None)


def is_training(row: dict[str, Any]) -> bool:
    """Whether a log record is of training steps, not of an evaluation or of the stage's end."""
    return "loss" in row or "learning_rate" in row


def windows(rows: Iterable[dict[str, Any]]) -> list[tuple[int, float]]:
    """Steps and net seconds between one training record and the next one."""
    found = []
    last: dict[str, Any] | None = None
    evaluated = 0.0
    for row in rows:
        if not is_training(row):
            evaluated += amount(row, "eval_runtime")
            continue
        if last is not None and row["step"] > last["step"]:
            spent = {name: amount(row, f"seconds/{name}") for name in TIME_NAMES}
            measured = sum(spent.values())
            # The wall clock also counts what a sleeping machine has not lived through.
            seconds = measured or row["time"] - last["time"]
            seconds -= spent["eval"] + spent["save"] if measured else evaluated
            if seconds > 0:
                found.append((row["step"] - last["step"], seconds))
        last, evaluated = row, 0.0
    return found


def mean_pace(found: Sequence[tuple[int, float]]) -> float | None:
    """Seconds a step over windows; one that is no step's time by any measure is left out."""
    if len(found) >= OUTLIER_WINDOWS:
        limit = OUTLIER_FACTOR * statistics.median(seconds / steps for steps, seconds in found)
        found = [(steps, seconds) for steps, seconds in found if seconds <= limit * steps]
    steps = sum(steps for steps, _ in found)
    return sum(seconds for _, seconds in found) / steps if steps else None
