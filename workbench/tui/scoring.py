"""Scoring a run in the background, and showing what was found."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.message import Message

from workbench.tui.board import RunRow
from workbench.tui.messages import Changed, Then

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory
    from workbench.tui.app import WorkbenchApp

SIDES = ("base", "tuned")


class Scoring:
    """Measures one run at a time; the result is shown as a text, and kept."""

    def __init__(self, app: WorkbenchApp) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._measured = ""
        self._end: Callable[[], None] | None = None
        self._closed = False

    def score(self, row: RunRow) -> None:
        """Show the kept score of base and tuned; measure these weights where there is none."""
        if self._measured:
            self._app.say(f"{self._measured} is being measured; one at a time.")
            return
        run, app = self._app.actions.directory(row.id), self._app

        def kept() -> Message:
            text = kept_score(run)
            if text:
                return Then(lambda: self._show(text))
            return Then(lambda: self._measure(row, run))

        app.actions.in_thread("The run cannot be scored", kept)

    def _measure(self, row: RunRow, run: RunDirectory) -> None:
        if self._measured:
            return
        if row.distrust:
            self._app.say(f"{row.distrust}: it is only shown, nothing is done with it.")
            return
        self._measured = row.label
        self._app.say(
            f"Measuring {row.label}: base and tuned on held-out pairs. It takes minutes, and shows "
            "itself when it is done."
        )

        def work() -> Message:
            from workbench.judge.score_text import score_lines
            from workbench.judge.scores import Wanted, save, score
            from workbench.run.sides import find_side

            try:
                sides = [find_side(run, spec) for spec in SIDES]
                found = score(run, sides, Wanted(), begun=self._begun)
                save(run, found)
            finally:
                self._measured, self._end = "", None
            lines = score_lines(found.summary)
            return Changed() if self._closed else Then(lambda: self._show(lines))

        self._app.actions.in_thread("The run could not be scored", work)

    def _begun(self, end: Callable[[], None]) -> None:
        with self._lock:
            self._end = end
            if self._closed:
                end()

    def close(self) -> None:
        """End what is being measured: nobody would see it."""
        with self._lock:
            self._closed = True
            if self._end is not None:
                self._end()

    def _show(self, text: list[str]) -> None:
        from workbench.tui.dialogs.read import ReadDialog
        from workbench.tui.render import lines, plain

        text = [*text, "", "Measured anew by: dpo-workbench score RUN"]
        self._app.push_screen(ReadDialog("Score", lines(*(plain(line) for line in text))))


def kept_score(run: RunDirectory) -> list[str]:
    """The newest score of base and tuned in words; none where the run has trained on since."""
    from workbench.base.files import is_number
    from workbench.judge.score_text import score_lines
    from workbench.judge.scores import load_scores
    from workbench.run.record import read_record

    finished = read_record(run).finished
    for summary in reversed(load_scores(run)):
        when = summary.get("time")
        if summary.get("sides") != list(SIDES) or not is_number(when) or float(when) < finished:
            continue
        # A file that somebody else has written may hold anything.
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, IndexError):
            return score_lines(summary)
    return []
