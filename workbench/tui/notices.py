"""What the app tells beside its screens: that a run is over, and how far it is."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from workbench.base.terminal import (
    GIVE_TITLE_BACK,
    KEEP_TITLE,
    notification,
    title_sequence,
)
from workbench.run.states import END_STATES
from workbench.tui.board import RunRow

if TYPE_CHECKING:
    from workbench.run.preferences import Preferences
    from workbench.tui.app import WorkbenchApp

GOOD_ENDS = ("finished", "stopped")
TOAST_SECONDS = 10.0


class Notices:
    """Tells each end of a run once, by a toast, and by the terminal as the user prefers."""

    def __init__(self, app: WorkbenchApp) -> None:
        self._app = app
        self._preferences: Preferences | None = None
        self._ended: set[tuple[str, float]] | None = None
        self._title = ""

    def load(self) -> list[str]:
        """Read the user's preferences, once; what is wrong with them. Call it from a thread."""
        if self._preferences is not None:
            return []
        from workbench.run.preferences import load_preferences

        self._preferences, problems = load_preferences(self._app.services.paths)
        return [str(problem) for problem in problems]

    def look(self, rows: tuple[RunRow, ...]) -> None:
        """Tell which runs have ended since the last look; at the first one nothing is new."""
        # A run that is resumed ends again: then it has begun at another time.
        ended = {(row.id, row.started): row for row in rows if row.state in END_STATES}
        if self._ended is None:
            self._ended = set(ended)
        news = [row for key, row in ended.items() if key not in self._ended]
        self._ended |= set(ended)
        for row in news:
            self._tell(row)
        self._show_title(rows)

    def _tell(self, row: RunRow) -> None:
        from workbench.run.notify import end_sentence

        detail = row.error[0] if row.error else ""
        if row.state == "finished" and row.accuracy is not None:
            detail = f"accuracy {row.accuracy:.2f}"
        seconds = row.seconds(self._app.services.clock()) or 0.0
        words = end_sentence(row.label, row.state, seconds, detail)
        severity = "information" if row.state in GOOD_ENDS else "error"
        self._app.notify(words, severity=severity, timeout=TOAST_SECONDS, markup=False)  # type: ignore[arg-type]
        if self._preferences is None:
            return
        if self._preferences.bell:
            self._app.bell()
        self.write(notification(self._preferences.notify, "dpo-workbench", words))

    def _show_title(self, rows: tuple[RunRow, ...]) -> None:
        if self._preferences is None or not self._preferences.terminal_title:
            return
        live = [row for row in rows if row.active]
        words = "dpo-workbench"
        if live:
            row = next((row for row in live if row.id == self._app.watched), live[0])
            step = f"{row.step}/{row.max_steps}" if row.max_steps else row.state
            words = f"{row.stage} {step} {row.label}".strip()
        if words != self._title:
            self.write(("" if self._title else KEEP_TITLE) + title_sequence(words))
            self._title = words

    def give_title_back(self) -> None:
        """Leave the terminal's title as it was; call it when the app has ended."""
        if self._title:
            with suppress(OSError):
                sys.stdout.write(title_sequence("") + GIVE_TITLE_BACK)
                sys.stdout.flush()

    def write(self, sequence: str) -> None:
        """Send a sequence to the terminal between two frames, never into the middle of one."""
        # Textual has no public way for this; its own clipboard and bell do the same.
        driver = self._app._driver
        if sequence and driver is not None and not self._app.is_headless:
            driver.write(sequence)
