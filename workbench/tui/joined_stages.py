"""All stages of a run one after the other, over steps that go on from stage to stage."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.tui.chart_view import ChartMark
from workbench.tui.plot import narrow

if TYPE_CHECKING:
    from workbench.run.axes import Axis
    from workbench.run.curves import Points
    from workbench.tui.watching import RunView

ALL_STAGES = "all"


@dataclass(frozen=True)
class JoinedAxis:
    """The axes of several stages in a row.

    Attributes:
        starts: The joined step at which each stage begins.
        bases: The value that each stage begins with.
        axes: What each stage's own steps are worth.
    """

    starts: tuple[int, ...]
    bases: tuple[float, ...]
    axes: tuple[Axis, ...]

    @property
    def steps(self) -> bool:
        """Whether every stage logged something; what one lacks cannot be added up."""
        return all(axis.steps for axis in self.axes)

    def at(self, step: float) -> float | None:
        """The value at a joined step, None outside of what was logged."""
        place = max(0, bisect_right(self.starts, step) - 1)
        value = self.axes[place].at(step - self.starts[place])
        return None if value is None else value + self.bases[place]


@dataclass(frozen=True)
class Joined:
    """Curves, marks and x axis of all stages; the axis is None where it counts steps."""

    points: Mapping[str, Points]
    marks: tuple[ChartMark, ...]
    axis: JoinedAxis | None


def join_stages(view: RunView) -> Joined:
    """The stages of a run that have values, in their order."""
    stages = list(view.points)
    starts = _starts(view)
    names = dict.fromkeys(name for stage in stages for name in view.points[stage])
    points = {
        name: tuple(
            (step + start, value)
            for stage, start in zip(stages, starts, strict=True)
            for step, value in view.points[stage].get(name, ())
        )
        for name in names
    }
    marks = [
        ChartMark(mark.kind, mark.step + start, mark.label)
        for stage, start in zip(stages, starts, strict=True)
        for mark in view.marks.get(stage, ())
    ]
    borders = [
        ChartMark("stage", start, narrow(stage))
        for stage, start in zip(stages[1:], starts[1:], strict=True)
    ]
    return Joined(points, (*marks, *borders), _axis(view, starts))


def _starts(view: RunView) -> tuple[int, ...]:
    starts, start = [], 0
    for curves in view.points.values():
        starts.append(start)
        start += max((points[-1][0] for points in curves.values()), default=0)
    return tuple(starts)


def _axis(view: RunView, starts: tuple[int, ...]) -> JoinedAxis | None:
    axes = tuple(view.axes[stage] for stage in view.points if stage in view.axes)
    if not axes or len(axes) != len(starts):
        return None
    bases, base = [], 0.0
    for axis in axes:
        bases.append(base)
        base += axis.values[-1] if axis.values else 0.0
    return JoinedAxis(starts, tuple(bases), axes)
