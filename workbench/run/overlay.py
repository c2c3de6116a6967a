"""Several runs over one another: their curves on one axis, and what is best of which."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.schema import STAGES
from workbench.run.axes import AXES, Axis
from workbench.run.curves import Points
from workbench.run.differences import HELD_OUT, Row, Side, differing, side_of
from workbench.run.directory import RunDirectory
from workbench.run.health import Doctor, Finding
from workbench.run.history import outcomes_of_stage
from workbench.run.metrics import MetricsReader
from workbench.run.notes import Notes, read_notes
from workbench.run.outcomes import Outcomes, better
from workbench.run.query import COMMON
from workbench.run.record import RunRecord, read_record

MOST_RUNS = 8
"""As many as a chart tells apart."""
SIGNS = "ABCDEFGH"
USUAL = tuple(
    name
    for plain in (*dict.fromkeys(one.removeprefix("eval_") for one in COMMON), "learning_rate")
    for name in (plain, f"eval_{plain}")
)
"""Metrics in the order in which people look at them, what is held out beside its own kind."""
NOT_COMPARED = ("grad_norm",)
"""A run is not better for having less of it."""
Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class StageCurves:
    """What a run has logged in a stage.

    Attributes:
        points: `(step, value)` by metric, thinned.
        axes: By kind, see `axes.AXES`.
    """

    points: Mapping[str, Points]
    axes: Mapping[str, Axis]
    outcomes: Outcomes


@dataclass(frozen=True)
class Member:
    """One of the runs.

    Attributes:
        sign: The letter that stands for it.
        findings: What is wrong with it, worst first.
    """

    sign: str
    run: RunDirectory
    record: RunRecord
    notes: Notes
    stages: Mapping[str, StageCurves] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def alarm(self, stage: str) -> Finding | None:
        """The worst alarm of a stage, None where there is none."""
        alarms = (one for one in self.findings if one.severity == "alarm" and one.stage == stage)
        return next(alarms, None)

    @property
    def label(self) -> str:
        """The name for people."""
        return self.record.name or self.run.id

    def curve(self, metric: str, stage: str, by: str = "step") -> Curve:
        """`(x, value)` of a metric, by rising x; points whose x nobody knows are left out."""
        known = self.stages.get(stage)
        if known is None:
            return ()
        points, axis = known.points.get(metric, ()), known.axes.get(by)
        if axis is None:
            return ()
        places = ((axis.at(step), value) for step, value in points)
        return tuple((x, value) for x, value in places if x is not None)

    def reach(self, stage: str, by: str = "step") -> float | None:
        """The highest x of any metric; None where the run never logged this axis."""
        known = self.stages.get(stage)
        if known is None or by not in known.axes:
            return None
        last = max((points[-1][0] for points in known.points.values()), default=None)
        axis = known.axes[by]
        if last is None or by == "step":
            return last
        return axis.at(last) or (axis.values[-1] if axis.values else None)

    def value_at(self, metric: str, stage: str, by: str, x: float) -> float | None:
        """The newest value of a metric that was logged up to an x."""
        known = self.stages.get(stage)
        if known is None or by not in known.axes:
            return None
        axis, points = known.axes[by], known.points.get(metric, ())
        # Neither steps nor what they are worth ever fall.
        place = bisect_right(points, x, key=lambda point: _worth(axis, point[0]))
        return points[place - 1][1] if place else None


@dataclass(frozen=True)
class Line:
    """A metric of all runs, one entry for each; None where a run has none.

    Attributes:
        final: The last values.
        best: `(value, step)`; all None of a metric that has no better and worse.
        at: The values at the highest x that all runs have reached.
        winners: Places of the runs with the best final value, of those with the best of all, and
            of those that are best at that x, see `Overlay.well`; none where fewer than two compare.
    """

    metric: str
    final: tuple[float | None, ...]
    best: tuple[tuple[float, int] | None, ...]
    at: tuple[float | None, ...]
    winners: Mapping[str, frozenset[int]]

    @property
    def tells_at(self) -> bool:
        """Whether `at` compares anything that `final` does not."""
        return self.at != self.final and sum(value is not None for value in self.at) > 1


@dataclass(frozen=True)
class Overlay:
    """Some runs, read once.

    Attributes:
        differences: What is not the same for all of them, without what `lines` tells.
        faults: What could not be read, one sentence each.
    """

    members: tuple[Member, ...]
    differences: tuple[Row, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages that any of them has logged, in the order of training."""
        logged = {stage for member in self.members for stage in member.stages}
        return (*(s for s in STAGES if s in logged), *sorted(logged.difference(STAGES)))

    @property
    def stage(self) -> str:
        """The last stage that most of them have; empty where nobody has logged anything."""
        counts = {stage: sum(stage in m.stages for m in self.members) for stage in self.stages}
        most = max(counts.values(), default=0)
        return next((stage for stage in reversed(self.stages) if counts[stage] == most), "")

    def metrics(self, stage: str) -> tuple[str, ...]:
        """What any of them has logged in a stage, the usual metrics first."""
        known = [member.stages[stage].points for member in self.members if stage in member.stages]
        logged = {name for points in known for name in points}
        return (
            *(name for name in USUAL if name in logged),
            *sorted(logged.difference(USUAL)),
        )

    def axes(self, stage: str) -> tuple[str, ...]:
        """The kinds of axis that any of them knows in a stage."""
        known = [member.stages[stage].axes for member in self.members if stage in member.stages]
        return tuple(
            kind
            for kind in AXES
            if kind == "step" or any(kind in axes and axes[kind].steps for axes in known)
        )

    def common_end(self, stage: str, by: str = "step") -> float | None:
        """The highest x that all runs with this stage have reached; None where nobody can tell."""
        ends = [member.reach(stage, by) for member in self.members if stage in member.stages]
        known = [end for end in ends if end is not None]
        return min(known) if known and len(known) == len(ends) else None

    def lines(
        self, stage: str, by: str = "step", metrics: Iterable[str] | None = None
    ) -> list[Line]:
        """The table of outcomes of a stage.

        Args:
            by: The axis on which `Line.at` compares them.
            metrics: Which metrics; all when None.
        """
        end = self.common_end(stage, by)
        names = self.metrics(stage) if metrics is None else tuple(metrics)
        return [self._line(name, stage, by, end) for name in names]

    def _line(self, name: str, stage: str, by: str, end: float | None) -> Line:
        outcomes = [
            member.stages[stage].outcomes if stage in member.stages else Outcomes()
            for member in self.members
        ]
        final = tuple(one.final.get(name) for one in outcomes)
        best = tuple(one.best.get(name) for one in outcomes)
        at = tuple(
            None if end is None else member.value_at(name, stage, by, end)
            for member in self.members
        )
        compared = {"final": final, "best": [one[0] if one else None for one in best], "at": at}
        well = self.well(stage)
        winners = {
            kind: best_of(name, [one if i in well else None for i, one in enumerate(values)])
            for kind, values in compared.items()
        }
        return Line(name, final, best, at, winners)

    def well(self, stage: str) -> frozenset[int]:
        """Places of the runs that may be the best: those without an alarm, all where all have one.

        What fools the data fools the metric.
        """
        well = {place for place, one in enumerate(self.members) if one.alarm(stage) is None}
        return frozenset(well or range(len(self.members)))


