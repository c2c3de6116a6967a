"""Several runs over one another: one chart, their outcomes, and what differs between them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from workbench.tui.board import RunRow
from workbench.tui.chart_view import AXIS_NAMES, ChartView
from workbench.tui.overlay import (
    OverlayRead,
    caution_text,
    differences_text,
    matching,
    series,
    sign_mark,
    table_text,
    verdict_text,
)
from workbench.tui.render import number, plain, state_mark
from workbench.tui.screens.filter_screen import FilterScreen
from workbench.tui.screens.overlay_keys import KEYS
from workbench.tui.smoothing import SMOOTHINGS
from workbench.tui.widgets.plot_panel import PlotPanel
from workbench.tui.widgets.row_table import Column, Row, RowTable
from workbench.tui.widgets.steady_input import SteadyInput

if TYPE_CHECKING:
    from workbench.run.overlay import Overlay, OverlayReader

LOOK_SECONDS = 2.0
PAGES = ("chart", "table", "differences")
BOTH_FROM = (100, 30)
"""From so many columns and lines on, chart and table are one page."""


class OverlayScreen(FilterScreen):
    """Two to eight runs.

    Args:
        run_ids: Which.
    """

    MODE = "runs"
    CSS_PATH = "overlay.tcss"
    HELP_TITLE = "Overlay"
    HELP_TEXT = (
        "Several runs in one chart, each with a letter and a colour. The table tells the last and "
        "the best value of each metric, and that at the end of the shortest run; a star is the "
        "best of all. The third page tells what differs: settings, data, versions, machine. The "
        "same on the command line: dpo-workbench overlay RUN RUN."
    )
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(self, run_ids: tuple[str, ...]) -> None:
        super().__init__()
        self._run_ids = run_ids
        self._reader: OverlayReader | None = None
        self._looking = False
        self._found: Overlay | None = None
        self._page = 0
        self._metric = ""
        self._stage = ""
        self._hidden: set[str] = set()
        self._smoothing = 0
        self._view = ChartView()

    def compose_body(self) -> ComposeResult:
        """Runs, and the pages."""
        yield RowTable(
            Column("", 3),
            Column("run"),
            Column("state", 10),
            Column("step", 11, right=True),
            Column("value", 9, right=True),
            Column("tags", 20, from_width=90),
            id="runs",
        )
        yield SteadyInput(placeholder="words in a metric's name", id="filter")
        yield Static("", id="verdict", markup=False)
        with Vertical(id="pages"):
            yield PlotPanel("", ascii_only=self.bench.ascii_only, id="chart")
            with VerticalScroll(classes="page", id="table", can_focus=False):
                yield Static("", id="cautions", markup=False)
                yield Static("", id="outcomes", markup=False)
            with VerticalScroll(classes="page", id="differences", can_focus=False):
                yield Static("", id="different", markup=False)
        yield Static("Reading ...", id="none", classes="empty", markup=False)

    def on_mount(self) -> None:
        """Look now, and again every two seconds."""
        from workbench.run.overlay import OverlayReader

        self.query_one("#filter").display = False
        self.query_one("#pages").display = False
        self.query_one("#runs").display = False
        self.query_one("#chart", PlotPanel).can_focus = False
        self._reader = OverlayReader([self.bench.actions.directory(key) for key in self._run_ids])
        self.set_interval(LOOK_SECONDS, self._look)
        self._look()

    def _look(self) -> None:
        """Read in a thread what is new, unless the last look still goes on."""
        reader = self._reader
        if self._looking or reader is None or not self.is_current:
            return
        self._looking = True

        def work() -> None:
            worker = get_current_worker()
            try:
                found = reader.read(stop=lambda: worker.is_cancelled)
            finally:
                self._looking = False
            if not worker.is_cancelled:
                self.post_message(OverlayRead(found))

        self.run_worker(work, thread=True, exit_on_error=False, group="watch")

    @on(OverlayRead)
    def _read(self, event: OverlayRead) -> None:
        event.stop()
        if event.overlay is self._found:
            return
        self._found = event.overlay
        if self._stage not in event.overlay.stages:
            self._stage = event.overlay.stage
        self.query_one("#none").display = False
        self.query_one("#pages").display = True
        self.query_one("#runs").display = True
        self._show()
        if self.focused is None:
            self.query_one(RowTable).rows.focus()

    @property
    def _metrics(self) -> tuple[str, ...]:
        """The metrics that the words leave."""
        known = self._found.metrics(self._stage) if self._found else ()
        return matching(known, self.query_one("#filter", Input).value)

    def _show(self) -> None:
        found, names = self._found, self._metrics
        if found is None:
            return
        if self._metric not in names:
            self._metric = names[0] if names else ""
        self._show_pages()
        self._show_runs(found)
        curves = series(found, self._metric, self._stage, self._view.x_label, self._hidden)
        panel = self.query_one("#chart", PlotPanel)
        panel.show(
            self._title(), curves, replace(self._view, smoothing=SMOOTHINGS[self._smoothing])
        )
        width = max(40, self.query_one("#pages").size.width - 4)
        end = found.common_end(self._stage, self._view.x_label)
        rows = found.lines(self._stage, self._view.x_label, names)
        self.query_one("#verdict", Static).update(verdict_text(found, self._stage))
        caution, place = caution_text(found, self._stage), self.query_one("#cautions", Static)
        place.update(caution)
        place.display = bool(caution.plain)
        table = table_text(found, rows, self._view.x_label, end, self._metric, width)
        self.query_one("#outcomes", Static).update(table)
        self.query_one("#different", Static).update(differences_text(found, width))

    def _title(self) -> str:
        return f"{self._metric or 'nothing logged'}  {self._stage}"

    def _show_runs(self, found: Overlay) -> None:
        rows = []
        for place, one in enumerate(found.members):
            record, stage = one.record, one.stages.get(self._stage)
            value = stage.outcomes.final.get(self._metric) if stage else None
            cells: tuple[Content, ...] = (
                sign_mark(one, place, hidden=one.run.id in self._hidden),
                plain(one.label),
                state_mark(record.state),
                plain(f"{record.step}/{record.max_steps}" if record.max_steps else "-"),
                plain(number(value)),
                plain(" ".join(one.notes.tags), style="$muted"),
            )
            rows.append(Row(one.run.id, cells))
        self.query_one(RowTable).set_rows(rows)

    @property
    def _both(self) -> bool:
        """Whether chart and table have room beside each other."""
        return self.size.width >= BOTH_FROM[0] and self.size.height >= BOTH_FROM[1]

    def _show_pages(self) -> None:
        both = self._both
        if both and self._page == 1:
            self._page = 0
        for place, name in enumerate(PAGES):
            page = self.query_one(f"#{name}")
            page.display = place == self._page or (both and place == 1 and self._page == 0)
        for name, title in (("table", "outcomes"), ("differences", "what differs")):
            self.query_one(f"#{name}").border_title = title

    def runs_changed(self, rows: tuple[RunRow, ...]) -> None:
        """A run may be at work, or gone."""
        if self.is_current and any(row.active for row in rows if row.id in self._run_ids):
            self._look()

    def on_resize(self, event: events.Resize) -> None:
        """Another number of pages may fit now."""
        self.call_after_refresh(self._show)

    def action_turn(self, by: int) -> None:
        """Show another page."""
        pages = [0, 2] if self._both else [0, 1, 2]
        place = pages.index(self._page) if self._page in pages else 0
        self._page = pages[(place + by) % len(pages)]
        self._show_pages()
        self.call_after_refresh(self._show)

    def action_metric(self, by: int) -> None:
        """Show another metric."""
        names = self._metrics
        if names:
            place = names.index(self._metric) if self._metric in names else 0
            self._metric = names[(place + by) % len(names)]
            self._show()

    def action_axis(self) -> None:
        """Align by something else that a run has logged."""
        known = self._found.axes(self._stage) if self._found else AXIS_NAMES[:1]
        place = known.index(self._view.x_label) if self._view.x_label in known else 0
        name = known[(place + 1) % len(known)]
        if name == self._view.x_label:
            self.bench.say("These runs have logged steps alone.")
        self._view = replace(self._view, x_label=name, low=None, high=None)
        self._show()

    def action_smooth(self) -> None:
        """Smooth in the next way."""
        self._smoothing = (self._smoothing + 1) % len(SMOOTHINGS)
        self._show()

    def action_log(self) -> None:
        """A logarithmic y axis, or a linear one again."""
        self._view = replace(self._view, log=not self._view.log)
        self._show()

    def action_stage(self) -> None:
        """Show the curves of another stage."""
        stages = self._found.stages if self._found else ()
        if stages:
            self._stage = stages[(stages.index(self._stage) + 1) % len(stages)]
            self._view = replace(self._view, low=None, high=None)
            self._show()

    def _range(self) -> tuple[float, float] | None:
        """The whole x axis of the chart."""
        found = self._found
        if found is None:
            return None
        curves = series(found, self._metric, self._stage, self._view.x_label, self._hidden)
        ends = [x for one in curves if one.points for x in (one.points[0][0], one.points[-1][0])]
        return (min(ends), max(ends)) if ends else None

    def action_closer(self, closer: bool) -> None:
        """Show half, or twice, as much of the x axis, around its middle."""
        if (whole := self._range()) is None:
            return
        low, high = self._bounds(whole)
        middle, half = (low + high) / 2, (high - low) / (4 if closer else 1)
        self._show_part(middle - half, middle + half, whole)

    def action_pan(self, by: int) -> None:
        """Move to earlier or later x by a quarter of what is shown."""
        if (whole := self._range()) is None or self._view.low is None:
            return
        low, high = self._bounds(whole)
        step = by * (high - low) / 4
        step = max(whole[0] - low, min(whole[1] - high, step))
        self._show_part(low + step, high + step, whole)

    def _bounds(self, whole: tuple[float, float]) -> tuple[float, float]:
        low, high = self._view.low, self._view.high
        return whole[0] if low is None else low, whole[1] if high is None else high

    def _show_part(self, low: float, high: float, whole: tuple[float, float]) -> None:
        if low <= whole[0] and high >= whole[1]:
            self._view = replace(self._view, low=None, high=None)
        else:
            self._view = replace(self._view, low=max(low, whole[0]), high=min(high, whole[1]))
        self._show()

    def action_whole(self) -> None:
        """Show all of the x axis."""
        self._view = replace(self._view, low=None, high=None)
        self._show()

    @property
    def _run_id(self) -> str:
        """The run under the cursor."""
        return self.query_one(RowTable).key

    def action_hide(self) -> None:
        """Hide the curve of the run under the cursor, or show it."""
        if self._run_id:
            self._hidden ^= {self._run_id}
            self._show()

    @on(RowTable.Selected)
    def action_monitor(self) -> None:
        """Watch the run under the cursor."""
        run_id = self._run_id
        if run_id:
            self.dismiss()
            self.bench.watch_run(run_id)

    def action_scroll(self, by: int) -> None:
        """Scroll the page that is shown."""
        page = self.query_one(f"#{PAGES[2] if self._page == 2 else PAGES[1]}", VerticalScroll)
        page.scroll_relative(y=by * max(1, page.size.height - 1), animate=False)

    def action_copy(self) -> None:
        """Copy the command that prints the same."""
        by = f" --by {self._view.x_label}" if self._view.x_label != "step" else ""
        self.bench.copy(f"dpo-workbench overlay {' '.join(self._run_ids)}{by}")

    def action_back(self) -> None:
        """Take back words or a zoom; then go back to the runs."""
        field = self.query_one("#filter", Input)
        if field.display:
            field.value = ""
            field.display = False
            self.query_one(RowTable).rows.focus()
        elif self._view.low is not None or self._view.high is not None:
            self.action_whole()
        else:
            self.dismiss()
