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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.base.text import clean
from workbench.run.sides import BASE, TUNED
from workbench.run.worker_events import Event, event_of

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory

LOG_TAIL_BYTES = 65536
QUIT_SECONDS = 3.0
SIDES = (BASE, TUNED)
ANSWER_FIELDS = ("text", "tokens", "seconds", "first_seconds", "finish")
ANALYSIS_FIELDS = ("pieces", "first_difference")

Message = Mapping[str, str]
Conversation = Sequence[Message]


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
        messages: Conversation | Mapping[str, Conversation],
        sampling: Sampling,
        sides: Sequence[str] = SIDES,
        *,
        answers: int = 1,
        analyse: bool = True,
    ) -> int:
        """Ask for answers of each side and return the request's id; starts an ended process.

        Args:
            messages: the conversation, `{"role", "content"}` each, oldest first; or one for each
                side, where the sides have said different things before.
            sides: what `run.sides.find_side` understands.
            answers: how many of each side; number k is drawn with seed + k.
            analyse: whether the log-ratio of each token is sent afterwards.
        """
        asked = dict(messages) if isinstance(messages, Mapping) else list(messages)
        fields = {"messages": asked, "answers": answers, "analyse": analyse}
        return self._ask("generate", sides, sampling, fields)

    def batch(
        self,
        prompts: Sequence[Conversation],
        sampling: Sampling,
        sides: Sequence[str] = SIDES,
        *,
        analyse: bool = False,
    ) -> int:
        """Ask for one answer of each side to many conversations; they arrive in any order.

        The `answer` events carry the number of the conversation as `prompt`.
        """
        fields = {"prompts": [list(prompt) for prompt in prompts], "analyse": analyse}
        return self._ask("batch", sides, sampling, fields)

    def _ask(
        self, name: str, sides: Sequence[str], sampling: Sampling, fields: Mapping[str, Any]
    ) -> int:
        with self._lock:
            self.start()
            self._last_id += 1
            request = {"op": name, "id": self._last_id, "sides": list(sides), **fields}
            self._waiting.append(self._last_id)
            self._send({**request, **asdict(sampling)})
            return self._last_id

    def cancel(self, request: int) -> None:
        """End a request early; its answers so far still arrive, with finish "cancelled"."""
        self._steer("cancel", request)

    def pause(self, request: int) -> None:
        """Let a request wait after its next token, until `go_on` or `cancel`."""
        self._steer("pause", request)

    def go_on(self, request: int) -> None:
        """Let a paused request go on."""
        self._steer("go_on", request)

    def _steer(self, name: str, request: int) -> None:
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

    def _read(self, process: subprocess.Popen[bytes], log: Path, offset: int) -> None:
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


def _obituary(code: int, cause: str) -> str:
    if code == -9:
        return "The models' process was killed (signal 9), often because memory ran out."
    if code < 0:
        return f"The models' process was ended by signal {-code}."
    if cause and code:
        return f"The models' process ended: {cause}"
    return f"The models' process ended with exit code {code} before it answered."
