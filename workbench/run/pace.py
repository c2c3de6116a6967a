"""How long a run still takes: right after a resume, and with evaluations and saves counted."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.base.files import amount
from workbench.base.paths import Paths
from workbench.run.attempt import Attempt, is_training, last_place, mean_pace, windows
from workbench.run.directory import RunDirectory
from workbench.run.later_stages import later_seconds
from workbench.run.metrics import MetricsReader
from workbench.run.record import RunRecord
from workbench.run.schedule import Plan, Rhythm, plan_of

ENOUGH_WINDOWS = 2
WARM_UP_STEPS = 40
LIKE_FACTOR = 1.5
LAST_COSTS = 5
FORWARD_SHARE = 1 / 3
"""Of a step, where it is not measured: a backward pass takes twice as long as a forward one."""


@dataclass(frozen=True)
class Eta:
    """Time left, in seconds.

    Attributes:
        stage_seconds: Of the present stage.
        run_seconds: Of the whole run: the present stage and those behind it, as far as known.
        exact: Whether all stages are in `run_seconds`; else it is the least.
    """

    stage_seconds: float
    run_seconds: float
    exact: bool = True


class Outlook:
    """Tells how long a run still takes; keeps what does not change between two looks.

    Args:
        paths: Where past runs are looked for that tell how long later stages take; None for
            nowhere.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, run: RunDirectory, paths: Paths | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._run = run
        self._paths = paths
        self._clock = clock
        self._known: tuple[str, float] = ("", 0.0)
        self._plan = Plan("", {})
        self._later: tuple[float | None, ...] = ()

    def eta(self, record: RunRecord, reader: MetricsReader) -> Eta | None:
        """The time left; None while nothing tells it. Reads files: call it from a thread."""
        if record.state != "running" or record.max_steps <= 0:
            return None
        if self._known != (record.stage, record.started):
            self._known = record.stage, record.started
            self._plan = plan_of(self._run, record.stage)
            self._later = later_seconds(self._run, record, self._paths)
        return eta(record, reader, self._plan, self._clock(), self._later)


def eta(
    record: RunRecord,
    reader: MetricsReader,
    plan: Plan | None = None,
    now: float | None = None,
    later: Sequence[float | None] = (),
) -> Eta | None:
    """The time left of a run that trains; None while nothing tells it.

    Args:
        plan: What the present stage does beside its steps; nothing if not given.
        now: Unix seconds; the present if not given.
        later: Seconds of each stage behind the present one, None where unknown.
    """
    if record.state != "running" or record.max_steps <= 0:
        return None
    attempt = Attempt.of(record, reader)
    seconds = step_seconds(attempt, record)
    if seconds is None:
        return None
    plan = plan or Plan(record.stage, {})
    course = _course(attempt, record, reader, plan, seconds)
    left = course.left(attempt, record, time.time() if now is None else now)
    known = [cost for cost in later if cost is not None]
    return Eta(left, left + sum(known), len(known) == len(later))


def step_seconds(attempt: Attempt, record: RunRecord) -> float | None:
    """Mean seconds of a step, evaluations and saves left out; None while unknown.

    It is that of the log records since the stage began or was resumed. While there are hardly
    any, the worker's own median of single steps counts too, or the pace of the attempt before.
    """
    found = windows(attempt.rows)
    if len(found) >= ENOUGH_WINDOWS:
        return mean_pace(found)
    known = _known_pace(attempt, record)
    window = _since_the_beginning(attempt, record)
    if window is None:
        return known
    steps, seconds = window
    if known is None:
        return seconds / steps
    # The first steps load and compile what the later ones have: they count little.
    return (WARM_UP_STEPS * known + seconds) / (WARM_UP_STEPS + steps)


def _known_pace(attempt: Attempt, record: RunRecord) -> float | None:
    """What a step took before this attempt, unless its own steps tell of another machine."""
    before = mean_pace(windows(attempt.earlier))
    if record.step <= attempt.first_step or record.step_seconds <= 0:
        return before
    alike = before and before / LIKE_FACTOR < record.step_seconds < before * LIKE_FACTOR
    # The worker's median knows nothing of the time between two steps.
    return before if alike else record.step_seconds


