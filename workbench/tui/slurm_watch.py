"""What Slurm says of runs that are its jobs, asked for in a thread of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from workbench.base.text import clean
from workbench.tui.board import RunRow
from workbench.tui.messages import Said

if TYPE_CHECKING:
    from workbench.tui.app import WorkbenchApp

LOOK_SECONDS = 3.0
"""Which jobs are due is looked up this often; Slurm itself is asked more seldom."""


class SlurmWatch:
    """Has slurm.json of all runs kept up to date; the board reads it like every other file."""

    def __init__(self, app: WorkbenchApp) -> None:
        self._app = app
        self._asking = False
        self._next = 0.0
        self._told: set[str] = set()

    def look(self, rows: tuple[RunRow, ...]) -> None:
        """Ask Slurm in a thread where there are jobs; an answer that is late holds nothing up."""
        jobs = [row.id for row in rows if row.job and row.state != "finished"]
        if self._asking or not jobs or time.monotonic() < self._next:
            return
        self._asking = True
        self._app.run_worker(
            lambda: self._ask(jobs), thread=True, exit_on_error=False, group="slurm"
        )

    def _ask(self, jobs: list[str]) -> None:
        from workbench.run.slurm.job import ask_quietly

        try:
            trouble = clean(ask_quietly(map(self._app.actions.directory, jobs)), newlines=False)
        finally:
            self._next = time.monotonic() + LOOK_SECONDS
            self._asking = False
        if trouble and trouble not in self._told:
            self._told.add(trouble)
            self._app.post_message(Said(trouble))
