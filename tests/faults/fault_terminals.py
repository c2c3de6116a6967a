"""A terminal with a command in it, kept to the byte, and a screen that shows what it drew."""

from __future__ import annotations

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
from collections.abc import Callable, Sequence
from pathlib import Path

import pyte

PATIENCE_SECONDS = 45.0
REST_SECONDS = 2.0
# Sequences with private markers (keyboard protocol, mode queries) that pyte takes for others.
_UNKNOWN_TO_PYTE = re.compile(
    rb"\x1b\[[<>=?][0-9;]*(?:\$p|[a-gi-km-zA-Z])|\x1b[P\]][^\x1b\x07]*(?:\x1b\\|\x07)"
)
# Leads a session whose controlling terminal is this one, as a login does.
_LOGIN = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
COMMON = {"TERM": "xterm-256color", "COLORTERM": "", "LANG": "C.UTF-8"}
WORKBENCH = (sys.executable, "-m", "workbench")


class Terminal:
    """A terminal that a command owns.

    Attributes:
        output: Every byte that was drawn.
        attributes: The terminal's line settings before the command began.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        *,
        size: tuple[int, int] = (80, 24),
        **environment: str,
    ) -> None:
        self.output = b""
        self.master, slave = pty.openpty()
        self.screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self.screen)
        self.resize(*size)
        self.attributes = termios.tcgetattr(self.master)
        unwanted = ("COLUMNS", "LINES", "NO_COLOR", "TEXTUAL", "LC_")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LOGIN, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            cwd=folder,
            env=inherited | COMMON | environment,
        )
        os.close(slave)

    @property
    def text(self) -> str:
        """The screen's lines."""
        return "\n".join(self.screen.display)

    def resize(self, columns: int, lines: int) -> None:
        """Another size; the command gets SIGWINCH."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)

    def read(self) -> None:
        """Take in what was drawn meanwhile."""
        while self.master >= 0 and select.select([self.master], [], [], 0)[0]:
            try:
                drawn = os.read(self.master, 65536)
            except OSError:
                return
            self.output += drawn
            self._stream.feed(_UNKNOWN_TO_PYTE.sub(b"", drawn))

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition while the terminal is being read."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}:\n{self.text}"
            select.select([self.master] if self.master >= 0 else [], [], [], 0.02)
            self.read()

    def rest(self) -> None:
        """Wait until nothing more is drawn."""
        seen, since = -1, 0.0

        def quiet() -> bool:
            nonlocal seen, since
            if len(self.output) != seen:
                seen, since = len(self.output), time.monotonic()
            return time.monotonic() > since + REST_SECONDS

        self.until(quiet, "the end of the drawing")

    def see(self, pattern: str) -> None:
        """Wait until the screen shows a pattern."""
        self.until(lambda: re.search(pattern, self.text), repr(pattern))

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ended(self) -> int:
        """Wait for the command's end and return its exit code."""
        self.until(lambda: self.process.poll() is not None, "its end")
        self.read()
        return self.process.returncode

    def hang_up(self) -> None:
        """Close the window: everything in this terminal gets SIGHUP."""
        os.close(self.master)
        self.master = -1
        self.ended()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.master >= 0:
            os.close(self.master)
