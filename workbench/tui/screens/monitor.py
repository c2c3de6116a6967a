"""Watching one run: progress, curves, newest values, log."""

from __future__ import annotations

import time
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.widgets import Log, Static

from workbench.tui.board import RunRow
from workbench.tui.chart_deck import ChartDeck
from workbench.tui.charts import (
    failure,
    fault_line,
    headline,
    machine_words,
    next_words,
    note_line,
    progress,
    rank_words,
    reading_line,
    strip,
    time_words,
)
from workbench.tui.health import health_words
from workbench.tui.joined_stages import ALL_STAGES
from workbench.tui.messages import RunWatched
from workbench.tui.render import lines, plain
from workbench.tui.screens.chart_keys import WIDE_PANEL, ChartScreen
from workbench.tui.screens.monitor_keys import KEYS
from workbench.tui.watching import LOG_LINES, RunView, RunWatcher
from workbench.tui.widgets.plot_panel import PlotPanel
from workbench.tui.widgets.steady_input import SteadyInput

LOOK_SECONDS = 1.0
READING_SECONDS = 0.3
# So many charts that live are drawn anew every other second: else they would be 30 kB a second.
CALM_PANELS, CALM_SECONDS = 4, 1.5
PANELS = 9
PAIR_COLUMNS, TRIPLE_COLUMNS = 76, 165
NEXT_LINES, GRID_LINES, TRIPLE_LINES = 20, 28, 52
NO_RUNS = "Nothing to watch yet.\n\nPress 1, pick a recipe and press r."


