"""The queue: which runs start next, in plain files that survive whatever happens.

`queue.json` is replaced atomically by whoever holds `queue.lock`. A process of its own, the
dispatcher, starts the runs; it lives while there are entries, and every front end that finds
entries without a dispatcher starts one. So the queue goes on after a restart of everything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.base.files import is_number, json_safe, make_private_dir, write_atomic
from workbench.base.locks import is_locked, take_lock
from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.recipe.recipe import load_recipe
from workbench.run.changes import refuse_changes
from workbench.run.devices import slots_needed
from workbench.run.directory import RunDirectory
from workbench.run.processes import RUN_VARIABLE
from workbench.run.record import RunRecord, is_active, read_record
from workbench.run.slurm.submit import is_for_slurm
from workbench.run.states import RESUMABLE_STATES, label
from workbench.run.trust import refuse_imported

VERSION = 1
DISPATCHER = "workbench.run.dispatcher"
LOCK_SECONDS = 30.0
"""Whoever starts a run holds the queue until its supervisor answers."""
SIZE_LIMIT_BYTES = 4_000_000


@dataclass(frozen=True)
class Entry:
    """One run that waits.

    Attributes:
        run: Its id.
        action: `launch` or `resume`.
        devices: The slots of which it takes the first `count` that are free.
        started_before: When the run had last been started as it came into the queue, Unix
            seconds. Any other value in its record says that somebody has started it since.
        stop_on_failure: Whether the queue pauses when the run fails.
        accept_changes: Whether a resume goes on with settings that have changed.
        added: Unix seconds.
        count: How many slots it takes at once.
    """

    run: str
    action: str = "launch"
    devices: tuple[str, ...] = ()
    started_before: float = 0.0
    stop_on_failure: bool = False
    accept_changes: bool = False
    added: float = 0.0
    count: int = 1

    def free(self, taken: Container[str]) -> list[str]:
        """Those of its slots that nobody has."""
        return [device for device in self.devices if device not in taken]


@dataclass
class QueueState:
    """The content of queue.json.

    Attributes:
        entries: What waits, the next one first.
        paused: Whether nothing shall be started.
        reason: Why it is paused, where no person asked for it.
        guarded: Ids of started runs whose failure pauses the queue.
        fault: Why the file could not be read, None when it could.
    """

    entries: list[Entry] = field(default_factory=list)
    paused: bool = False
    reason: str = ""
    guarded: list[str] = field(default_factory=list)
    fault: Problem | None = None

    def position(self, run_id: str) -> int:
        """Place of a run, counted from 1; 0 where it does not wait."""
        ids = [entry.run for entry in self.entries]
        return ids.index(run_id) + 1 if run_id in ids else 0


class Queue:
    """The queue below a data folder."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.folder = data / "queue"
        self.file = self.folder / "queue.json"
        self.log = self.folder / "dispatcher.log"
        self.dispatcher_lock = self.folder / "dispatcher.lock"

    @classmethod
    def of(cls, paths: Paths) -> Queue:
        """The queue of a user."""
        return cls(paths.data)

    def run(self, run_id: str) -> RunDirectory:
        """The directory of a run that waits."""
        return RunDirectory(self.data / "runs" / run_id)

    def read(self) -> QueueState:
        """The queue as it stands; a damaged file reads as an empty one with a `fault`."""
        try:
            if self.file.stat().st_size > SIZE_LIMIT_BYTES:
                raise ValueError("it is far too large")
            return _parse(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return QueueState()
        except (OSError, ValueError, TypeError, RecursionError) as error:
            what = f"the queue's file cannot be read ({getattr(error, 'strerror', None) or error})"
            hint = (
                "The runs themselves are untouched: put them in again with "
                "dpo-workbench resume RUN --queue."
            )
            return QueueState(fault=Problem(what, str(self.file), hint, "warning"))

    @contextlib.contextmanager
    def edit(self) -> Iterator[QueueState]:
        """Change the queue while nobody else does; what the block leaves is written at its end.

        A damaged file is kept under another name and the queue begins anew.

        Raises:
            ProblemError: It cannot be written, or somebody holds it for too long.
        """
        lock = self._take_lock()
        try:
            state = self.read()
            before = dataclasses.replace(
                state, entries=list(state.entries), guarded=list(state.guarded)
            )
            yield state
            if state != before:
                self._write(state)
        except OSError as error:
            raise _cannot_write(error, self.file) from error
        finally:
            os.close(lock)

    def _take_lock(self) -> int:
        try:
            make_private_dir(self.folder)
            lock = take_lock(self.folder / "queue.lock", wait_seconds=LOCK_SECONDS)
        except OSError as error:
            raise _cannot_write(error, self.folder) from error
        if lock is None:
            what = "another process has held the queue for too long"
            hint = "Look at the queue's log, dispatcher.log, and try again."
            raise ProblemError(Problem(what, str(self.folder), hint))
        return lock

    def _write(self, state: QueueState) -> None:
        if state.fault is not None:
            self.file.replace(self.file.with_name(f"{self.file.name}.bad-{time.time_ns()}"))
            state.fault = None
        content: dict[str, Any] = {"version": VERSION, **dataclasses.asdict(state)}
        del content["fault"]
        write_atomic(self.file, json.dumps(json_safe(content), indent=1))

    def add(
        self,
        run: RunDirectory,
        devices: Sequence[str],
        *,
        stop_on_failure: bool = False,
        accept_changes: bool = False,
    ) -> int:
        """Put a run at the end and return its place, counted from 1.

        Args:
            devices: The slots of which it takes the first that is free, or as many as it has
                processes here.
            stop_on_failure: Pause the queue when the run fails.
            accept_changes: Resume it although settings have changed since its checkpoint.

        Raises:
            ProblemError: It waits already, is at work, has finished, or cannot be resumed.
        """
        record = read_record(run)
        refuse_imported(run, record)
        if is_for_slurm(run):
            hint = f"Submit it again: dpo-workbench resume {run.id}"
            what = "the run is a job of Slurm's, which has a queue of its own"
            raise ProblemError(Problem(what, run.id, hint))
        action = "launch" if record.state == "queued" else "resume"
        if record.state != "queued" and record.state not in RESUMABLE_STATES:
            hint = "Watch it instead." if is_active(record) else "Start a new run."
            raise ProblemError(Problem(f"the run is {label(record.state)}", run.id, hint))
        if action == "resume":
            refuse_changes(run, accept=accept_changes)
        count = slots_needed(load_recipe(run.recipe), devices)
        if count > len(devices):
            what = f"the run needs {count} devices at once, and there are {len(devices)}"
            hint = f"Lower num_processes: {len(devices)} at most, one for each device."
            raise ProblemError(Problem(what, run.id, hint))
        with self.edit() as state:
            if place := state.position(run.id):
                what = f"the run is in the queue already, at place {place}"
                raise ProblemError(Problem(what, run.id, "Look at it: dpo-workbench queue."))
            entry = Entry(
                run.id,
                action,
                tuple(devices),
                record.started,
                stop_on_failure,
                accept_changes,
                time.time(),
                count,
            )
            state.entries.append(entry)
            return len(state.entries)

    def move(self, run_id: str, by: int) -> int:
        """Move a run towards the end (`by` > 0) or the front, as far as it goes; its new place.

        Raises:
            ProblemError: It does not wait.
        """
        with self.edit() as state:
            place = self._place(state, run_id)
            entry = state.entries.pop(place - 1)
            state.entries.insert(max(0, place - 1 + by), entry)
            return state.position(run_id)

    def top(self, run_id: str) -> int:
        """Make a run the next one."""
        return self.move(run_id, -len(self.read().entries) - 1)

    def remove(self, run_id: str) -> None:
        """Take a run out; it stays as it is and can be started by hand.

        Raises:
            ProblemError: It does not wait.
        """
        with self.edit() as state:
            del state.entries[self._place(state, run_id) - 1]

    def _place(self, state: QueueState, run_id: str) -> int:
        place = state.position(run_id)
        if not place:
            hint = "List what waits: dpo-workbench queue."
            raise ProblemError(Problem("the run is not in the queue", run_id, hint))
        return place

    def pause(self, paused: bool, reason: str = "") -> None:
        """Start nothing more until further notice, or go on. Runs at work are not touched."""
        with self.edit() as state:
            state.paused, state.reason = paused, reason

    def dispatcher(self) -> int:
        """Pid of the dispatcher; 0 where there is none."""
        if not self.dispatcher_lock.exists() or not is_locked(self.dispatcher_lock):
            return 0
        with contextlib.suppress(OSError, ValueError):
            return int(self.dispatcher_lock.read_text())
        return 0

    def wake(self) -> bool:
        """Start a dispatcher where there is work for one and none at it; whether one was started.

        Of two that are started at the same moment one ends at once.

        Raises:
            ProblemError: It cannot be started.
        """
        state = self.read()
        if not state.entries or state.paused or is_locked(self.dispatcher_lock):
            return False
        command = [sys.executable, "-P", "-m", DISPATCHER, str(self.data)]
        environment = {name: os.environ[name] for name in os.environ if name != RUN_VARIABLE}
        try:
            handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(handle, "ab") as log:
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    cwd=self.folder,
                    env=environment,
                )
        except OSError as error:
            what = f"cannot start the queue's process: {error.strerror}"
            raise ProblemError(Problem(what, str(self.folder), "Check its permissions.")) from error
        return True


