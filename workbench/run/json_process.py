"""A process that is asked by JSON lines on its stdin and answers by JSON lines on its stdout."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.base.text import clean
from workbench.run.worker_events import Event, event_of

LOG_TAIL_BYTES = 65536
QUIT_SECONDS = 3.0


class JsonProcess:
    """Starts such a process when it is first asked; may be used from any thread.

    Args:
        command: What to start.
        log: Where its stderr goes.
        on_event: Called with each event, on the reader thread. When the process dies, every
            request still waiting gets one `{"event": "error", "id", "what", "next_step"}`.
        name: What it is to people: "models' process".
        after_death: What to do when it has died.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        on_event: Callable[[Event], None],
        *,
        name: str,
        after_death: str,
    ) -> None:
        self._command = list(command)
        self._log = log
        self._on_event = on_event
        self._name = name
        self._next_step = after_death
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._waiting: list[int] = []
        self._last_id = 0

    @property
    def alive(self) -> bool:
        """Whether the process runs, loading included."""
        process = self._process
        return process is not None and process.poll() is None

    def start(self) -> None:
        """Start the process unless it runs already. Raises OSError when it cannot be started."""
        with self._lock:
            if self._process is not None:
                return
            with self._log.open("ab") as stderr:
                self._log.chmod(0o600)
                offset = stderr.tell()
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    # A Ctrl-C meant for the front end must not reach the model half way.
                    start_new_session=True,
                )
            self._reader = threading.Thread(
                target=self._read, args=(self._process, offset), daemon=True
            )
            self._reader.start()

    def ask(self, name: str, fields: Mapping[str, Any]) -> int:
        """Send a request and return its id; starts an ended process."""
        with self._lock:
            self.start()
            self._last_id += 1
            self._waiting.append(self._last_id)
            self._send({"op": name, "id": self._last_id, **fields})
            return self._last_id

    def cancel(self, request: int) -> None:
        """End a request early; what it has found so far still arrives."""
        self.steer("cancel", request)

    def steer(self, name: str, request: int) -> None:
        """Send a word about a request that is still waiting."""
        with self._lock:
            if request in self._waiting:
                self._send({"op": name, "id": request})

    def close(self, wait_seconds: float = QUIT_SECONDS) -> None:
        """End the process: ask, wait, then terminate. Blocks for that long at most twice."""
        with self._lock:
            process, self._process = self._process, None
            reader, self._reader = self._reader, None
            self._waiting.clear()
            if process is None:
                return
            _write(process, {"op": "quit"})
        _end(process, wait_seconds)
        if reader is not None and reader is not threading.current_thread():
            reader.join(wait_seconds)

    def _send(self, request: Mapping[str, Any]) -> None:
        if self._process is not None:
            _write(self._process, request)

    def _read(self, process: subprocess.Popen[bytes], offset: int) -> None:
        assert process.stdout is not None
        last: Event = {"event": "loading"}
        for line in process.stdout:
            event = event_of(line)
            if event is None or self._process is not process:
                continue
            last = event
            if event["event"] in ("done", "error"):
                self._forget(event.get("id"))
            self._on_event(event)
        code = process.wait()
        for event in self._after_death(process, code, last, _cause(self._log, offset)):
            self._on_event(event)

    def _forget(self, request: Any) -> None:
        with self._lock:
            if request in self._waiting:
                self._waiting.remove(request)

    def _after_death(
        self, process: subprocess.Popen[bytes], code: int, last: Event, cause: str
    ) -> list[Event]:
        with self._lock:
            if self._process is not process:
                return []
            self._process = None
            waiting, self._waiting = self._waiting, []
        _close_stdin(process)
        told = last["event"] == "error"
        unexpected = code != 0 or last["event"] == "loading"
        requests: list[int | None] = [*waiting]
        if not requests and unexpected and not told:
            requests = [None]
        what = last.get("what") if told else None
        return [
            {
                "event": "error",
                "id": request,
                "what": what or _obituary(self._name, code, cause),
                "next_step": last.get("next_step") or self._next_step,
            }
            for request in requests
        ]


def _write(process: subprocess.Popen[bytes], request: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    # Where the process is gone, the reader thread reports why.
    with contextlib.suppress(OSError, ValueError):
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()


def _end(process: subprocess.Popen[bytes], wait_seconds: float) -> None:
    for harder in (process.terminate, process.kill, None):
        try:
            process.wait(wait_seconds)
            break
        except subprocess.TimeoutExpired:
            if harder is not None:
                harder()
    _close_stdin(process)


def _close_stdin(process: subprocess.Popen[bytes]) -> None:
    # What is still buffered for a dead process cannot be flushed.
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()


def _cause(log: Path, offset: int) -> str:
    """The last line that the process wrote to its log since `offset` (bytes)."""
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(offset, size - LOG_TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((text for line in reversed(lines) if (text := clean(line).strip())), "")


def _obituary(name: str, code: int, cause: str) -> str:
    if code == -9:
        return f"The {name} was killed (signal 9), often because memory ran out."
    if code < 0:
        return f"The {name} was ended by signal {-code}."
    if cause and code:
        return f"The {name} ended: {cause}"
    return f"The {name} ended with exit code {code} before it answered."
