"""All runs, newest first, and what can be done with them."""

from __future__ import annotations

import math
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from workbench.tui.board import RunRow
from workbench.tui.render import (
    ago,
    duration,
    join,
    lines,
    next_line,
    number,
    plain,
    sentence,
    stage_mark,
    state_mark,
    where_line,
)
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.row_table import Column, Row, RowTable

NO_RUNS = "No runs yet.\n\nPress 1, pick a recipe and press r."
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
    SPEAKING = ("stop", "resume", "delete")
    CSS_PATH = "runs.tcss"
    HELP_TITLE = "Runs"
    HELP_TEXT = (
        "Each launch of a recipe is a run. It trains in a process of its own: closing this app "
        "or losing the connection does not stop it. Stopped, failed and lost runs can be resumed "
        "from their last checkpoint.\n\n"
        "Runs in the queue start one after the other, one for each device, also without this app."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "monitor",
            "Monitor",
            key_display="enter",
            id="runs.monitor",
            tooltip="Watch the run",
        ),
        Binding(
            "c",
            "compare",
            "Compare",
            id="runs.compare",
            tooltip="Ask the base and the tuned model side by side",
        ),
        Binding(
            "e",
            "score",
            "Score",
            show=False,
            id="runs.score",
            tooltip="Measure whether the tuned model is better, and what it lost",
        ),
        Binding(
            "x,s",
            "stop",
            "Stop",
            key_display="x",
            id="runs.stop",
            tooltip="Stop the run after its present step; asks first",
        ),
        Binding(
            "R",
            "resume",
            "Resume",
            key_display="R",
            id="runs.resume",
            tooltip="Go on from the last checkpoint",
        ),
        Binding(
            "K",
            "move(-1)",
            "Earlier",
            key_display="K",
            id="runs.earlier",
            tooltip="Let a waiting run start one place earlier",
        ),
        Binding(
            "J",
            "move(1)",
            "Later",
            key_display="J",
            id="runs.later",
            tooltip="Let a waiting run start one place later",
        ),
        Binding(
            "Q",
            "queue",
            "Queue",
            key_display="Q",
            id="runs.queue",
            tooltip="Put the run into the queue, or take it out",
        ),
        Binding(
            "f",
            "fork",
            "Fork",
            id="runs.fork",
            tooltip="Train the weights of one of its checkpoints further in a new run",
        ),
        Binding("d", "delete", "Delete", id="runs.delete", tooltip="Delete the run; asks first"),
        Binding(
            "b",
            "vote",
            "Vote blind",
            show=False,
            id="runs.vote",
            tooltip="Vote blind on its answers",
        ),
        Binding(
            "y",
            "copy",
            "Copy path",
            show=False,
            id="runs.copy",
            tooltip="Copy the path of the run directory",
        ),
    ]

    def compose_body(self) -> ComposeResult:
        """Table, story of the chosen run."""
        yield RowTable(
            Column("state", 10),
            Column("run"),
            Column("recipe", 24, from_width=110),
            Column("stage", 5),
            Column("step", 11, right=True),
            Column("started", 8, right=True),
            Column("loss", 7, right=True, from_width=70),
            Column("acc", 5, right=True, from_width=76),
            id="table",
        )
        yield Static("Looking for runs ...", id="none", classes="empty", markup=False)
        yield Static("", id="story", markup=False)

    def on_mount(self) -> None:
        """Nothing is known yet."""
        self.query_one(RowTable).display = False

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
        table = self.query_one(RowTable)
        nothing = self.query_one("#none", Static)
        if self.bench.runs_known:
            nothing.update(NO_RUNS)
        nothing.display = not rows
        table.display = bool(rows)
        now = self.bench.services.clock()
        table.set_rows([Row(row.id, _cells(row, now)) for row in sorted(rows, key=_turn)])
        if rows and self.focused is None:
            table.rows.focus()
        self._show_story()

    @on(RowTable.Highlighted)
    def _show_story(self) -> None:
        row = self.row
        story = self.query_one("#story", Static)
        story.display = row is not None
        if row is not None:
            story.update(_story(row, self.bench.services.clock()))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What cannot be done with this run now is dim in the footer."""
        needed = STATE_ACTIONS.get(action)
        if needed is None and action not in ("monitor", "compare", "score", "copy"):
            return True
        row = self.row
        if row is None:
            return None
        allowed = {
            "active": row.active or row.place > 0,
            "waiting": row.place > 0,
            "queueable": row.place > 0 or row.resumable,
            "resumable": row.resumable,
            "ended": not row.active,
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

    def action_compare(self) -> None:
        """Compare base and tuned model of the run."""
        if self.row is not None:
            self.bench.compare_run(self.row.id)

    def action_vote(self) -> None:
        """Vote blind on the run's answers."""
        if self.row is not None:
            self.bench.vote_on(self.row.id)

    def action_score(self) -> None:
        """Measure base and tuned model of the run, or show what was measured."""
        if self.row is not None:
            self.bench.scoring.score(self.row)

    def action_stop(self) -> None:
        """Stop it, after a question."""
        if self.row is not None:
            self.bench.actions.stop(self.row)

    def action_resume(self) -> None:
        """Go on from the last checkpoint."""
        if self.row is not None:
            self.bench.actions.resume(self.row)

    def action_fork(self) -> None:
        """Train its weights further in a new run."""
        if self.row is not None:
            self.bench.actions.fork(self.row)

    def action_queue(self) -> None:
        """Put it into the queue, or take it out."""
        if self.row is not None:
            self.bench.actions.queue(self.row)

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


def _turn(row: RunRow) -> tuple[bool, float]:
    """What is at work comes first, then what waits, in its order, then the rest, newest first."""
    return not row.active, row.place or math.inf


def _state(row: RunRow) -> Content:
    if not row.place:
        return state_mark(row.state)
    # The column has no cell for a second digit.
    words = f"queued {row.place}" if row.place < 10 else f"queue {row.place}"
    return join(("○ ", "$primary"), words)


def _cells(row: RunRow, now: float) -> tuple[Content, ...]:
    steps = f"{row.step}/{row.max_steps}" if row.max_steps else "-"
    accuracy = number(row.accuracy, 2) if row.accuracy is not None else "-"
    return (
        _state(row),
        plain(row.label),
        plain(row.title, style="$muted"),
        plain(row.stage or "-"),
        plain(steps),
        plain(ago(row.started or row.created, now), style="$muted"),
        plain(number(row.loss)),
        plain(accuracy),
    )


def _story(row: RunRow, now: float) -> Content:
    """What happened to a run, and for one that failed what to do next."""
    took = duration(row.seconds(now)) if row.started else "not started"
    parts = [
        join(plain(row.title or row.label, style="bold"), "  ", plain(row.id, style="$faint")),
        join(
            state_mark(row.state),
            ("   stages ", "$muted"),
            stage_mark(row.stages),
            ("   time ", "$muted"),
            took,
        ),
    ]
    if row.distrust:
        parts.append(sentence(f"{row.distrust}: it is only shown, nothing is done with it."))
    if row.place:
        parts.append(next_line("it starts when its device is free; R starts it now"))
    elif row.error is not None:
        what, where, next_step = row.error
        parts.append(sentence(what, style="$error"))
        if where:
            parts.append(where_line(where))
        if next_step:
            parts.append(next_line(next_step))
    elif row.state == "stopped":
        parts.append(next_line("R resumes it from its checkpoint"))
    elif row.state == "finished":
        parts.append(next_line("c compares it with the base model, e scores both"))
    return lines(*parts)
