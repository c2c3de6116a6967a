"""The history of runs as the list shows it: what a query chooses, looked up in a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from textual.message import Message

from workbench.base.problems import Problem, ProblemError
from workbench.run.query import TIMES, Key, Value, as_texts, parse_query
from workbench.tui.board import RunRow
from workbench.tui.messages import Changed, Said
from workbench.tui.render import ago, duration, join, number, plain

if TYPE_CHECKING:
    from workbench.base.paths import Paths
    from workbench.run.history import History
    from workbench.tui.app import WorkbenchApp

NARROWEST = 6
WIDEST = 14


@dataclass
class HistoryFound(Message):
    """What a query has chosen.

    Attributes:
        text: The query.
        order: Ids of the runs, in their order.
        key: What they are sorted by, None where they are in the order of their age.
        values: By id, what they are sorted by.
        problems: What is wrong with the query; nothing was chosen then.
    """

    text: str
    order: tuple[str, ...] = ()
    key: Key | None = None
    values: Mapping[str, Value] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


class Finder:
    """Chooses runs by a query. Its method reads files: call it from a thread."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._history: History | None = None

    def find(self, text: str) -> HistoryFound:
        """The runs that a query chooses."""
        from workbench.run.history import History, select

        if self._history is None:
            self._history = History(self._paths)
        try:
            query = parse_query(text)
            found = select(self._history.read(query.keys()), query)
        except ProblemError as error:
            return HistoryFound(text, problems=error.problems)
        return HistoryFound(
            text,
            tuple(one.facts.run.id for one in found),
            query.sort,
            {one.facts.run.id: one.value for one in found},
        )


def heading(key: Key) -> str:
    """A column's heading; of a long name the end, which tells it from its kin."""
    text = plain(key.text).plain
    return text if len(text) <= WIDEST else f"…{text[-WIDEST + 1 :]}"


def width(key: Key) -> int:
    """Cells of the column of a key."""
    return max(NARROWEST, len(heading(key)))


def shown(key: Key, value: Value, now: float) -> str:
    """A value as the column shows it; a dash for none."""
    if value is None or value == ():
        return "-"
    if isinstance(value, float) and key.kind == "number":
        if key.name in TIMES:
            return ago(value, now)
        if key.name == "seconds":
            return duration(value)
    if isinstance(value, float):
        return f"{value:.0f}" if key.kind == "number" else number(value)
    return plain(",".join(as_texts(value))).plain


def edit_notes(app: WorkbenchApp, row: RunRow) -> None:
    """Let the person write a run's tags and note."""
    from workbench.tui.dialogs.notes import NotesAnswer, NotesDialog

    if row.distrust:
        app.say(f"{row.distrust}: it is only shown, nothing is done with it.")
        return
    run = app.actions.directory(row.id)

    def answered(answer: NotesAnswer | None) -> None:
        if answer is None or answer == NotesAnswer((), (), None):
            return

        def work() -> Message:
            from workbench.run.notes import change_notes

            change_notes(run, add=answer.add, remove=answer.remove, text=answer.text)
            return Changed()

        app.actions.in_thread("The notes could not be saved", work)

    about = [plain(row.label, style="bold")]
    about += [plain(row.id, style="$muted")] if row.name else []
    app.push_screen(NotesDialog(join("  ").join(about), row.tags, row.note), answered)


def import_run(app: WorkbenchApp) -> None:
    """Ask for a trainer's folder and import the run that it holds."""
    from workbench.base.paths import existing
    from workbench.tui.dialogs.line import LineDialog

    folder = app.services.cwd
    missing = "There is no such file or folder."
    dialog = LineDialog(
        "Import a run",
        plain("Folder that a trainer has written, or its trainer_state.json. Only text is read."),
        fault=lambda text: "" if existing(folder, text) else missing,
        yes="Import",
    )

    def answered(text: str | None) -> None:
        path = existing(folder, text) if text else None
        if path is None:
            return

        def work() -> Message:
            from workbench.run.foreign_runs import find_state, read_foreign_run
            from workbench.run.importing import keep

            state = find_state(path)
            if state is None:
                what = "there is no trainer_state.json, and no checkpoint-N with one"
                hint = "Give a trainer's output folder or one of its checkpoints."
                raise ProblemError(Problem(what, str(path), hint))
            run = keep(app.services.paths, read_foreign_run(state))
            return Said(f"Imported as {run.id}. Only its curves are here.")

        app.actions.in_thread("The run could not be imported", work)

    app.push_screen(dialog, answered)


def tag_words(row: RunRow) -> str:
    """` #baseline #sweep`, empty without any."""
    return "".join(f" #{tag}" for tag in row.tags)


def open_overlay(app: WorkbenchApp, marked: Sequence[str], row: RunRow | None) -> None:
    """Lay the marked runs over one another, or a run over its kin; say so where there is no two.

    Args:
        marked: Ids of runs.
        row: The run that is looked at, which joins a single marked one.
    """
    from workbench.run.overlay import MOST_RUNS
    from workbench.tui.screens.overlay import OverlayScreen

    runs = tuple(marked)
    if len(runs) < 2 and row is not None:
        runs = (*runs, row.id) if runs and row.id not in runs else companions(row, app.rows)
    if len(runs) < 2:
        app.say("There is no other run of this recipe. Mark two or more with space in the list.")
    elif len(runs) > MOST_RUNS:
        app.say(f"{len(runs)} runs are marked; a chart tells {MOST_RUNS} apart.")
    else:
        app.push_screen(OverlayScreen(runs))


def companions(row: RunRow, rows: tuple[RunRow, ...]) -> tuple[str, ...]:
    """A run and the one to see it beside: its parent, else the newest of its kind."""
    by_id = {one.id: one for one in rows}
    if row.parent in by_id:
        return row.parent, row.id
    others = [one for one in rows if one.id != row.id and one.step > 0]
    kin = [one for one in others if one.title == row.title or one.name == row.name]
    return (row.id, kin[0].id) if kin else (row.id,)