def _worth(axis: Axis, step: int) -> float:
    """What a step is worth; one before the axis begins nothing, one behind its end all and more."""
    x = axis.at(step)
    if x is not None:
        return x
    return -math.inf if axis.steps and step < axis.steps[0] else math.inf


def best_of(metric: str, values: Sequence[float | None]) -> frozenset[int]:
    """Places of the best values; none where there are fewer than two, or where they are all one."""
    known = [value for value in values if value is not None]
    wanted = None if metric in NOT_COMPARED else better(metric)
    if wanted is None or len(known) < 2 or len(set(known)) == 1:
        return frozenset()
    best = min(known) if wanted == "lower" else max(known)
    return frozenset(place for place, value in enumerate(values) if value == best)


class OverlayReader:
    """Reads some runs, and later only what is new of them. Use it from one thread at a time.

    Raises:
        ProblemError: There are too many of them (exit code 2).
    """

    def __init__(self, runs: Sequence[RunDirectory]) -> None:
        if len(runs) > MOST_RUNS:
            what = f"{len(runs)} runs are more than a chart can tell apart"
            hint = f"Choose {MOST_RUNS} at most."
            raise ProblemError(Problem(what, "", hint), exit_code=2)
        self._runs = tuple(runs)
        self._readers = [MetricsReader(run) for run in runs]
        self._doctors = [
            Doctor(run, reader) for run, reader in zip(runs, self._readers, strict=True)
        ]
        self._stages: list[dict[str, StageCurves]] = [{} for _ in runs]
        self._overlay: Overlay | None = None

    def read(self, stop: Callable[[], bool] = lambda: False) -> Overlay:
        """The runs as they stand now; the very same overlay where nothing has changed.

        Args:
            stop: Whether nobody waits any more; what is read then may be half of it.
        """
        changed = [self._poll(place, stop) for place in range(len(self._runs))]
        records = [read_record(run) for run in self._runs]
        members = tuple(
            Member(sign, run, record, read_notes(run), stages, doctor.look(record))
            for sign, run, record, stages, doctor in zip(
                SIGNS, self._runs, records, self._stages, self._doctors, strict=False
            )
        )
        old = self._overlay
        if old is None or any(changed) or not _same(old.members, members):
            differences, faults = _differences(members)
            self._overlay = old = Overlay(members, differences, faults)
        return old

    def _poll(self, place: int, stop: Callable[[], bool]) -> bool:
        reader = self._readers[place]
        changed = reader.poll()
        while reader.more and not stop():
            reader.poll()
        if changed:
            self._stages[place] = {stage: _stage_curves(reader, stage) for stage in reader.stages()}
        return changed


def _same(old: tuple[Member, ...], new: tuple[Member, ...]) -> bool:
    return all(
        (a.notes, a.findings, a.record.state, a.record.results)
        == (b.notes, b.findings, b.record.state, b.record.results)
        for a, b in zip(old, new, strict=True)
    )


def _stage_curves(reader: MetricsReader, stage: str) -> StageCurves:
    points = {name: found for name in reader.names() if (found := reader.points(name, stage))}
    axes = {kind: reader.axis(kind, stage) for kind in AXES}
    return StageCurves(points, axes, outcomes_of_stage(reader, stage))


def _differences(members: Sequence[Member]) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """What differs between the runs; where a recipe cannot be read, nothing is said of any."""
    sides: list[Side] = []
    faults = []
    for member in members:
        try:
            sides.append(side_of(member.run))
        except ProblemError as error:
            faults.append(f"{member.label}: {error}")
    if faults:
        return (), tuple(faults)
    try:
        rows = differing(sides)
        return tuple(row for row in rows if row.key not in (*HELD_OUT, "last_loss")), ()
    except ProblemError as error:
        return (), (str(error),)
