"""Telling the terminal of a command that follows a run how far it is, and when it is over."""

from __future__ import annotations

import contextlib
import sys
from types import TracebackType
from typing import TextIO

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.base.terminal import (
    BELL,
    GIVE_TITLE_BACK,
    KEEP_TITLE,
    notification,
    title_sequence,
)
from workbench.cli.execute import report
from workbench.run.directory import RunDirectory
from workbench.run.notify import describe_end, progress_words
from workbench.run.preferences import load_preferences
from workbench.run.record import RunRecord, is_active


class Announcer:
    """Rings, notifies and sets the title as the user's preferences say; a context manager.

    Nothing is written where no terminal is attached.

    Args:
        stream: The terminal; stderr or stdout where one of them is one, if not given.
    """

    def __init__(self, run: RunDirectory, paths: Paths, stream: TextIO | None = None) -> None:
        self._run = run
        self._preferences, problems = load_preferences(paths)
        if problems:
            report(ProblemError(*problems))
        attached = (one for one in (sys.stderr, sys.stdout) if one.isatty())
        self._terminal = stream or next(attached, None)
        self._was_active = False
        self._title = ""

    def __enter__(self) -> Announcer:
        return self

    def look(self, record: RunRecord) -> None:
        """Take in how the run stands now; what ends a run that was at work is told once."""
        if is_active(record):
            self._was_active = True
            self._show_title(progress_words(record))
        elif self._was_active:
            self._was_active = False
            body = describe_end(self._run, record)
            bell = BELL if self._preferences.bell else ""
            self._write(bell + notification(self._preferences.notify, "dpo-workbench", body))

    def _show_title(self, words: str) -> None:
        if self._preferences.terminal_title and words != self._title:
            self._write(("" if self._title else KEEP_TITLE) + title_sequence(words))
            self._title = words

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._title:
            self._write(title_sequence("") + GIVE_TITLE_BACK)

    def _write(self, sequence: str) -> None:
        if self._terminal is not None and sequence:
            with contextlib.suppress(OSError):
                self._terminal.write(sequence)
                self._terminal.flush()
