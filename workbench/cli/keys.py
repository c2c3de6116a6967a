"""Single keys from the terminal while a command waits."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from types import TracebackType
from typing import Any

QUIT = b"qQ\x04"


class QuitError(Exception):
    """The person has pressed `q`."""


class Keys:
    """A context in which `pause` hears `q`, without Enter, where somebody can type it.

    Nothing is drawn, and the terminal's settings are given back. A command in the background
    leaves the terminal alone.
    """

    def __init__(self) -> None:
        self._handle = -1
        self._before: list[Any] = []

    def __enter__(self) -> Keys:
        with contextlib.suppress(OSError, ValueError, termios.error):
            handle = sys.stdin.fileno()
            if os.isatty(handle) and _in_front(handle):
                self._before = termios.tcgetattr(handle)
                tty.setcbreak(handle, termios.TCSADRAIN)
                self._handle = handle
        return self

    def pause(self, seconds: float) -> None:
        """Wait so long.

        Raises:
            QuitError: `q` was pressed.
        """
        if self._handle < 0 or not _in_front(self._handle):
            time.sleep(seconds)
            return
        if select.select([self._handle], [], [], seconds)[0]:
            typed = os.read(self._handle, 64)
            if not typed or any(key in QUIT for key in typed):
                raise QuitError

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle >= 0:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self._handle, termios.TCSADRAIN, self._before)


def _in_front(handle: int) -> bool:
    try:
        return os.tcgetpgrp(handle) == os.getpgrp()
    except OSError:
        return False
