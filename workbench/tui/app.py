"""The terminal app: four screens over files on disk. Closing it never stops a run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.app import App, ScreenStackError, SystemCommand
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.screen import Screen
from textual.signal import Signal
from textual.worker import Worker, WorkerState

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.base.text import clean
from workbench.tui.actions import RunActions
from workbench.tui.board import RunBoard, RunRow, parting_words
from workbench.tui.commands import MODES, commands
from workbench.tui.looking import LookEvent, Looking
from workbench.tui.messages import Changed, Failed, RunsRead, RunStarted, Said, Then
from workbench.tui.notices import Notices
from workbench.tui.queueing import QueueWatch
from workbench.tui.scoring import Scoring
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.services import (
    AnswersFactory,
    DataLooksFactory,
    Launcher,
    Services,
    real_answers,
    real_data_looks,
)
from workbench.tui.slurm_watch import SlurmWatch
from workbench.tui.theme import FALLBACK_VARIABLES, THEMES

if TYPE_CHECKING:
    from textual.driver import Driver

    from workbench.tui.conversation import Seat

POLL_SECONDS = 1.0
LEAVE_SECONDS = 2.0
POLLING = ("runs", "watch")
CLIPBOARD_LIMIT_BYTES = 74_000


class WorkbenchApp(App[int]):
    """The app.

    Args:
        paths: The user's folders.
        launcher: Starts, stops, resumes and deletes runs; `workbench.run.launch` when None.
        clock: Seconds since the epoch.
        answers: Makes the process that answers in the compare screen.
        cwd: Folder in which `./recipes` is looked for; the present one when None.
        open_run: Id of a run to watch right away.
        screen: Mode to begin with.
        data_looks: Makes the process that looks at data.
    """

    TITLE = "dpo-workbench"
    CSS_PATH = "app.tcss"
    DEFAULT_MODE = "recipes"
    MODES = MODES
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "show('recipes')", "Recipes", show=False, id="app.recipes"),
        Binding("2", "show('runs')", "Runs", show=False, id="app.runs"),
        Binding("3", "show('monitor')", "Monitor", show=False, id="app.monitor"),
        Binding("4", "show('compare')", "Compare", show=False, id="app.compare"),
        Binding("question_mark,f1", "help", "Help", key_display="?", id="app.help"),
        Binding("q", "quit", "Quit", id="app.quit-list"),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True, id="app.quit"),
    ]

    def __init__(
        self,
        paths: Paths,
        *,
        launcher: Launcher | None = None,
        clock: Callable[[], float] = time.time,
        answers: AnswersFactory = real_answers,
        cwd: Path | None = None,
        open_run: str = "",
        screen: str = "",
        data_looks: DataLooksFactory = real_data_looks,
    ) -> None:
        super().__init__()
        folder = cwd or Path.cwd()
        self.services = Services(paths, launcher, clock, answers, folder, data_looks)
        self.actions = RunActions(self)
        self.scoring = Scoring(self)
        self.looking = Looking(self)
        self.rows: tuple[RunRow, ...] = ()
        self.runs_changed: Signal[tuple[RunRow, ...]] = Signal(self, "runs-changed")
        self.runs_known = False
        self.watched = open_run
        self.compared = ""
        self.asked_sides: tuple[Seat, ...] = ()
        self.ascii_only = bool(os.environ.get("NO_COLOR") or os.environ.get("DPO_WORKBENCH_ASCII"))
        self.notices = Notices(self)
        self._board = RunBoard(paths)
        self._queue = QueueWatch(self.services)
        self._slurm = SlurmWatch(self)
        self._reading = False
        self._told: set[str] = set()
        self._leaving: Screen[bool] | None = None
        self._first_mode = "monitor" if open_run else screen
        self.animation_level = "none"
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name

    def get_driver_class(self) -> type[Driver]:
        """The terminal's driver; where plain letters are asked for, one that has no others."""
        driver = super().get_driver_class()
        if not os.environ.get("DPO_WORKBENCH_ASCII"):
            return driver
        from workbench.tui.plain_letters import plain_driver

        return plain_driver(driver)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own variables, for themes that do not know them."""
        return FALLBACK_VARIABLES

    async def on_mount(self) -> None:
        """Begin to follow the runs once the first frame is out."""
        with contextlib.suppress(RuntimeError, ValueError, NotImplementedError):
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self._leave, number)
        if self._first_mode in self.MODES:
            self.switch_mode(self._first_mode)
        self.call_after_refresh(self.read_runs)
        self.call_after_refresh(self._know_settings)
        self.set_interval(POLL_SECONDS, self._poll)

    def on_unmount(self) -> None:
        """What only this app waits for ends with it."""
        self.scoring.close()
        self.looking.close()

    def _know_settings(self) -> None:
        """After an update of TRL, ask it once for its settings; until then the known ones serve."""
        self.run_worker(self._ask_for_settings, thread=True, exit_on_error=False, group="settings")

    def _ask_for_settings(self) -> None:
        # The editor is what most people open first, and this thread has time to import it.
        import workbench.tui.screens.editor  # noqa: F401
        from workbench.recipe.schema import renew_schema
        from workbench.recipe.snapshot import is_outdated

        if is_outdated():
            self.post_message(Said("Another TRL is installed: its settings are being read."))
            renew_schema()
            self.post_message(Said("The settings of the installed TRL are known now."))

    def on_resize(self, event: events.Resize) -> None:
        """Draw anew what a size cut off that came and went before anybody looked."""
        # Textual does nothing where the size is the old one again. At the start there is no screen.
        if event.size == self.size:
            with contextlib.suppress(ScreenStackError):
                self.screen.refresh()

    def _poll(self) -> None:
        self.read_runs()
        self._check_size()
        # A screen that is switched to while the terminal changes its size may wait to be drawn
        # until its next message; this is one. While the app ends there is no screen.
        with contextlib.suppress(ScreenStackError):
            self.screen.check_idle()

    def _check_size(self) -> None:
        """Notice a size that the signal came too early for.

        The kernel sends SIGWINCH before it changes the size, so that the answer to it can be the
        old one; after the last change nothing else would tell.
        """
        size = Size(*shutil.get_terminal_size(self.size))
        if size != self.size and not self.is_headless:
            self.post_message(events.Resize(size, size))

    def _leave(self, number: int) -> None:
        """End on a signal; where the terminal is gone, what it should still get may block."""
        if not self.is_headless:
            watchdog = threading.Timer(LEAVE_SECONDS, os._exit, (128 + number,))
            watchdog.daemon = True
            watchdog.start()
        self.exit(128 + number)

    def row(self, run_id: str) -> RunRow | None:
        """A run by its id."""
        return next((row for row in self.rows if row.id == run_id), None)

    def read_runs(self) -> None:
        """Look at all runs in a thread, unless the last look still goes on."""
        if self._reading:
            return
        self._reading = True
        self.run_worker(self._look, thread=True, exit_on_error=False, group="runs")

    def _look(self) -> None:
        for fault in self.notices.load():
            self.post_message(Said(fault))
        rows = self._queue.look(self._board.read())
        for fault in self._queue.faults - self._told:
            self._told.add(fault)
            self.post_message(Said(fault))
        self.post_message(RunsRead(rows))

    @on(RunsRead)
    def _runs_read(self, event: RunsRead) -> None:
        self._reading = False
        self.notices.look(event.rows)
        self._slurm.look(event.rows)
        if event.rows != self.rows or not self.runs_known:
            self.rows, self.runs_known = event.rows, True
            self.runs_changed.publish(self.rows)

    @on(Worker.StateChanged)
    def worker_changed(self, event: Worker.StateChanged) -> None:
        """A fault in a thread is shown, never a reason to end the app."""
        if event.state != WorkerState.ERROR:
            return
        self._reading = False
        error = event.worker.error
        known = isinstance(error, ProblemError)
        what = str(error) if known else f"{type(error).__name__}: {error}"
        if event.worker.group in POLLING:
            # These come again every second; what was said once is known.
            if what not in self._told:
                self._told.add(what)
                unknown = f"A run's files cannot be read whole ({what}). Training is not affected."
                self.say(what if known else unknown)
        else:
            self.post_message(Failed("Something went wrong", (Problem(what),)))

    @on(RunStarted)
    def _run_started(self, event: RunStarted) -> None:
        # What the looks at data hold of the memory belongs to the training now.
        self.looking.rest()
        self.read_runs()
        self.watch_run(event.run_id)

    @on(Failed)
    def _failed(self, event: Failed) -> None:
        from workbench.tui.dialogs.notice import NoticeDialog

        self.read_runs()
        self.push_screen(NoticeDialog(event.title, event.problems))

    @on(LookEvent)
    def _look_event(self, event: LookEvent) -> None:
        self.looking.take(event)

    @on(Changed)
    def _changed(self) -> None:
        self.read_runs()

    @on(Then)
    def _then(self, event: Then) -> None:
        event.act()

    @on(Said)
    def _said(self, event: Said) -> None:
        self.read_runs()
        self.say(event.text)

    def say(self, text: str) -> None:
        """Show a sentence for a moment."""
        self.notify(clean(text), markup=False)

    def copy(self, text: str) -> None:
        """Send a text to the terminal's clipboard, as far as the terminal allows it."""
        if len(text.encode()) > CLIPBOARD_LIMIT_BYTES:
            self.say("Too long for a terminal's clipboard. It is in the run directory.")
            return
        self.copy_to_clipboard(text)
        self.say(f"Sent {len(text)} characters to the terminal's clipboard.")

    def watch_run(self, run_id: str) -> None:
        """Show a run in the monitor."""
        self.watched = run_id
        self.action_show("monitor")

    def compare_run(self, run_id: str, sides: tuple[Seat, ...] = ()) -> None:
        """Show a run in the compare screen.

        Args:
            sides: Two or three that shall answer; those that are there, or base and tuned, when
                empty.
        """
        self.compared, self.asked_sides = run_id, sides
        self.action_show("compare")

    def vote_on(self, run_id: str) -> None:
        """Vote blind on a run's answers, over the compare screen."""
        from workbench.tui.screens.vote import VoteScreen

        self.compare_run(run_id)
        self.call_after_refresh(self.push_screen, VoteScreen(run_id))

    def show_timeline(self, run_id: str) -> None:
        """Show what each checkpoint of a run answered, above the present screen."""
        from workbench.tui.screens.timeline import TimelineScreen

        self.push_screen(TimelineScreen(run_id))

    def action_show(self, mode: str) -> None:
        """Go to a screen."""
        if mode == self.current_mode:
            self.screen.post_message(WorkbenchScreen.Shown())
        else:
            self.switch_mode(mode)

    def action_help(self) -> None:
        """Show the keys of this screen."""
        from workbench.tui.dialogs.help import HelpDialog, keys_of

        screen = self.screen
        if isinstance(screen, WorkbenchScreen):
            keys = keys_of(screen.BINDINGS)
            self.push_screen(HelpDialog(screen.HELP_TITLE, screen.HELP_TEXT, keys))

    async def action_quit(self) -> None:
        """Leave; ask first when edits would be lost."""
        if not any(getattr(screen, "unsaved", False) for screen in self.all_screens()):
            self.exit(0)
            return
        from workbench.tui.dialogs.confirm import ConfirmDialog
        from workbench.tui.render import plain

        if self._leaving is not None and self._leaving is self.screen:
            return
        text = plain("The editor holds changes that are not saved.")
        dialog = ConfirmDialog("Quit without saving?", text, yes="Quit")
        self._leaving = dialog
        self.push_screen(dialog, lambda yes: self.exit(0) if yes else None)

    def all_screens(self) -> Iterable[Screen[Any]]:
        """Every screen that is open, in whatever mode."""
        for mode in self.MODES:
            with contextlib.suppress(KeyError):
                yield from self.get_screen_stack(mode)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The command palette."""
        return commands(self, screen)


def run_app(paths: Paths, *, open_run: str = "", screen: str = "") -> int:
    """Run the app until the person leaves it.

    Args:
        paths: The user's folders.
        open_run: Id of a run to show in the monitor right away.
        screen: `recipes`, `runs`, `monitor` or `compare`.

    Returns:
        Exit code: 0, or 128 + the signal that ended the app.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        sys.stderr.write("The app needs a terminal. Without one: dpo-workbench --help\n")
        return 2
    app = WorkbenchApp(paths, open_run=open_run, screen=screen)
    code = app.run()
    app.notices.give_title_back()
    words = parting_words(app.rows)
    if words:
        with contextlib.suppress(OSError):
            sys.stdout.write(words + "\n")
    return app.return_code or code or 0