def _since_the_beginning(attempt: Attempt, record: RunRecord) -> tuple[int, float] | None:
    """Steps and seconds from the attempt's beginning to its last log record, or sign of life."""
    last = next((row for row in reversed(attempt.rows) if is_training(row)), None)
    step = last["step"] if last else record.step
    until = last["time"] if last else record.heartbeat
    steps, seconds = step - attempt.first_step, until - attempt.began
    return (steps, seconds) if attempt.began and steps > 0 and seconds > 0 else None


@dataclass(frozen=True)
class Course:
    """What lies before a stage, in seconds: a step, an evaluation, a save, and their rhythms."""

    step: float
    evaluation: float
    save: float
    evals: Rhythm
    saves: Rhythm

    def behind(self, step: int, *, evaluated: bool = False, saved: bool = False) -> float:
        """Seconds from the end of a step to the end of the stage.

        Args:
            evaluated, saved: What falls due at this step has been done.
        """
        last = self.evals.last_step
        evals = self.evals.due(step if evaluated else step - 1, last)
        saves = self.saves.due(step if saved else step - 1, last)
        steps = max(0, last - step)
        return steps * self.step + evals * self.evaluation + saves * self.save

    def left(self, attempt: Attempt, record: RunRecord, now: float) -> float:
        """From what was heard last, but never outside of what the number of steps allows."""
        place = last_place(attempt)
        reached = max(record.step, place[1]) if place else record.step
        most = self.behind(reached)
        if place is None:
            return most
        least = self.behind(reached + 1) if reached < self.evals.last_step else 0.0
        when, step, evaluated, saved = place
        left = self.behind(step, evaluated=evaluated, saved=saved) - (now - when)
        return min(max(left, least), most)


def _course(
    attempt: Attempt, record: RunRecord, reader: MetricsReader, plan: Plan, seconds: float
) -> Course:
    epoch = _epoch_steps(reader, record.stage)
    evals, saves = plan.evals(record.max_steps, epoch), plan.saves(record.max_steps, epoch)
    known = [value for _, value in reader.points("eval_runtime", record.stage)[-LAST_COSTS:]]
    evaluation = statistics.median(known) if known else _guess(attempt, plan, seconds)
    return Course(seconds, evaluation, _save_cost(attempt, record, reader, saves), evals, saves)


def _epoch_steps(reader: MetricsReader, stage: str) -> float:
    """Steps of an epoch; 0 while no record has told it."""
    points = reader.points("epoch", stage)
    row = next(
        (
            row
            for row in reversed(reader.recent)
            if row["stage"] == stage and is_training(row) and amount(row, "epoch")
        ),
        None,
    )
    if row is not None and row["step"]:
        return float(row["step"] / row["epoch"])
    return points[-1][0] / points[-1][1] if points and points[-1][1] > 0 else 0.0


def _guess(attempt: Attempt, plan: Plan, seconds: float) -> float:
    """An evaluation before there was one: a forward pass of each held-out row."""
    rows = [row for row in attempt.rows if is_training(row)]
    forward = sum(amount(row, "seconds/forward") for row in rows)
    samples = sum(amount(row, "samples") for row in rows)
    if forward and samples:
        return plan.held_out * forward / samples
    return plan.held_out * FORWARD_SHARE * seconds / plan.rows_per_step


def _save_cost(attempt: Attempt, record: RunRecord, reader: MetricsReader, saves: Rhythm) -> float:
    """Seconds of a save; 0 where records do not tell, and saves slow the steps down instead."""
    logged = [row["step"] for row in (*attempt.earlier, *attempt.rows) if is_training(row)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(logged) if later > earlier]
    width = round(statistics.median(gaps)) if gaps else 1
    costs = []
    for step, spent in reader.points("seconds/save", record.stage):
        # A save follows the record of its step, so the next one tells what it took.
        if spent > 0 and (count := saves.due(step - width - 1, step - 1)):
            costs.append(spent / count)
    if not costs:
        # Before the first save of a stage: as long as one of the stage before.
        others = [stage for stage in reader.stages() if stage != record.stage]
        points = (point for stage in others for point in reader.points("seconds/save", stage))
        costs = [spent for _, spent in points if spent > 0]
    return statistics.median(costs[-LAST_COSTS:]) if costs else 0.0
