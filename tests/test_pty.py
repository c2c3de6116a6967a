"""The command in a real terminal of 80 x 24 cells: no end of it reaches the training."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest
from tiny_model import make_tiny_model, write_tiny_recipe

from workbench.base.paths import Paths
from workbench.run.directory import RunDirectory, list_runs
from workbench.run.launch import stop
from workbench.run.record import is_active, read_record

pytestmark = pytest.mark.model

COLUMNS, LINES = 80, 24
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.05
STEP_SHOWN = r"step ([1-9]\d*)/1000000"
ENTER, CONTROL_C = "\r", "\x03"
# Makes the given terminal the controlling one, as a login does, so that its end hangs up.
LOGIN = (
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    # A shell script's background jobs ignore SIGINT, and whoever they start does so too.
    "signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.executable, [sys.executable, '-m', 'workbench', *sys.argv[1:]])"
)
# Sequences with private markers (keyboard protocol, mode queries) that pyte takes for others.
UNKNOWN_TO_PYTE = re.compile(rb"\x1b\[[<>=?][0-9;]*(?:\$p|[a-gi-km-zA-Z])|\x1bP[^\x1b]*\x1b\\")


class Terminal:
    """A terminal with `dpo-workbench ARGUMENTS` in it."""

    def __init__(self, home: Path, folder: Path, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        unwanted = ("COLUMNS", "LINES", "NO_COLOR", "TEXTUAL")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        environment |= {"DPO_WORKBENCH_HOME": str(home), "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOGIN, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            cwd=folder,
            env=environment,
        )
        os.close(slave)
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def read(self) -> None:
        """Take in what the app has drawn meanwhile."""
        while select.select([self.master], [], [], 0)[0]:
            try:
                drawn = os.read(self.master, 65536)
            except OSError:
                return
            self._stream.feed(UNKNOWN_TO_PYTE.sub(b"", drawn))

    def see(self, pattern: str) -> None:
        """Wait until the screen shows a pattern."""

        def shown() -> bool:
            self.read()
            return re.search(pattern, self.text) is not None

        until(shown, lambda: f"{pattern!r} is not on the screen:\n{self.text}")

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ended(self) -> int:
        """Wait until the command has ended and return its exit code."""

        def gone() -> bool:
            if self.master >= 0:
                self.read()
            return self.process.poll() is not None

        until(gone, lambda: f"it goes on:\n{self.text}")
        return self.process.returncode

    def hang_up(self) -> None:
        """Close the window: the kernel sends SIGHUP to everything in this terminal."""
        os.close(self.master)
        self.master = -1
        self.ended()

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        if self.master >= 0:
            os.close(self.master)


def until(condition: Callable[[], bool], complaint: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, complaint()
        time.sleep(POLL_SECONDS)


def steps_rise(run: RunDirectory, by: int = 5) -> None:
    """Wait until the training has done some more steps."""
    start = read_record(run).step

    def risen() -> bool:
        return read_record(run).step >= start + by

    until(risen, lambda: f"no step after {start}: {read_record(run)}\n{run.log.read_text()}")
    assert read_record(run).state == "running"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose only recipe of the user's own trains a tiny model for a very long time."""
    recipes = tmp_path / "home" / "recipes"
    recipes.mkdir(parents=True)
    model = make_tiny_model(tmp_path / "tiny")
    recipe = write_tiny_recipe(recipes / "endless.yaml", model, stages=("dpo",), steps=1_000_000)
    recipe.write_text(recipe.read_text().replace("save_steps: 2", "save_steps: 100000"))
    return tmp_path / "home"


@pytest.fixture
def open_terminal(home: Path, tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Open terminals with the command in them; at the end close them and end what trains."""
    opened: list[Terminal] = []

    def open_one(*arguments: str) -> Terminal:
        opened.append(Terminal(home, tmp_path, *arguments))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()
    for run in runs_of(home):
        with contextlib.suppress(Exception):
            stop(run, kill=True)


def runs_of(home: Path) -> list[RunDirectory]:
    return list_runs(Paths(data=home, config=home, cache=home / "cache"))


def test_the_app_may_die_and_its_window_close_while_a_run_trains(
    home: Path, open_terminal: Callable[..., Terminal]
) -> None:
    """Rows 42 and 43, with real training."""
    app = open_terminal()
    app.see(r"endless +dpo .* yours")
    app.press("r")
    app.see("1,000,000 steps")
    app.press(ENTER)
    app.see(STEP_SHOWN)
    (run,) = runs_of(home)
    app.kill()
    steps_rise(run)
    known = read_record(run).step

    app = open_terminal()
    app.see(r"endless +dpo .* yours")
    app.press("3")
    app.see(STEP_SHOWN)
    app.see("● running")
    shown = re.search(STEP_SHOWN, app.text)
    assert shown is not None
    assert int(shown[1]) >= known
    app.hang_up()
    steps_rise(run)

    stop(run)
    until(lambda: not is_active(read_record(run)), lambda: str(read_record(run)))
    record = read_record(run)
    assert (record.state, record.step > 0) == ("stopped", True)


def test_ctrl_c_ends_the_following_and_not_the_training(
    home: Path, open_terminal: Callable[..., Terminal]
) -> None:
    command = open_terminal("run", "endless", "--name", "forever")
    command.see(r"dpo \[-+\] [1-9]\d*/1000000 0%  left .*loss")
    command.press(CONTROL_C)
    assert command.ended() == 130
    (run,) = runs_of(home)
    command.see(f"stop it:  dpo-workbench stop {run.id}")
    steps_rise(run)
