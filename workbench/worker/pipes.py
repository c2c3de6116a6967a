"""The worker's end of the JSON lines that `run.json_process` speaks."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from workbench.base.files import json_safe

PAUSE_SECONDS = 0.05
POLL_SECONDS = 1.0
READ_BYTES = 65536


class Pipes:
    """The protocol's two ends, kept away from everything else in the process.

    Attributes:
        requests: Requests in order; None when the input has closed.
    """

    def __init__(self, parent: int) -> None:
        self.parent = parent
        self.requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._cancelled: set[int] = set()
        self._paused: set[int] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._out = os.dup(1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr

    def listen(self) -> None:
        """Read requests on a thread, so that a cancel arrives while an answer grows."""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        rest = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(0, READ_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._take(line)
        self._closed = True
        self.requests.put(None)

    def _take(self, line: bytes) -> None:
        try:
            request = json.loads(line.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            if line.strip():
                self.emit("error", id=None, what="a request is no JSON object", next_step="")
        elif request.get("op") == "cancel":
            self._cancelled.add(request.get("id", -1))
        elif request.get("op") == "pause":
            self._paused.add(request.get("id", -1))
        elif request.get("op") == "go_on":
            self._paused.discard(request.get("id", -1))
        elif request.get("op") == "quit":
            self._closed = True
            self.requests.put(None)
        else:
            self.requests.put(request)

    def each(self, idle_seconds: float) -> Iterator[dict[str, Any]]:
        """Requests one by one, until nobody has asked for so long, or nobody is there to ask."""
        asked = time.monotonic()
        while os.getppid() == self.parent and time.monotonic() - asked < idle_seconds:
            try:
                request = self.requests.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if request is None:
                return
            yield request
            asked = time.monotonic()

    def cancelled(self, request_id: object) -> bool:
        """Whether a request is to end: it was cancelled, or nobody listens any more."""
        return self._closed or request_id in self._cancelled

    def may_go_on(self, request_id: object) -> bool:
        """Whether a request has not been cancelled; waits while it is paused."""
        while request_id in self._paused and not self.cancelled(request_id):
            time.sleep(PAUSE_SECONDS)
        return not self.cancelled(request_id) and os.getppid() == self.parent

    def emit(self, event: str, **fields: Any) -> None:
        """Write one event line; a closed pipe ends the process at its next look."""
        line = json.dumps(json_safe({"event": event, **fields}), ensure_ascii=False) + "\n"
        with self._lock:
            try:
                write_all(self._out, line.encode("utf-8", "replace"))
            except OSError:
                self._closed = True
                self.requests.put(None)


def write_all(handle: int, data: bytes) -> None:
    """Write all bytes to a file descriptor."""
    while data:
        data = data[os.write(handle, data) :]
