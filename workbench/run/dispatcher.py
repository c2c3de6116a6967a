"""The process that starts what waits: ``python -m workbench.run.dispatcher DATA``.

It has no torch and lives while there are entries. It may be killed at any moment: an entry goes
only after its run was started, and a run that was started since it came into the queue is not
started again. Whoever looks at the queue next starts another dispatcher.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from pathlib import Path

from workbench.base.locks import is_locked, take_lock
from workbench.base.problems import Problem, ProblemError
from workbench.base.text import clean
from workbench.recipe.recipe import load_recipe
from workbench.run.devices import (
    Occupancy,
    choose_slots,
    join_slots,
    slot_of_recipe,
    slots_needed,
    visible_slots,
)
from workbench.run.directory import RunDirectory
from workbench.run.launch import launch, resume
from workbench.run.queue import Entry, Queue, QueueState, was_started
from workbench.run.record import as_error, is_active, read_record, update_record
from workbench.run.states import RESUMABLE_STATES, label

POLL_SECONDS = 1.0
TROUBLE_SECONDS = 30.0
"""A full disk is asked again in growing intervals, up to this one."""
OTHER_SECONDS = 2.0
"""A front end that only looks holds the lock for a moment; another dispatcher keeps it."""
FAILURES = tuple(state for state in RESUMABLE_STATES if state != "stopped")
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE)
LOG_LIMIT_BYTES = 1_000_000


class Dispatcher:
    """Starts the runs of a queue, one for each free device.

    Args:
        lock: Descriptor that holds the dispatcher's lock.
    """

    def __init__(self, queue: Queue, lock: int) -> None:
        self.queue = queue
        self._lock = lock
        self._occupancy = Occupancy(queue.data / "runs", visible_slots())
        self._said = ""
        self._trouble = ""

    def work(self) -> None:
        """Start runs until nothing waits or a person pauses the queue."""
        pause = POLL_SECONDS
        while True:
            self._trouble = ""
            try:
                if not self.tick():
                    return
            except ProblemError as error:
                self._trouble = str(error)
            if self._lock < 0:
                return
            if self._trouble:
                self._say_once(self._trouble)
            pause = min(2 * pause, TROUBLE_SECONDS) if self._trouble else POLL_SECONDS
            time.sleep(pause)

    def tick(self) -> bool:
        """Start at most one run on each free device; False when there is nothing left to do."""
        with self.queue.edit() as state:
            self._watch_guarded(state)
            self._drop_settled(state)
            if not state.entries or state.paused:
                # Let go of this lock first: whoever adds an entry next must see that nobody is
                # here, and cannot add one before the queue's own lock is free.
                os.close(self._lock)
                self._lock = -1
                return False
            taken = self._occupancy.look()
            for entry in list(state.entries):
                chosen = entry.free(taken)[: entry.count]
                if len(chosen) < entry.count:
                    # Kept for it, or smaller runs behind it would pass it for ever.
                    taken |= dict.fromkeys(chosen, entry.run)
                elif not self._is_beginning(entry):
                    taken |= dict.fromkeys(chosen, entry.run)
                    self._start(entry, join_slots(chosen), state)
            return True

    def _watch_guarded(self, state: QueueState) -> None:
        for run_id in list(state.guarded):
            run = self.queue.run(run_id)
            record = read_record(run)
            if is_active(record):
                continue
            state.guarded.remove(run_id)
            if record.state in FAILURES and run.path.is_dir():
                state.paused = True
                state.reason = f"{run_id} ended as {label(record.state)}"
                say(f"paused: {state.reason}")

    def _drop_settled(self, state: QueueState) -> None:
        """Forget what is deleted, or was started by a person or by an earlier dispatcher."""
        for entry in list(state.entries):
            run = self.queue.run(entry.run)
            if not run.record.is_file():
                reason = "it is gone"
            elif not self._is_beginning(entry) and was_started(entry, read_record(run)):
                reason = "it was started already"
            else:
                continue
            state.entries.remove(entry)
            say(f"{entry.run} leaves the queue: {reason}")

    def _is_beginning(self, entry: Entry) -> bool:
        """Whether a launch is under way that has not made a process yet."""
        record = read_record(self.queue.run(entry.run))
        return is_active(record) and record.pid <= 0 and record.supervisor_pid <= 0

    def _start(self, entry: Entry, device: str, state: QueueState) -> None:
        run = self.queue.run(entry.run)
        if is_locked(run.supervisor_lock) or is_locked(run.lock):
            return  # Its last process has not gone yet; the end command may take a minute.
        try:
            assign_device(run, device)
            if entry.action == "launch":
                launch(run)
            else:
                resume(run, accept_changes=entry.accept_changes)
            say(f"{entry.run} started on {device}")
        except ProblemError as error:
            if may_pass(error):
                self._trouble = f"{entry.run} cannot be started yet: {error}"
                return
            say(f"{entry.run} could not be started: {error}")
            note_failure(run, error.problems[0])
        if entry.stop_on_failure:
            state.guarded.append(entry.run)
        state.entries.remove(entry)

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            say(text)


def may_pass(error: ProblemError) -> bool:
    """Whether the system refused something that it may grant later: disk, memory, processes."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in PASSING


