"""The link to one other host: the agent there, behind ssh, and what it has said."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

from workbench.base.text import clean
from workbench.run.hosts.ssh_words import last_words
from workbench.run.worker_events import Event, event_of

SIGN_SECONDS = 2.0
LINE_BYTES = 256 * 1024
WORDS_KEPT = 20
WORDS_SAID = 500
"""Lines of one ssh's stderr that go into the log; a babbling host must not fill the disk."""
QUIT_SECONDS = 12.0
"""The agent needs as long as it takes to end processes that do not obey."""


class Link:
    """One agent and the threads that talk with it; may be asked from any thread.

    Args:
        host: The host's name.
        command: What starts the agent there.
        say: Takes a line for the log.
        on_event: Called on the reading thread with each event but signs of life.
    """

    def __init__(
        self,
        host: str,
        command: Sequence[str],
        *,
        say: Callable[[str], None],
        on_event: Callable[[Event], None],
    ) -> None:
        self.host = host
        self._command = list(command)
        self._say = say
        self._on_event = on_event
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._words: deque[str] = deque(maxlen=WORDS_KEPT)
        self._said = 0
        self._heard_at = 0.0
        self._heard_clock = 0.0
        self._ended = threading.Event()
        self.left = False
        """Whether the agent has said that nothing is left to do."""

    def open(self) -> None:
        """Start the agent. Raises OSError where ssh cannot be started."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A signal to the supervisor's group must not cut the link before the orders are out.
            start_new_session=True,
        )
        self._heard()
        for work in (self._read, self._listen_to_ssh, self._write):
            threading.Thread(target=work, args=(self._process,), daemon=True).start()

    def send(self, order: Mapping[str, Any]) -> None:
        """Send an order; it goes out in turn, or is lost with the link."""
        self._orders.put(order)

    @property
    def silent_seconds(self) -> float:
        """How long nothing has been heard."""
        return time.monotonic() - self._heard_at

    @property
    def heard(self) -> float:
        """When something was heard last, Unix seconds."""
        return self._heard_clock

    @property
    def ended(self) -> bool:
        """Whether the connection has ended."""
        return self._ended.is_set()

    @property
    def words(self) -> str:
        """ssh's last line."""
        return last_words("\n".join(self._words))

    def close(self, wait_seconds: float = QUIT_SECONDS) -> None:
        """End the connection: the agent sees it and ends what it has started."""
        self._orders.put(None)
        process = self._process
        if process is None:
            return
        for harder in (process.terminate, process.kill, None):
            try:
                process.wait(wait_seconds)
                break
            except subprocess.TimeoutExpired:
                wait_seconds = 1.0
                if harder is not None:
                    harder()

    def _heard(self) -> None:
        self._heard_at, self._heard_clock = time.monotonic(), time.time()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in _lines(process.stdout):
            self._heard()
            event = event_of(line)
            if event is None:
                self._remark(line)
            elif event["event"] == "left":
                self.left = True
            elif event["event"] != "alive":
                self._on_event(event)
        self._ended.set()

    def _listen_to_ssh(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        for line in _lines(process.stderr):
            self._remark(line)

    def _remark(self, line: bytes) -> None:
        """What ssh, a login script or a library has printed."""
        text = clean(line.decode("utf-8", "replace"), newlines=False).strip()
        if text and self._said < WORDS_SAID:
            self._said += 1
            self._words.append(text)
            self._say(f"[{self.host}] {text}")

    def _write(self, process: subprocess.Popen[bytes]) -> None:
        """Send orders as they come, and a sign of life where there are none."""
        assert process.stdin is not None
        order: Mapping[str, Any] | None
        with contextlib.suppress(OSError, ValueError):
            while not self.ended:
                try:
                    order = self._orders.get(timeout=SIGN_SECONDS)
                except queue.Empty:
                    order = {"op": "alive"}
                if order is None:
                    break
                process.stdin.write(json.dumps(order).encode() + b"\n")
                process.stdin.flush()
        with contextlib.suppress(OSError, ValueError):
            process.stdin.close()


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream; of one that is too long nothing is kept."""
    too_long = False
    while line := stream.readline(LINE_BYTES):
        whole = line.endswith(b"\n")
        if not too_long and (whole or len(line) < LINE_BYTES):
            yield line
        too_long = not whole
