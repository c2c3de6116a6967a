"""All runs, newest first, and what can be done with them."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input, Static

from workbench.tui.board import RunRow
from workbench.tui.history import (
    Finder,
    HistoryFound,
    edit_notes,
    import_run,
    open_overlay,
    shown,
)
from workbench.tui.render import (
    plain,
)
from workbench.tui.run_rows import COLUMNS, ONLY_CURVES, cells, columns, story, turn
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.screens.runs_keys import KEYS
from workbench.tui.widgets.row_table import Row, RowTable
from workbench.tui.widgets.steady_input import SteadyInput

NO_RUNS = "No runs yet.\n\nPress 1, pick a recipe and press r."
NONE_FOUND = "No run fulfils this. Escape shows all runs again."
EXAMPLES = "words  tag:base  state:finished  beta>0.1  best:eval_loss<0.6  sort:-loss"
ON_A_RUN = ("monitor", "compare", "score", "copy", "mark", "overlay", "notes", "fork", "vote")
NEED_WEIGHTS = ("compare", "score", "fork", "vote", "resume", "queue")
STATE_ACTIONS = {
    "stop": "active",
    "resume": "resumable",
    "delete": "ended",
    "queue": "queueable",
    "move": "waiting",
}


class RunsScreen(WorkbenchScreen):
    """Table of runs with the chosen one's story below."""

    MODE = "runs"
    SPEAKING = ("stop", "resume", "delete", *NEED_WEIGHTS)
    CSS_PATH = "runs.tcss"
    HELP_TITLE = "Runs"
    HELP_TEXT = (
        "Each launch of a recipe is a run. It trains in a process of its own: closing this app "
        "or losing the connection does not stop it. Stopped, failed and lost runs can be resumed "
        "from their last checkpoint.\n\n"
        "Runs in the queue start one after the other, one for each device, also without this app."
        "\n\n/ takes words, tag:base, state:finished, beta>0.1, eval_loss<0.6, best:eval_loss<0.6, "
        "-tag:old and sort:-loss. What else it takes: dpo-workbench runs --help."
    )
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(self) -> None:
        super().__init__()
        self._finder: Finder | None = None
        self._found: HistoryFound | None = None
        self._marked: list[str] = []
        self._finding = False

    def compose_body(self) -> ComposeResult:
        """Query, table, story of the chosen run."""
        yield SteadyInput(placeholder=EXAMPLES, id="filter")
        yield Static("", id="said", markup=False)
        yield RowTable(*COLUMNS, id="table")
        yield Static("Looking for runs ...", id="none", classes="empty", markup=False)
        yield Static("", id="story", markup=False)

    def on_mount(self) -> None:
        """Nothing is known yet."""
        self.query_one(RowTable).display = False
        self.query_one("#filter").display = False
        self.query_one("#said").display = False
        self._finder = Finder(self.bench.services.paths)

    def shown(self) -> None:
        """Follow what happened meanwhile."""
        self.bench.read_runs()

    @property
    def row(self) -> RunRow | None:
        """The run under the cursor."""
        table = self.query_one(RowTable)
        return self.bench.row(table.key) if table.display else None

    def runs_changed(self, rows: tuple[RunRow, ...]) -> None:
        """Show the new state of the runs."""
        known = {row.id for row in rows}
        self._marked = [run_id for run_id in self._marked if run_id in known]
        if self._query:
            self._find()
        self._show_rows()

    @property
    def _query(self) -> str:
        return self.query_one("#filter", Input).value.strip()

    def _chosen(self) -> list[RunRow]:
        """The rows that the query leaves, in its order."""
        found, rows = self._found, self.bench.rows
        if not self._query or found is None:
            return sorted(rows, key=turn)
        by_id = {row.id: row for row in rows}
        chosen = [by_id[run_id] for run_id in found.order if run_id in by_id]
        return chosen if found.key else sorted(chosen, key=turn)

    def _show_rows(self) -> None:
        table, nothing = self.query_one(RowTable), self.query_one("#none", Static)
        rows, key = self._chosen(), self._found.key if self._found and self._query else None
        if self.bench.runs_known:
            nothing.update(NONE_FOUND if self.bench.rows else NO_RUNS)
        nothing.display = not rows
        table.display = bool(rows)
        now = self.bench.services.clock()
        values = self._found.values if self._found else {}
        table.set_columns(*columns(key))
        lines = []
        for row in rows:
            extra = (plain(shown(key, values.get(row.id), now)),) if key else ()
            mark = row.id in self._marked if self._marked else None
            lines.append(Row(row.id, (*cells(row, now, mark), *extra)))
        table.set_rows(lines)
        if rows and self.focused is None:
            table.rows.focus()
        self._show_said(len(rows))
        self._show_story()

    def _show_said(self, count: int) -> None:
        """What is wrong with the query, or how many runs it leaves."""
        said = self.query_one("#said", Static)
        found = self._found
        said.display = bool(self._query)
        if not said.display:
            return
        if found is None:
            said.update(plain("Looking at the runs ...", style="$muted"))
        elif found.problems:
            said.update(plain(str(found.problems[0]), style="$warning"))
        else:
            of = f"{count} of {len(self.bench.rows)} runs"
            order = f", by {found.key.text}" if found.key else ""
            said.update(plain(f"{of}{order}", style="$muted"))

    def _find(self) -> None:
        """Choose runs in a thread; what is typed meanwhile comes next."""
        finder = self._finder
        if self._finding or finder is None:
            return
        self._finding = True
        text = self._query

        def work() -> None:
            try:
                found = finder.find(text)
            finally:
                self._finding = False
            self.post_message(found)

        self.run_worker(work, thread=True, exit_on_error=False, group="watch")

    @on(HistoryFound)
    def _history_found(self, event: HistoryFound) -> None:
        event.stop()
        if event.problems and self._found is not None:
            # Half a word is no reason to show other runs.
            self._found = replace(self._found, problems=event.problems)
        elif event.problems:
            order = tuple(row.id for row in self.bench.rows)
            self._found = replace(event, order=order)
        else:
            self._found = event
        if event.text != self._query:
            self._find()
        self._show_rows()

    def action_filter(self) -> None:
        """Type what to choose by."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    @on(Input.Changed, "#filter")
    def _filter_changed(self) -> None:
        if self._query:
            self._find()
        else:
            self._found = None
        self._show_rows()

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self.query_one("#filter").display = bool(self._query)
        self._focus_table()

    def _focus_table(self) -> None:
        table = self.query_one(RowTable)
        if table.display:
            table.rows.focus()
        else:
            self.set_focus(None)

    def action_clear(self) -> None:
        """Show all runs again; then forget the marks."""
        field = self.query_one("#filter", Input)
        if field.display:
            field.value = ""
            field.display = False
        else:
            self._marked.clear()
        self._found = None
        self._show_rows()
        self._focus_table()

    def action_mark(self) -> None:
        """Mark the run under the cursor, or take its mark away, and go on to the next."""
        row = self.row
        if row is None:
            return
        if row.id in self._marked:
            self._marked.remove(row.id)
        else:
            self._marked.append(row.id)
        self._show_rows()
        self.query_one(RowTable).rows.action_cursor_down()

    def action_overlay(self) -> None:
        """Lay the marked runs over one another, or this one over its kin."""
        open_overlay(self.bench, self._marked, self.row)

    def action_notes(self) -> None:
        """Edit tags and note of the run."""
        if self.row is not None:
            edit_notes(self.bench, self.row)

    def action_import(self) -> None:
        """Import a run of another trainer."""
        import_run(self.bench)

    @on(RowTable.Highlighted)
    def _show_story(self) -> None:
        row = self.row
        place = self.query_one("#story", Static)
        place.display = row is not None
        if row is not None:
            place.update(story(row, self.bench.services.clock()))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What cannot be done with this run now is dim in the footer."""
        needed = STATE_ACTIONS.get(action)
        if needed is None and action not in ON_A_RUN:
            return True
        row = self.row
        if row is None:
            return None
        if row.imported and action in NEED_WEIGHTS:
            return False if action == "queue" else None
        allowed = {
            "active": row.active or row.submitted or row.place > 0,
            "waiting": row.place > 0,
            "queueable": row.place > 0 or row.resumable,
            "resumable": row.resumable,
            "ended": not row.active and not row.submitted,
        }
        if needed in ("waiting", "queueable") and not allowed[needed]:
            return False
        if action == "compare" and row.place:
            return False  # The footer's width is better spent on the queue's keys.
        return True if needed is None or allowed[needed] else None

    @on(RowTable.Selected)
    def _selected(self) -> None:
        self.action_monitor()

    def action_monitor(self) -> None:
        """Watch the run under the cursor."""
        if self.row is not None:
            self.bench.watch_run(self.row.id)

    @property
    def _row_with_weights(self) -> RunRow | None:
        """The run under the cursor, unless only its curves are here, which is said."""
        row = self.row
        if row is not None and row.imported:
            self.bench.say(ONLY_CURVES)
            return None
        return row

    def action_compare(self) -> None:
        """Compare base and tuned model of the run."""
        if (row := self._row_with_weights) is not None:
            self.bench.compare_run(row.id)

    def action_vote(self) -> None:
        """Vote blind on the run's answers."""
        if (row := self._row_with_weights) is not None:
            self.bench.vote_on(row.id)

    def action_score(self) -> None:
        """Measure base and tuned model of the run, or show what was measured."""
        if (row := self._row_with_weights) is not None:
            self.bench.scoring.score(row)

    def action_stop(self) -> None:
        """Stop it, after a question."""
        if self.row is not None:
            self.bench.actions.stop(self.row)

    def action_resume(self) -> None:
        """Go on from the last checkpoint."""
        if (row := self._row_with_weights) is not None:
            self.bench.actions.resume(row)

    def action_fork(self) -> None:
        """Train its weights further in a new run."""
        if (row := self._row_with_weights) is not None:
            self.bench.actions.fork(row)

    def action_queue(self) -> None:
        """Put it into the queue, or take it out."""
        if (row := self._row_with_weights) is not None:
            self.bench.actions.queue(row)

    def action_move(self, by: int) -> None:
        """Let it start earlier or later."""
        if self.row is not None:
            self.bench.actions.move(self.row, by)

    def action_delete(self) -> None:
        """Delete it, after a question."""
        if self.row is not None:
            self.bench.actions.delete(self.row)

    def action_copy(self) -> None:
        """Copy the run directory's path."""
        if self.row is not None:
            self.bench.copy(str(self.bench.actions.directory(self.row.id).path))