class MonitorScreen(ChartScreen):
    """The run that the app watches, or else the newest."""

    MODE = "monitor"
    SPEAKING = ("stop", "resume")
    CSS_PATH = "monitor.tcss"
    HELP_TITLE = "Monitor"
    HELP_TEXT = (
        "Curves, newest values and log of one run. It trains without this app; what you see is "
        "read from its files, from the first step on. Points that stand alone are evaluations. "
        "On the x axis: ▴ checkpoint, ↻ resumed, ■ stopped, ★ best evaluation."
    )
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(self) -> None:
        super().__init__()
        self._watcher: RunWatcher | None = None
        self._view: RunView | None = None
        self._looking = False
        self._texts: dict[str, Content] = {}
        self._drawn, self._skipped = 0.0, False
        self._stage = ""

    def compose_body(self) -> ComposeResult:
        """Head, curves, values, log."""
        ascii_only = self.bench.ascii_only
        self.deck = ChartDeck(ascii_only=ascii_only)
        yield Static("Looking for runs ...", id="none", classes="empty", markup=False)
        with Vertical(id="run"):
            yield Static("", id="head", markup=False)
            yield SteadyInput(id="filter", placeholder="words of a metric's name, or loss*")
            yield Static("", id="looking", markup=False)
            with Grid(id="plots"):
                for number in range(PANELS):
                    yield PlotPanel("", ascii_only=ascii_only, id=f"plot-{number}")
            yield Static("", id="strip", markup=False)
            yield Static("", id="failure", markup=False)
            yield Log(max_lines=LOG_LINES, id="log")

    def on_mount(self) -> None:
        """Look once a second while the screen is shown."""
        self.query_one("#run").display = False
        self.query_one("#filter").display = False
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
        services = self.bench.services
        run = self.bench.actions.directory(run_id)
        self._watcher = RunWatcher(run, services.paths, services.clock)
        self._view, self._stage = None, ""
        self.deck.begin()
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
        self._received(old, view)
        if view.more:
            self._look()

    def _received(self, old: RunView | None, view: RunView) -> None:
        """Show what is new; a long history is drawn now and then while it is being read."""
        reading = view.more and old is not None and not view.log
        if reading and time.monotonic() < self._drawn + READING_SECONDS:
            self._skipped = True
            return
        if self._skipped or old is None or _differs(old, view):
            calm = old is not None and view.row.active and self.per_page > CALM_PANELS
            self._skipped = calm and time.monotonic() < self._drawn + CALM_SECONDS
            self._drawn = self._drawn if self._skipped else time.monotonic()
            stage = self.stage
            with self.app.batch_update():
                if old is not None and old.row.stage != view.row.stage and not self._stage:
                    self.deck.begin()
                self.deck.take(view, stage)
                self.query_one("#none").display = False
                self.query_one("#run").display = True
                self._add_log(view)
                self._show(charts=not self._skipped)
            self.want()
        elif view.row.active:
            self._show_head(view)
        if old is None and self.focused is None:
            self.panel(self.deck.chosen).focus(scroll_visible=False)
        if old is None or old.row.state != view.row.state:
            self.refresh_bindings()

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

    def _show(self, *, charts: bool = True) -> None:
        view = self._view
        if view is None:
            return
        self._show_head(view)
        bad = view.row.error is not None
        self.query_one("#run").set_class(self.deck.alone, "-large")
        panel = self.query_one("#failure", Static)
        panel.display = bad
        if bad:
            self._put("#failure", failure(view.row))
        width = max(20, self.size.width - 4)
        # At 24 lines the reason and the log need the room more than the last values.
        values = self.query_one("#strip", Static)
        roomy = self.size.height >= GRID_LINES
        values.display = not self._log_only and (roomy or (not bad and not self._short))
        parts = (
            strip(view),
            rank_words(view, width),
            reading_line(view),
            fault_line(view),
            note_line(view, width),
            *((time_words(view, width), machine_words(view, width)) if roomy else ()),
        )
        self._put("#strip", lines(*(part for part in parts if part)))
        empty = not any(view.points.values())
        self.query_one("#plots").display = not (self._log_only or (bad and empty))
        if charts:
            self.show_charts()

    def _show_head(self, view: RunView) -> None:
        now = self.bench.services.clock()
        width = max(20, self.size.width - 4)
        bar = progress(view, now, width, ascii_only=self.bench.ascii_only)
        health = health_words(view, width, ascii_only=self.bench.ascii_only)
        parts = [headline(view, self.stage), bar, health]
        if not self._short:
            parts.append(next_words(view))
        self._put("#head", lines(*(part for part in parts if part)))

    def _put(self, selector: str, content: Content) -> None:
        """Change a text where it is another one; with a layout, which costs most, if need be."""
        old = self._texts.get(selector, Content(""))
        if not content.is_same(old):
            self._texts[selector] = content
            higher = old.plain.count("\n") != content.plain.count("\n")
            self.query_one(selector, Static).update(content, layout=higher or not old)

    def show_charts(self) -> None:
        """Draw the open charts; those that look the same as before cost nothing."""
        if self._log_only:
            return
        shown = self.deck.page(self.per_page)
        chart_view = self.deck.chart_view()
        columns = self._grid[0] if len(shown) > 1 else 1
        grid = self.query_one("#plots")
        grid.styles.grid_size_columns = columns
        grid.styles.grid_size_rows = max(1, -(-len(shown) // columns))
        wide = self.size.width // columns >= WIDE_PANEL
        for number in range(PANELS):
            panel = self.panel(number)
            panel.display = number < len(shown)
            if panel.display:
                chart = shown[number]
                note = self.deck.note(chart, wide=wide)
                panel.show(chart.title, self.deck.series(chart), chart_view, note)
        looking = self.query_one("#looking", Static)
        looking.display = self.deck.changed or self.size.height >= GRID_LINES
        if looking.display:
            parts = [self.deck.words(self.per_page), self.deck.marks_legend()]
            words = "      ".join(part for part in parts if part)
            self._put("#looking", plain(words, style="$muted"))

    @property
    def _short(self) -> bool:
        """Whether the terminal has no lines to spare beside the chart, the log and the health."""
        return self.size.height < NEXT_LINES

    @property
    def _grid(self) -> tuple[int, int]:
        """Columns and rows of charts that fit."""
        width, height = self.size
        columns = sum(width >= least for least in (0, PAIR_COLUMNS, TRIPLE_COLUMNS))
        rows = sum(height >= least for least in (0, GRID_LINES, TRIPLE_LINES))
        return columns, rows

    @property
    def room(self) -> int:
        """How many charts fit."""
        columns, rows = self._grid
        return columns * rows

    @property
    def per_page(self) -> int:
        """How many charts are shown together."""
        return 1 if self.deck.alone else self.room

    def want(self) -> None:
        """Look again when the charts want something else of the run."""
        wanted = self.deck.wanted(self.per_page)
        if self._watcher is not None and wanted != self._watcher.wanted:
            self._watcher.wanted = wanted
            self._look()

    def on_resize(self, event: events.Resize) -> None:
        """Another number of charts may fit now."""
        self.deck.first = 0
        self.call_after_refresh(self._show)

    @property
    def _log_only(self) -> bool:
        return self.query_one("#run").has_class("-log")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What cannot be done now is dim in the footer."""
        view = self._view
        if action == "stop":
            at_hand = view is not None and (view.row.active or view.row.submitted)
            return True if at_hand else None
        if action == "resume":
            return True if view is not None and view.row.resumable else None
        if action == "stage":
            return True if view is not None and len(view.row.stages) > 1 else None
        return True

    def action_stage(self) -> None:
        """Show the curves of another stage, or of all stages one after the other."""
        if self._view is not None and self._view.row.stages:
            choices = [*self._view.row.stages, ALL_STAGES]
            here = choices.index(self.stage) if self.stage in choices else 0
            self._stage = choices[(here + 1) % len(choices)]
            self.deck.begin()
            self.deck.take(self._view, self._stage)
            self._show()
            self.want()

    def action_log(self) -> None:
        """Give the log the whole screen, or take it back."""
        self.query_one("#run").toggle_class("-log")
        self.query_one(Log).focus()
        self._show()

    def action_back(self) -> None:
        """One thing back, at last to the runs."""
        if self._log_only:
            self.action_log()
        elif not self.step_back():
            self.bench.action_show("runs")

    def action_compare(self) -> None:
        """Compare base and tuned model of this run."""
        if self._watcher is not None:
            self.bench.compare_run(self._watcher.run.id)

    def action_score(self) -> None:
        """Measure base and tuned model of this run, or show what was measured."""
        if self._view is not None:
            self.bench.scoring.score(self._view.row)

    def action_health(self) -> None:
        """Show what is wrong with this run, why, and what to change."""
        from workbench.tui.dialogs.health import HealthDialog

        if self._view is not None:
            row = self._view.row
            self.app.push_screen(HealthDialog(row.label, self._view.findings, ended=not row.active))

    def action_machine(self) -> None:
        """Show GPUs, CPU, memory and disk, and what this run takes of them."""
        from workbench.tui.machine import show_machine

        show_machine(self.bench, self._watcher.run.id if self._watcher is not None else "")

    def action_overlay(self) -> None:
        """Lay this run over its parent, or over the newest other run of its recipe."""
        from workbench.tui.history import open_overlay

        open_overlay(self.bench, (), self._view.row if self._view is not None else None)

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
    same = same and old.wanted == new.wanted and old.findings == new.findings
    same = same and old.machine == new.machine and old.scaling == new.scaling
    return not same or bool(new.log) or new.log_restarted or old.latest != new.latest
