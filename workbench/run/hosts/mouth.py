"""An agent's way out: JSON lines on a pipe that must never hold it up."""

from __future__ import annotations

import json
import os
from typing import Any

BACKLOG_BYTES = 256 * 1024
HARD_LIMIT_BYTES = 4 * 1024 * 1024


class Mouth:
    """Says JSON lines without waiting for a link that takes none.

    Attributes:
        closed: Nobody listens any more.
    """

    def __init__(self, handle: int) -> None:
        os.set_blocking(handle, False)
        self._handle = handle
        # What a login script has printed may stand before the first line, without a line end.
        self._left = bytearray(b"\n")
        self.closed = False

    @property
    def crowded(self) -> bool:
        """Whether what can wait had better wait."""
        return len(self._left) > BACKLOG_BYTES

    def say(self, event: str, **fields: Any) -> None:
        """Say one line, as soon as the link takes it."""
        if len(self._left) < HARD_LIMIT_BYTES:
            self._left += json.dumps({"event": event, **fields}).encode() + b"\n"
        self.pump()

    def pump(self) -> None:
        """Write what the link takes now."""
        try:
            while self._left:
                del self._left[: os.write(self._handle, self._left[:65536])]
        except BlockingIOError:
            return
        except OSError:
            self.closed = True