def was_started(entry: Entry, record: RunRecord) -> bool:
    """Whether somebody has started the run since it came into the queue.

    A launch that died before it had made a process does not count: then it starts again.
    """
    if record.started == entry.started_before:
        return False
    made_nothing = record.pid <= 0 and record.supervisor_pid <= 0
    return is_active(record) or not made_nothing


def waits_for(state: QueueState, taken: Mapping[str, str]) -> dict[str, str]:
    """What each run of the queue waits for, a few words by its id.

    Args:
        taken: The run on each slot that is taken.
    """
    holders, reasons = {slot: f"{run} has" for slot, run in taken.items()}, {}
    for entry in state.entries:
        free = entry.free(holders)
        enough = len(free) >= entry.count
        if state.paused:
            reasons[entry.run] = "the queue is paused"
        elif enough:
            reasons[entry.run] = "nothing: it starts in a moment"
        elif entry.count > 1:
            told = f"{entry.count} devices at once; {len(free)} of {len(entry.devices)}"
            reasons[entry.run] = f"{told} {'is' if len(free) == 1 else 'are'} free"
        else:
            device = entry.devices[0]
            reasons[entry.run] = f"{device}, which {holders[device]}"
        # What is free is kept for those that stand before: smaller runs would pass them for ever.
        for slot in free[: entry.count]:
            holders[slot] = f"{entry.run} has" if enough else f"is kept for {entry.run}"
    return reasons


