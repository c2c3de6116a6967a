"""Ask one run's models for answers: the client of `python -m workbench.worker.generate RUN`.

One process holds the base model and the run's adapters in memory and speaks JSON lines over its
stdin and stdout. What it prints on stderr lands in RUN/generate.log.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.base.files import append_json
from workbench.base.tail import read_jsonl
from workbench.base.text import clean

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory

LOG_TAIL_BYTES = 65536
QUIT_SECONDS = 3.0
ANSWER_FIELDS = ("text", "tokens", "seconds", "finish")

Event = dict[str, Any]
Message = Mapping[str, str]


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn; `temperature` 0 is greedy, `top_k` 0 and `top_p` 1 are off."""

    max_new_tokens: int = 160
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int = 42


class AnswerProcess:
    """The generate process of one run; may be used from any thread.

    Args:
        run: the run whose base model and adapters answer.
        on_event: called with each event, on the reader thread. When the process dies, every
            request still waiting gets one `{"event": "error", "id", "what", "next_step"}`.
        command: what to start instead of the generate worker.
    """

    def __init__(
        self,
        run: RunDirectory,
        on_event: Callable[[Event], None],
        *,
        command: Sequence[str] | None = None,
    ) -> None:
        self._run = run
        self._on_event = on_event
        worker = [sys.executable, "-m", "workbench.worker.generate", str(run.path)]
        self._command = list(command) if command else worker
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
            log = self._run.generate_log
            with log.open("ab") as stderr:
                log.chmod(0o600)
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
                target=self._read, args=(self._process, log, offset), daemon=True
            )
            self._reader.start()

    def generate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        sides: Sequence[str] = ("base", "tuned"),
    ) -> int:
        """Ask for one answer a side and return the request's id; starts a process that has ended.

        Args:
            messages: the conversation, `{"role", "content"}` each, oldest first.
        """
        with self._lock:
            self.start()
            self._last_id += 1
            request = {"op": "generate", "id": self._last_id, "messages": list(messages)}
            self._waiting.append(self._last_id)
            self._send({**request, "sides": list(sides), **asdict(sampling)})
            return self._last_id

    def cancel(self, request: int) -> None:
        """End a request early; its answers so far still arrive, with finish "cancelled"."""
        with self._lock:
            if request in self._waiting:
                self._send({"op": "cancel", "id": request})

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

    def _read(self, process: subprocess.Popen[bytes], log: Path, offset: int) -> None:
        assert process.stdout is not None
        last: Event = {"event": "loading"}
        for line in process.stdout:
            event = _event(line)
            if event is None or self._process is not process:
                continue
            last = event
            if event["event"] in ("done", "error"):
                self._forget(event.get("id"))
            self._on_event(event)
        code = process.wait()
        for event in self._after_death(process, code, last, _cause(log, offset)):
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
        step = f"See {self._run.generate_log}, then ask again: the models load anew."
        what = last.get("what") if told else None
        return [
            {
                "event": "error",
                "id": request,
                "what": what or _obituary(code, cause),
                "next_step": last.get("next_step") or step,
            }
            for request in requests
        ]


def save_comparison(
    run: RunDirectory,
    messages: Sequence[Message],
    sampling: Sampling,
    answers: Mapping[str, Mapping[str, Any]],
) -> None:
    """Append one comparison to the run's comparisons.jsonl.

    Args:
        answers: side -> its `answer` event, or any mapping with text, tokens, seconds, finish.
    """
    kept = {
        side: {field: answer.get(field) for field in ANSWER_FIELDS}
        for side, answer in answers.items()
    }
    record = {
        "time": time.time(),
        "messages": [dict(message) for message in messages],
        "sampling": asdict(sampling),
        "seed": sampling.seed,
        "answers": kept,
    }
    append_json(run.comparisons, record)


def load_comparisons(run: RunDirectory) -> list[dict[str, Any]]:
    """Every comparison kept in the run, oldest first; lines that are no comparison are left out."""
    return [
        record
        for record in read_jsonl(run.comparisons)
        if isinstance(record.get("messages"), list) and isinstance(record.get("answers"), dict)
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


def _event(line: bytes) -> Event | None:
    """One line of the protocol; None for anything that a library printed between the lines."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


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


def _obituary(code: int, cause: str) -> str:
    if code == -9:
        return "The models' process was killed (signal 9), often because memory ran out."
    if code < 0:
        return f"The models' process was ended by signal {-code}."
    if cause and code:
        return f"The models' process ended: {cause}"
    return f"The models' process ended with exit code {code} before it answered."
