"""Watching one run: progress, curves, newest values, log."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Vertical
from textual.widgets import Log, Static

from workbench.tui.board import RunRow
from workbench.tui.charts import (
    CHARTS,
    PLOTTED,
    failure,
    fault_line,
    headline,
    note_line,
    page,
    progress,
    reading_line,
    resume_line,
    series,
    strip,
)
from workbench.tui.messages import RunWatched
from workbench.tui.render import lines
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.watching import LOG_LINES, RunView, RunWatcher
from workbench.tui.widgets.plot_panel import PlotPanel

LOOK_SECONDS = 1.0
PANELS = 4
PAIR_COLUMNS, GRID_COLUMNS, GRID_LINES = 76, 110, 28
NO_RUNS = "Nothing to watch yet.\n\nPress 1, pick a recipe and press r."


class MonitorScreen(WorkbenchScreen):
    """The run that the app watches, or else the newest."""

    MODE = "monitor"
    SPEAKING = ("stop", "resume")
    CSS_PATH = "monitor.tcss"
    HELP_TITLE = "Monitor"
    HELP_TEXT = (
        "Curves, newest values and log of one run. It trains without this app; what you see is "
        "read from its files, from the first step on. Points marked x are evaluations."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "page(1)", "More plots", id="monitor.more", tooltip="Show the next curves"),
        Binding("z", "zoom", "Zoom", id="monitor.zoom", tooltip="One large plot, and back"),
        Binding(
            "t",
            "stage",
            "Stage",
            show=False,
            id="monitor.stage",
            tooltip="Show the curves of the other stage",
        ),
        Binding("l", "log", "Log", id="monitor.log", tooltip="The whole screen for the log"),
        Binding(
            "c",
            "compare",
            "Compare",
            id="monitor.compare",
            tooltip="Ask the base and the tuned model side by side",
        ),
        Binding(
            "e",
            "score",
            "Score",
            show=False,
            id="monitor.score",
            tooltip="Measure whether the tuned model is better, and what it lost",
        ),
        Binding(
            "x",
            "stop",
            "Stop",
            id="monitor.stop",
            tooltip="Stop the run after its present step; asks first",
        ),
        Binding(
            "R",
            "resume",
            "Resume",
            show=False,
            key_display="R",
            id="monitor.resume",
            tooltip="Go on from the last checkpoint",
        ),
        Binding(
            "y",
            "copy",
            "Copy path",
            show=False,
            id="monitor.copy",
            tooltip="Copy the path of the run directory",
        ),
        Binding(
            "T",
            "timeline",
            "Timeline",
            show=False,
            key_display="T",
            id="monitor.timeline",
            tooltip="What each checkpoint answered to the recipe's prompts",
        ),
        Binding(
            "escape",
            "back",
            "Runs",
            show=False,
            id="monitor.back",
            tooltip="Back: from the log to the plots, from the plots to the runs",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._watcher: RunWatcher | None = None
        self._view: RunView | None = None
        self._looking = False
        self._first = 0
        self._zoomed = False
        self._stage = ""

    def compose_body(self) -> ComposeResult:
        """Head, curves, values, log."""
        ascii_only = self.bench.ascii_only
        yield Static("Looking for runs ...", id="none", classes="empty", markup=False)
        with Vertical(id="run"):
            yield Static("", id="head", markup=False)
            with Grid(id="plots"):
                for number in range(PANELS):
                    yield PlotPanel("", ascii_only=ascii_only, id=f"plot-{number}")
            yield Static("", id="strip", markup=False)
            yield Static("", id="failure", markup=False)
            yield Log(max_lines=LOG_LINES, id="log")

    def on_mount(self) -> None:
        """Look once a second while the screen is shown."""
        self.query_one("#run").display = False
        self.query_one("#log").border_title = "log"
        self.query_one("#failure").border_title = "this run did not end well"
        self.set_interval(LOOK_SECONDS, self._look)

    def shown(self) -> None:
        """Turn to the run that was asked for."""
        self._choose()
        self._look()

    def runs_changed(self, rows: tuple[RunRow, ...]) -> None:
        """The first runs became known, or the watched one is gone."""
        self._choose()

    def _choose(self) -> None:
        """Watch the run asked for, else a live one, else the newest."""
        rows = self.bench.rows
        asked = self.bench.watched
        if asked and self.bench.row(asked) is None and self._may_exist(asked):
            self._watch(asked)
            return
        known = self.bench.row(asked) or next((row for row in rows if row.active), None)
        row = known or (rows[0] if rows else None)
        if row is not None:
            self.bench.watched = row.id
            self._watch(row.id)
            return
        self._watcher = self._view = None
        self.query_one("#run").display = False
        nothing = self.query_one("#none", Static)
        nothing.display = True
        if self.bench.runs_known:
            nothing.update(NO_RUNS)

    def _may_exist(self, run_id: str) -> bool:
        """A run that was just launched is on disk before it is in the list."""
        return not self.bench.runs_known or self.bench.actions.directory(run_id).path.is_dir()

    def _watch(self, run_id: str) -> None:
        if self._watcher is not None and self._watcher.run.id == run_id:
            return
        self._watcher = RunWatcher(self.bench.actions.directory(run_id), PLOTTED)
        self._view, self._stage, self._first = None, "", 0
        self.query_one(Log).clear()
        self._look()

    def _look(self) -> None:
        if self._looking or self._watcher is None or not self.is_current:
            return
        self._looking = True
        watcher = self._watcher

        def work() -> None:
            try:
                view = watcher.look()
            finally:
                self._looking = False
            self.post_message(RunWatched(view))

        self.run_worker(work, thread=True, exit_on_error=False, group="watch")

    @on(RunWatched)
    def _watched(self, event: RunWatched) -> None:
        event.stop()
        view = event.view
        if self._watcher is None or view.row.id != self._watcher.run.id:
            self._look()
            return
        old, self._view = self._view, view
        if old is None or _differs(old, view):
            with self.app.batch_update():
                self.query_one("#none").display = False
                self.query_one("#run").display = True
                self._add_log(view)
                self._show()
        elif view.row.active:
            self._show_head(view)
        if old is None and self.focused is None:
            self.query_one(Log).focus()
        if old is None or old.row.state != view.row.state:
            self.refresh_bindings()
        if view.more:
            self._look()

    def _add_log(self, view: RunView) -> None:
        log = self.query_one(Log)
        if view.log_restarted:
            log.clear()
        if view.log:
            log.write_lines(view.log)

    @property
    def stage(self) -> str:
        """The stage whose curves are shown."""
        if self._stage or self._view is None:
            return self._stage
        return self._view.row.stage

    def _show(self) -> None:
        view = self._view
        if view is None:
            return
        self._show_head(view)
        bad = view.row.error is not None
        panel = self.query_one("#failure", Static)
        panel.display = bad
        if bad:
            panel.update(failure(view.row))
        # At 24 lines the reason and the log need the room more than the last values.
        values = self.query_one("#strip", Static)
        values.display = not self._log_only and (not bad or self.size.height >= GRID_LINES)
        parts = (
            strip(view),
            reading_line(view),
            resume_line(view, self.stage),
            fault_line(view),
            note_line(view, max(20, self.size.width - 4)),
        )
        values.update(lines(*(part for part in parts if part)))
        empty = not any(view.points.values())
        self.query_one("#plots").display = not (self._log_only or (bad and empty))
        self._show_plots(view)

    def _show_head(self, view: RunView) -> None:
        head = self.query_one("#head", Static)
        now = self.bench.services.clock()
        width = max(20, self.size.width - 4)
        bar = progress(view, now, width, ascii_only=self.bench.ascii_only)
        head.update(lines(headline(view, self.stage), bar))

    def _show_plots(self, view: RunView) -> None:
        charts = CHARTS.get(self.stage, CHARTS["dpo"])
        shown = page(charts, self._first, self._per_page)
        points = view.points.get(self.stage, {})
        for number in range(PANELS):
            panel = self.query_one(f"#plot-{number}", PlotPanel)
            panel.display = number < len(shown)
            if panel.display:
                panel.show(shown[number].title, series(shown[number], points))
        grid = self.query_one("#plots")
        grid.styles.grid_size_columns = 1 if len(shown) == 1 else 2
        grid.styles.grid_size_rows = 2 if len(shown) > 2 else 1

    @property
    def _per_page(self) -> int:
        width, height = self.size
        if self._zoomed or width < PAIR_COLUMNS:
            return 1
        return PANELS if width >= GRID_COLUMNS and height >= GRID_LINES else 2

    def on_resize(self, event: events.Resize) -> None:
        """Another number of plots may fit now."""
        self._first = 0
        self.call_after_refresh(self._show)

    @property
    def _log_only(self) -> bool:
        return self.query_one("#run").has_class("-log")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What cannot be done now is dim in the footer."""
        view = self._view
        if action == "stop":
            return True if view is not None and view.row.active else None
        if action == "resume":
            return True if view is not None and view.row.resumable else None
        if action == "stage":
            return True if view is not None and len(view.row.stages) > 1 else None
        return True

    def action_page(self, by: int) -> None:
        """Show the next curves."""
        charts = CHARTS.get(self.stage, CHARTS["dpo"])
        self._first += by * self._per_page
        if self._first >= len(charts):
            self._first = 0
        self._show()

    def action_zoom(self) -> None:
        """One large plot, or as many as fit."""
        self._zoomed = not self._zoomed
        self._first -= 0 if self._zoomed else self._first % self._per_page
        self._show()

    def action_stage(self) -> None:
        """Show the other stage's curves."""
        if self._view is not None and self._view.row.stages:
            stages = self._view.row.stages
            here = stages.index(self.stage) if self.stage in stages else 0
            self._stage = stages[(here + 1) % len(stages)]
            self._first = 0
            self._show()

    def action_log(self) -> None:
        """Give the log the whole screen, or take it back."""
        self.query_one("#run").toggle_class("-log")
        self.query_one(Log).focus()
        self._show()

    def action_back(self) -> None:
        """From the log to the plots, from the plots to the runs."""
        if self._log_only:
            self.action_log()
        else:
            self.bench.action_show("runs")

    def action_compare(self) -> None:
        """Compare base and tuned model of this run."""
        if self._watcher is not None:
            self.bench.compare_run(self._watcher.run.id)

    def action_score(self) -> None:
        """Measure base and tuned model of this run, or show what was measured."""
        if self._view is not None:
            self.bench.scoring.score(self._view.row)

    def action_timeline(self) -> None:
        """Show what each checkpoint of this run answered."""
        if self._watcher is not None:
            self.bench.show_timeline(self._watcher.run.id)

    def action_stop(self) -> None:
        """Stop the run, after a question."""
        if self._view is not None:
            self.bench.actions.stop(self._view.row)

    def action_resume(self) -> None:
        """Go on from the last checkpoint."""
        if self._view is not None:
            self.bench.actions.resume(self._view.row)

    def action_copy(self) -> None:
        """Copy the run directory's path."""
        if self._watcher is not None:
            self.bench.copy(str(self._watcher.run.path))


def _differs(old: RunView, new: RunView) -> bool:
    """Whether there is more to show than the clock; nothing else is worth a redraw."""
    same = old.row == new.row and old.points is new.points and old.faults == new.faults
    return not same or bool(new.log) or new.log_restarted or old.latest != new.latest