def _cannot_write(error: OSError, place: Path) -> ProblemError:
    what = f"cannot change the queue: {error.strerror or error}"
    hint = "Check the free disk space and the folder's permissions."
    return ProblemError(Problem(what, str(place), hint))


def _parse(text: str) -> QueueState:
    raw = json.loads(text)
    if not isinstance(raw, dict):
        raise ValueError("not a JSON object")
    if raw.get("version") != VERSION:
        raise ValueError("a newer version of dpo-workbench wrote it")
    entries = [_entry(item) for item in _listed(raw.get("entries"))]
    if len({entry.run for entry in entries}) < len(entries):
        raise ValueError("a run stands in it twice")
    guarded = [_run_id(item) for item in _listed(raw.get("guarded", []))]
    return QueueState(entries, raw.get("paused") is True, str(raw.get("reason") or ""), guarded)


def _listed(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("a list is missing")
    return value


def _entry(raw: object) -> Entry:
    if not isinstance(raw, dict) or raw.get("action") not in ("launch", "resume"):
        raise ValueError("an entry is damaged")
    devices = [item for item in _listed(raw.get("devices")) if isinstance(item, str)]
    started, added = raw.get("started_before"), raw.get("added")
    count = raw.get("count", 1)
    if not devices or not is_number(started) or not is_number(added):
        raise ValueError("an entry is damaged")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError("an entry is damaged")
    return Entry(
        _run_id(raw.get("run")),
        raw["action"],
        tuple(devices),
        float(started),  # type: ignore[arg-type]
        raw.get("stop_on_failure") is True,
        raw.get("accept_changes") is True,
        float(added),  # type: ignore[arg-type]
        count,
    )


def _run_id(value: object) -> str:
    """A run's id; one that leads out of the folder of the runs is refused."""
    if not isinstance(value, str) or value in ("", ".", "..") or "/" in value or "\0" in value:
        raise ValueError("an entry names no run")
    return value
