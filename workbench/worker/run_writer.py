"""The worker's pen: run.json and metrics.jsonl while the run lives, and its answer to signals."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from workbench.base.files import append_json, json_safe, write_atomic
from workbench.base.problems import Problem, ProblemError
from workbench.base.secrets import redact
from workbench.run.directory import RunDirectory
from workbench.run.record import RunRecord, as_error, read_record, update_record, write_end

MIN_INTERVAL_SECONDS = 1.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequested(BaseException):
    """A stop signal arrived where nothing needs to be saved first.

    Not an `Exception`, so that no library's error handling swallows it.
    """


class DivergedError(ProblemError):
    """The loss or the gradient norm is no number any more."""


class RunWriter:
    """Writes one run's state; only the worker that holds the run's lock may have one.

    A file that cannot be written (disk full) costs a line in train.log, never the training.

    Args:
        interruptible: Whether a stop signal may end what is at work at once. Of processes that
            train together none may leave alone: a signal is only marked.

    Attributes:
        stop_requested: A stop signal has arrived.
    """

    def __init__(self, run: RunDirectory, *, interruptible: bool = True) -> None:
        self.run = run
        self.stop_requested = False
        self._may_interrupt = self._interruptible = interruptible
        self._writing = False
        self._ending = False
        self._last_tick = 0.0
        self._last_progress = (0.0, "")

    def listen(self) -> None:
        """Take over the stop signals: the first one asks the run to stop, more are ignored."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def close_ears(self) -> None:
        """Ignore stop signals from here on: the end record is about to be written."""
        self.stop_requested = True

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.stop_requested:
            return
        self.stop_requested = True
        # A signal may interrupt this very writer between its reading and writing of run.json.
        if not self._writing:
            self.update(state="stopping")
        if self._interruptible:
            raise StopRequested

    @contextlib.contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """A section that a stop signal only marks; the caller looks at `stop_requested`."""
        self._interruptible = False
        try:
            yield
        finally:
            self._interruptible = self._may_interrupt

    def check_stop(self) -> None:
        """Raise `StopRequested` if a stop signal came during an uninterrupted section."""
        if self.stop_requested:
            raise StopRequested

    def start(self) -> RunRecord:
        """Enter this process into run.json."""
        self.update(
            state="starting",
            pid=os.getpid(),
            create_time=psutil.Process().create_time(),
            host=socket.gethostname(),
            started=time.time(),
            finished=0.0,
            exit_code=None,
            error=None,
            heartbeat=time.time(),
        )
        return self.record()

    def record(self) -> RunRecord:
        """run.json as it stands."""
        return read_record(self.run)

    def update(self, **changes: Any) -> None:
        """Change fields of run.json."""
        self._writing = True
        stopping = self.stop_requested
        if stopping and changes.get("state") in ("starting", "running"):
            changes["state"] = "stopping"
        try:
            update_record(self.run, **changes)
        except (OSError, ValueError) as error:
            self.complain(self.run.record, error)
        finally:
            self._writing = False
        if self.stop_requested and not stopping:
            self.update(state="stopping")

    def tick(self, **changes: Any) -> None:
        """Sign of life, at most one a second; `changes` may carry the step."""
        now = time.time()
        if now - self._last_tick >= MIN_INTERVAL_SECONDS:
            self._last_tick = now
            self.update(heartbeat=now, **changes)

    def stopping(self) -> bool:
        """Sign of life within long work, and whether a stop has been asked for."""
        self.tick()
        return self.stop_requested

    def note(self, text: str) -> None:
        """Add a sentence about what the worker decided on its own, once."""
        text = redact(text)
        notes = self.record().notes
        if text not in notes:
            self.update(notes=[*notes, text])
        print(text, flush=True)

    def progress(self, message: str, fraction: float | None = None) -> None:
        """Say what is going on before the first step, at most once a second."""
        last_time, last_message = self._last_progress
        now = time.time()
        recent = now - last_time < MIN_INTERVAL_SECONDS and fraction != 1.0
        if message == last_message or (recent and fraction is not None):
            return
        self._last_progress = (now, message)
        print(message, flush=True)
        self.event("progress", message=message, fraction=fraction)
        self.tick()

    def event(self, name: str, **fields: Any) -> None:
        """Append an event line to metrics.jsonl."""
        self.append(self.run.metrics, {"time": time.time(), "event": name, **fields})

    def metrics(self, stage: str, step: int, values: Mapping[str, Any]) -> list[str]:
        """Append one log record to metrics.jsonl; returns the names of non-finite values."""
        numbers = {name: number(value) for name, value in values.items()}
        row: dict[str, Any] = {"time": time.time(), "stage": stage, "step": step}
        row.update({name: value for name, value in numbers.items() if value is not None})
        faults = [n for n, v in row.items() if isinstance(v, float) and not math.isfinite(v)]
        if faults:
            row["non_finite"] = faults
        self.append(self.run.metrics, row)
        return faults

    def end(self, state: str, problem: Problem | None = None) -> None:
        """Write the end record."""
        error = None
        if problem is not None:
            error = as_error(problem.what, problem.where, problem.next_step)
        now = time.time()
        self._ending = True
        self.close_ears()
        try:
            write_end(
                self.run, state=state, finished=now, heartbeat=now, error=error, saving="",
                exit_code=0 if problem is None else 1,
            )  # fmt: skip
        except (OSError, ValueError) as fault:
            self.complain(self.run.record, fault)
        self.event("end", state=state)

    def append(self, path: Path, row: Mapping[str, Any]) -> None:
        """Append one JSON line to a file of the run."""
        try:
            append_json(path, row)
        except OSError as error:
            self.complain(path, error)

    def keep(self, path: Path, content: Mapping[str, Any]) -> None:
        """Replace a JSON file of the run."""
        try:
            write_atomic(path, json.dumps(json_safe(content), indent=1))
        except OSError as error:
            self.complain(path, error)

    def complain(self, path: object, error: OSError | ValueError) -> None:
        """A line in train.log about a file that could not be written.

        Raises:
            ProblemError: The run directory is gone: what is trained could not be kept.
        """
        reason = getattr(error, "strerror", None) or error
        with contextlib.suppress(OSError):
            print(f"warning: cannot write {path}: {reason}", file=sys.stderr, flush=True)
        if not self._ending and not self.run.path.is_dir():
            hint = "Launch its recipe anew; a run at work is ended with `stop`, not by deleting it."
            raise ProblemError(
                Problem("the run directory is gone", str(self.run.path), hint)
            ) from error


class SilentWriter(RunWriter):
    """The pen of a process that trains beside the one that writes: it only prints, and listens."""

    def update(self, **changes: Any) -> None:
        """Nothing: run.json has one writer."""

    def note(self, text: str) -> None:
        """Print a sentence."""
        print(redact(text), flush=True)

    def append(self, path: Path, row: Mapping[str, Any]) -> None:
        """Nothing."""

    def keep(self, path: Path, content: Mapping[str, Any]) -> None:
        """Nothing."""

    def end(self, state: str, problem: Problem | None = None) -> None:
        """Nothing but closed ears."""
        self.close_ears()


def number(value: Any) -> float | int | None:
    """A metric as a plain number (tensors and numpy scalars too), None for anything else."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value
    item = getattr(value, "item", None)
    if callable(item):
        with contextlib.suppress(ValueError, RuntimeError):
            return number(item())
    return None
