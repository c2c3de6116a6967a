"""What the charts of a run show and how they are looked at; knows no widgets."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from workbench.tui.chart_list import STYLES, Chart, catalogue, matching, rows_note
from workbench.tui.chart_view import AXIS_NAMES, MARKS, ChartMark, ChartView
from workbench.tui.joined_stages import ALL_STAGES, JoinedAxis, join_stages
from workbench.tui.plot import Point, Series
from workbench.tui.smoothing import SMOOTHINGS
from workbench.tui.ticks import round_step
from workbench.tui.watching import Wanted
from workbench.tui.window import ALL

if TYPE_CHECKING:
    from workbench.run.axes import Axis
    from workbench.run.curves import Points
    from workbench.tui.watching import RunView

ZOOM, PAN = 0.5, 0.25
WANTED_PARTS = 8
X_GRAINS = 12


class ChartDeck:
    """The charts of one stage as a deck of cards: some lie open, all are looked at alike.

    Window and cursor are kept in steps, whatever the x axis counts, so that another axis shows
    the same part of the run.

    Args:
        ascii_only: Draw with ASCII signs alone.

    Attributes:
        axis: What the x axis shall count; until the run's view has it, the last one is shown.
        log: Whether the y axes are logarithmic.
        pattern: Which charts are wanted, see `chart_list.matching`.
        cursor: The step under the cursor, None where there is no cursor.
        alone: Whether one chart has all the room.
        first: Number of the first open chart.
        unlogged: Whether the stage logged nothing of what the x axis shall count.
        chosen: Number of the chart that keys mean, counted from the first open one.
    """

    def __init__(self, *, ascii_only: bool) -> None:
        self.axis = AXIS_NAMES[0]
        self.log = False
        self.pattern = ""
        self.cursor: int | None = None
        self.alone = False
        self.first = 0
        self.chosen = 0
        self.window = ALL
        self._ascii = ascii_only
        self._smoothing = 0
        self._stage = ""
        self._live = False
        self._points: Mapping[str, Points] = {}
        self._detail: Mapping[str, Points] = {}
        self._answered = Wanted()
        self._marks: tuple[ChartMark, ...] = ()
        self.unlogged = False
        self._kind = AXIS_NAMES[0]
        self._axis: Axis | JoinedAxis | None = None
        self._mapped: dict[str, tuple[Points, object, list[Point]]] = {}
        self.every: tuple[Chart, ...] = ()
        self.charts: tuple[Chart, ...] = ()

    def begin(self) -> None:
        """Another run or stage: back to its whole length and its first charts."""
        self.window, self.cursor, self.first, self.chosen = ALL, None, 0, 0
        self._mapped.clear()

    def take(self, view: RunView, stage: str) -> None:
        """Show a newer state of a run's stage."""
        self._stage = stage
        self._live = view.row.active
        self._detail, self._answered = view.detail, view.wanted
        axis: Axis | JoinedAxis | None
        if stage == ALL_STAGES:
            joined = join_stages(view)
            self._points, self._marks, axis = joined.points, joined.marks, joined.axis
        else:
            self._points, axis = view.points.get(stage, {}), view.axes.get(stage)
            marks = view.marks.get(stage, ())
            self._marks = tuple(ChartMark(mark.kind, mark.step, mark.label) for mark in marks)
        self.unlogged = axis is not None and not axis.steps
        self._axis = None if self.unlogged else axis
        self._kind = AXIS_NAMES[0] if self._axis is None else view.wanted.axis
        self.every = catalogue(stage, self._points)
        self.filter(self.pattern)

    def filter(self, pattern: str) -> None:
        """Leave only charts that fit a pattern."""
        if pattern != self.pattern:
            self.pattern, self.first, self.chosen = pattern, 0, 0
        self.charts = matching(self.every, pattern)
        if self.first >= len(self.charts):
            self.first = 0

    # Pages

    def page(self, wanted: int) -> tuple[Chart, ...]:
        """The open charts; the last page may be shorter."""
        shown = self.charts[self.first : self.first + wanted]
        self.chosen = max(0, min(self.chosen, len(shown) - 1))
        return shown

    def turn(self, by: int, wanted: int) -> None:
        """Go to another page; after the last comes the first."""
        count = len(self.charts)
        pages = max(1, -(-count // wanted))
        self.first = (self.first // wanted + by) % pages * wanted

    def choose(self, number: int, wanted: int) -> None:
        """Choose an open chart by its number; outside of the page it is turned."""
        if not self.charts:
            return
        place = (self.first + number) % len(self.charts)
        if not self.first <= place < self.first + wanted:
            self.first = place // wanted * wanted
        self.chosen = place - self.first

    def enlarge(self, wanted: int) -> None:
        """Give the chosen chart all the room, or take it back; `wanted` have room otherwise."""
        place = self.first + self.chosen
        self.alone = not self.alone
        self.first = place if self.alone else place // wanted * wanted
        self.chosen = place - self.first

    # Looking

    @property
    def range(self) -> tuple[float, float]:
        """The first and last step that the stage has a value of."""
        curves = [points for points in self._points.values() if points]
        if not curves:
            return 0.0, 1.0
        return min(c[0][0] for c in curves), max(c[-1][0] for c in curves)

    @property
    def bounds(self) -> tuple[float, float]:
        """The first and last step that is shown."""
        return self.window.bounds(*self.range)

    @property
    def zoomed(self) -> bool:
        """Whether a part of the stage is shown."""
        return self.bounds != self.range

    def zoom(self, closer: bool) -> None:
        """Show half of what is shown, around the cursor where there is one, or double."""
        factor = ZOOM if closer else 1 / ZOOM
        around = None if self.cursor is None else float(self.cursor)
        self.window = self.window.zoomed(factor, *self.range, around)

    def pan(self, by: int) -> None:
        """Move the window by quarters of its width."""
        self.window = self.window.panned(PAN * by, *self.range)

    def go_to_edge(self, last: bool) -> None:
        """Show the stage's first or last part, or take the cursor there."""
        if self.cursor is not None:
            self.cursor = int(self.range[last])
        self.window = self.window.at_end() if last else self.window.at_start(*self.range)

    def show_all(self) -> None:
        """Show the whole stage."""
        self.window = ALL

    def next_smoothing(self) -> None:
        """The next way to smooth."""
        self._smoothing = (self._smoothing + 1) % len(SMOOTHINGS)

    def next_axis(self) -> None:
        """The next thing for the x axis to count."""
        self.axis = AXIS_NAMES[(AXIS_NAMES.index(self.axis) + 1) % len(AXIS_NAMES)]

    def turn_cursor(self) -> None:
        """Put the cursor on the last point that is shown, or take it away."""
        if self.cursor is not None:
            self.cursor = None
            return
        steps = self._steps()
        if steps:
            last = bisect_left(steps, self.bounds[1] + 1) - 1
            self.cursor = steps[max(0, last)]

    def move_cursor(self, by: int) -> None:
        """Go to a next point of the chosen chart; the window follows."""
        steps = self._steps()
        if self.cursor is None or not steps:
            return
        place = bisect_left(steps, self.cursor)
        between = place == len(steps) or steps[place] != self.cursor
        place += by - (1 if between and by > 0 else 0)
        self.cursor = steps[max(0, min(len(steps) - 1, place))]
        self.window = self.window.with_inside(self.cursor, *self.range)

    def _steps(self) -> list[int]:
        """The steps at which the chosen chart has points."""
        place = self.first + self.chosen
        if place >= len(self.charts):
            return []
        names = [curve.metric for curve in self.charts[place].curves]
        return sorted({step for name in names for step, _ in self._curve(name)})

    # Drawing

    def chart_view(self) -> ChartView:
        """How the charts are to be drawn."""
        low, high = self._edges()
        return ChartView(
            self._kind,
            low,
            high,
            self.log,
            SMOOTHINGS[self._smoothing],
            None if self.cursor is None else self._at(self.cursor),
            tuple(
                ChartMark(mark.kind, x, mark.label)
                for mark in self._marks
                if (x := self._at(mark.x)) is not None
            ),
            self._ascii,
        )

    def _edges(self) -> tuple[float | None, float | None]:
        """The edges of the x axis.

        While a run goes on the right one is a round value, so that the charts stand still until
        the curves reach it: fewer bytes, and easier to look at.
        """
        low, high = (self._at(bound) for bound in self.bounds)
        if not self._live or low is None or high is None or high <= low:
            return low, high
        if self.window.end is None:
            grain = round_step((high - low) / X_GRAINS)
            high = math.ceil(high / grain) * grain
            low = math.floor(low / grain) * grain if self.zoomed else low
        return low, high

    def series(self, chart: Chart) -> list[Series]:
        """A chart's curves over the x axis."""
        return [
            Series(
                curve.label,
                self._placed(curve.metric),
                STYLES[index % len(STYLES)],
                curve.joined,
                curve.sign,
            )
            for index, curve in enumerate(chart.curves)
        ]

    def note(self, chart: Chart, *, wide: bool) -> tuple[tuple[str, str], ...]:
        """Of how many rows a chart's points are means, as runs of (text, style)."""
        sizes = self._points.get("samples", ()) if self._stage != ALL_STAGES else ()
        return rows_note(chart, sizes[-1][1] if sizes else None, self._stage, wide=wide)

    def words(self, wanted: int) -> str:
        """What is not as it was at first, and which charts are open."""
        low, high = self.bounds
        last = min(len(self.charts), self.first + wanted)
        charts = f"charts {self.first + 1}-{last} of {len(self.charts)}"
        if self.alone and self.charts:
            charts = f"chart {self.first + 1} of {len(self.charts)}"
        parts = [
            charts if self.charts else "no chart fits",
            f'filter "{self.pattern}"' if self.pattern else "",
            f"steps {low:.0f} to {high:.0f}" if self.zoomed else "",
            self._axis_words(),
        ]
        return "   ".join(part for part in parts if part)

    def _axis_words(self) -> str:
        if self.axis == AXIS_NAMES[0]:
            return ""
        return f"x: {self.axis}" + (", which this stage did not log" if self.unlogged else "")

    def marks_legend(self) -> str:
        """What the signs on the x axis mean, those that are there."""
        low, high = self.bounds
        there = {mark.kind for mark in self._marks if low <= mark.x <= high}
        return "   ".join(
            f"{ascii_sign if self._ascii else sign} {words}"
            for kind, (sign, ascii_sign, words, _) in MARKS.items()
            if kind in there
        )

    @property
    def changed(self) -> bool:
        """Whether there is more to say than which charts are open."""
        return bool(self.pattern) or self.zoomed or self.axis != AXIS_NAMES[0]

    def wanted(self, open_charts: int) -> Wanted:
        """What the next look at the run shall bring for the open charts."""
        if not self.zoomed or self._stage == ALL_STAGES:
            return Wanted(self.axis, self._stage)
        low, high = self.bounds
        # A window that follows the newest steps wants something else only now and then.
        grain = max(1.0, (high - low) / WANTED_PARTS)
        names = {c.metric for chart in self.page(open_charts) for c in chart.curves}
        end = math.inf if self.window.end is None else high
        return Wanted(self.axis, self._stage, (low // grain - 1) * grain, end, frozenset(names))

    def _curve(self, name: str) -> Points:
        points = self._points.get(name, ())
        detail = self._detail.get(name, ())
        return detail if detail and self._answered.covers(self._stage, self.bounds) else points

    def _at(self, step: float) -> float | None:
        return step if self._axis is None else self._axis.at(step)

    def _placed(self, name: str) -> Sequence[Point]:
        """A curve over the x axis; the same list until curve or axis changes."""
        points = self._curve(name)
        if self._axis is None:
            return points
        known = self._mapped.get(name)
        if known is None or known[0] is not points or known[1] is not self._axis:
            at = self._axis.at
            placed = [(x, y) for step, y in points if (x := at(step)) is not None]
            known = self._mapped[name] = points, self._axis, placed
        return known[2]