def assign_device(run: RunDirectory, device: str) -> None:
    """Write the device into the record of a run that is not at work.

    Raises:
        ProblemError: It is at work, or the record cannot be written.
    """
    _update_at_rest(run, device=device)


def take_free_device(run: RunDirectory) -> str:
    """Give a new run devices that no other run has, where this machine has several.

    Returns:
        The devices; empty where there is no choice, the recipe names its own, or too few are free.
        A run of several processes then has some that others have, too.
    """
    slots, recipe = visible_slots(), load_recipe(run.recipe)
    if len(slots) < 2 or slot_of_recipe(recipe):
        return ""
    taken = Occupancy(run.path.parent, slots).look()
    chosen = choose_slots(slots, taken, slots_needed(recipe, slots))
    device = join_slots(chosen)
    if any(slot in taken for slot in chosen):
        if len(chosen) > 1:
            _update_at_rest(run, device=device)
        return ""
    note = f"It has {device}, the first device that was free."
    if len(chosen) > 1:
        note = f"It has {device}, the first devices that were free."
    _update_at_rest(run, device=device, notes=[*read_record(run).notes, note])
    return device


def note_failure(run: RunDirectory, problem: Problem) -> None:
    """Let a run that could not be started say why, unless it is at work."""
    record = read_record(run)
    made_nothing = record.pid <= 0 and record.supervisor_pid <= 0
    if record.state == "queued" or (record.state in ("starting", "lost") and made_nothing):
        error = as_error(problem.what, problem.where, problem.next_step)
        with contextlib.suppress(ProblemError):
            _update_at_rest(run, state="failed", error=error, finished=time.time())
    elif not is_active(record):
        note = f"The queue could not resume it: {problem}"
        with contextlib.suppress(ProblemError):
            _update_at_rest(run, notes=[*record.notes, clean(note, newlines=False)])


def _update_at_rest(run: RunDirectory, **changes: object) -> None:
    try:
        lock = take_lock(run.supervisor_lock)
    except OSError as error:
        raise _cannot_write(run, error) from error
    if lock is None:
        raise ProblemError(Problem("another process is at work on this run", run.id, "Watch it."))
    try:
        update_record(run, **changes)
    except (OSError, ValueError) as error:
        raise _cannot_write(run, error) from error
    finally:
        os.close(lock)


def _cannot_write(run: RunDirectory, error: Exception) -> ProblemError:
    what = f"cannot write the run's record: {getattr(error, 'strerror', None) or error}"
    hint = "Check the disk and the permissions of the run directory."
    return ProblemError(Problem(what, str(run.path), hint))


def say(text: str) -> None:
    """A line in dispatcher.log, which this process's output goes to."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    with contextlib.suppress(OSError):
        print(f"{stamp} {clean(text, newlines=False)}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        print("usage: python -m workbench.run.dispatcher DATA_FOLDER", file=sys.stderr)
        return 2
    os.umask(0o077)
    queue = Queue(Path(arguments[0]))
    lock = take_lock(queue.dispatcher_lock, wait_seconds=OTHER_SECONDS)
    if lock is None:
        return 0
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    with contextlib.suppress(OSError):
        if queue.log.stat().st_size > LOG_LIMIT_BYTES:
            os.truncate(queue.log, 0)
    say(f"dispatcher {os.getpid()} begins")
    Dispatcher(queue, lock).work()
    say(f"dispatcher {os.getpid()} ends: nothing waits")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
