"""Starting, stopping, resuming and deleting runs. A run never hangs on whoever started it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

import psutil

from workbench.base.locks import is_locked, take_lock
from workbench.base.problems import Problem, ProblemError
from workbench.recipe.caution import allowed_variables
from workbench.recipe.recipe import load_recipe
from workbench.recipe.slurm_section import SlurmWish
from workbench.run.changes import refuse_changes
from workbench.run.devices import slot_environment
from workbench.run.directory import RunDirectory
from workbench.run.launch_check import refuse_launch
from workbench.run.notify import end_file
from workbench.run.processes import end_processes, find_process
from workbench.run.record import (
    RunRecord,
    as_error,
    is_active,
    is_here,
    is_submitted,
    read_record,
    update_record,
)
from workbench.run.slurm.job import ask_quietly
from workbench.run.slurm.script import write_script
from workbench.run.slurm.submit import is_for_slurm, stop_job, submit
from workbench.run.states import label
from workbench.run.trust import refuse_distrusted, refuse_imported

SUPERVISOR = "workbench.run.supervisor"
LOCK_SECONDS = 10.0
"""A worker that has just written its end record needs a while to let go of everything."""
SAVE_SECONDS = 30.0
START_SECONDS = 10.0
POLL_SECONDS = 0.1
FRESH = {
    "state": "starting",
    "finished": 0.0,
    "error": None,
    "exit_code": None,
    "signal": 0,
    "evidence": [],
    "pid": 0,
    "supervisor_pid": 0,
    "saving": "",
}
"""What run.json forgets of an earlier attempt."""


def launch(run: RunDirectory) -> int:
    """Start the supervisor of a run in a session of its own and return its pid.

    A run that has a script for Slurm is submitted instead; 0 is returned.

    Its input is empty and its output goes to train.log, so neither a closed terminal nor the
    end of this process reaches it.

    Raises:
        ProblemError: Another process is at work on the run, none can be started, or this machine
            has not what its recipe asks for.
    """
    refuse_distrusted(run)
    refuse_imported(run)
    if is_for_slurm(run):
        lock = _take(run)
        try:
            submit(run, FRESH)
        finally:
            os.close(lock)
        return 0
    record = read_record(run)
    refuse_launch(load_recipe(run.recipe), record.device, hosts=len(record.hosts))
    environment = _environment(run)
    lock = _take(run)
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        update_record(run, started=time.time(), **FRESH)
        return _spawn(run, lock, environment)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        what = f"cannot start the run: {reason}"
        hint = "Check the disk, the permissions of the run directory and the installation."
        with contextlib.suppress(OSError, ValueError):
            update_record(run, state="failed", error=as_error(what, str(run.path), hint))
        raise ProblemError(Problem(what, str(run.path), hint)) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        os.close(lock)


def submit_new(run: RunDirectory, wish: SlurmWish) -> None:
    """Submit a new run to Slurm; one that is refused is deleted, for it is nothing yet.

    Raises:
        ProblemError: There is no Slurm, it does not answer, or it refuses the job.
    """
    try:
        write_script(run, wish, read_record(run).name or run.id)
        launch(run)
    except OSError as error:
        shutil.rmtree(run.path, ignore_errors=True)
        what = f"cannot submit the run: {error.strerror or error}"
        raise ProblemError(Problem(what, str(run.path), "Check the disk.")) from error
    except ProblemError:
        shutil.rmtree(run.path, ignore_errors=True)
        raise


def _spawn(run: RunDirectory, lock: int, environment: Mapping[str, str]) -> int:
    # A stop that comes before the supervisor listens waits for it: it unblocks the signal.
    command = [sys.executable, "-m", SUPERVISOR, str(run.path), str(lock)]
    with run.log.open("ab") as log:
        run.log.chmod(0o600)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=run.path,
            env=environment,
            pass_fds=[lock],
        )
    _await_supervisor(run, process)
    return process.pid


def _await_supervisor(run: RunDirectory, process: subprocess.Popen[bytes]) -> None:
    """Wait until the supervisor has entered itself into run.json, so that a stop can reach it."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if read_record(run).supervisor_pid == process.pid:
            return
        time.sleep(POLL_SECONDS / 5)
    if process.poll() not in (None, 0):
        raise OSError(f"its supervisor ended with exit code {process.returncode}, see {run.log}")


def _environment(run: RunDirectory) -> Mapping[str, str]:
    """This process's environment, the recipe's allowed `env` settings, and the run's device."""
    environment = dict(os.environ)
    recipe = load_recipe(run.recipe)
    environment.update(allowed_variables(recipe.values(recipe.stages[0]).get("env")))
    environment.update(slot_environment(read_record(run).device))
    return environment


def _take(run: RunDirectory) -> int:
    """The run's supervisor lock; ProblemError where another process is at work on the run."""
    record = read_record(run)
    patience = 0.0 if is_active(record) else LOCK_SECONDS
    try:
        lock = take_lock(run.supervisor_lock, wait_seconds=patience)
    except OSError as error:
        what = f"cannot lock the run: {error.strerror}"
        raise ProblemError(Problem(what, str(run.path), "Check its permissions.")) from error
    deadline = time.monotonic() + patience
    # The worker of a supervisor that was killed goes on alone and holds its own lock.
    while lock is not None and is_locked(run.lock):
        if time.monotonic() >= deadline:
            os.close(lock)
            lock = None
        else:
            time.sleep(POLL_SECONDS)
    if lock is None:
        pid = record.pid or record.supervisor_pid
        who = f"another process (pid {pid})" if pid else "another process"
        raise ProblemError(
            Problem(f"{who} is at work on this run", run.id, "Watch it, or stop it first.")
        )
    return lock


def stop(run: RunDirectory, *, kill: bool = False) -> str:
    """Ask the worker to finish its step, save a checkpoint and end; with `kill`, end it at once.

    A kill waits for a checkpoint that is being written, for half a minute at most.

    Returns:
        One sentence for the person who asked.

    Raises:
        ProblemError: The run's processes are out of reach.
    """
    refuse_distrusted(run)
    record = read_record(run)
    if record.slurm_job and record.state != "finished":
        if kill:
            _wait_for_save(run)
        return stop_job(run, kill=kill)
    if not is_active(record):
        return f"The run is {label(record.state)}; there is nothing to stop."
    if not is_here(record):
        hint = f"Stop it there: dpo-workbench stop {run.id}."
        raise ProblemError(Problem(f"it runs on another machine, {record.host}", run.id, hint))
    if kill:
        _wait_for_save(run)
    try:
        told = _signal(run, record, kill=kill)
    except psutil.AccessDenied:
        what = f"process {record.pid or record.supervisor_pid} belongs to another user"
        raise ProblemError(Problem(what, run.id, "Ask its owner to stop it.")) from None
    if not told:
        return "The run is just starting or ending; look again in a moment."
    if kill:
        return "Killed. What was trained since the last checkpoint is lost."
    return "Stopping: the worker finishes its step and saves a checkpoint."


def _wait_for_save(run: RunDirectory) -> None:
    deadline = time.monotonic() + SAVE_SECONDS
    while time.monotonic() < deadline:
        record = read_record(run)
        if not record.saving or record.state == "stalled" or not is_active(record):
            return
        time.sleep(POLL_SECONDS)


def _signal(run: RunDirectory, record: RunRecord, *, kill: bool) -> bool:
    """Reach the supervisor, or the worker where that is gone; whether somebody was there."""
    supervisor = find_process(record.supervisor_pid, record.supervisor_create_time)
    worker = find_process(record.pid, record.create_time)
    try:
        if supervisor is not None:
            supervisor.send_signal(signal.SIGUSR2 if kill else signal.SIGTERM)
        elif worker is not None:
            worker.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            if kill:
                end_processes(run)
        return supervisor is not None or worker is not None
    except psutil.NoSuchProcess:
        return False


def resume(run: RunDirectory, *, accept_changes: bool = False) -> int:
    """Start the worker again; it goes on from its newest complete checkpoint.

    Args:
        accept_changes: Go on although settings or data are not those of the checkpoint.

    Raises:
        ProblemError: The run is at work or has finished, or something has changed.
    """
    refuse_distrusted(run)
    ask_quietly([run])
    record = read_record(run)
    refuse_imported(run, record)
    if is_active(record):
        raise ProblemError(Problem(f"the run is {record.state}", run.id, "Watch it instead."))
    if is_submitted(record):
        what = f"the run waits in Slurm's queue already (job {record.slurm_job})"
        raise ProblemError(Problem(what, run.id, "Watch it instead."))
    if record.state == "finished":
        hint = "Start a new run with more steps; --from takes its adapter as the beginning."
        raise ProblemError(Problem("the run is finished already", run.id, hint))
    changes = refuse_changes(run, accept=accept_changes)
    if changes:
        said = f"Resumed with changes: {'; '.join(str(change) for change in changes)}."
        update_record(run, notes=[*record.notes, said])
    return launch(run)


def delete(run: RunDirectory) -> None:
    """Delete a run directory with all that is in it.

    Raises:
        ProblemError: A worker is at work on it, or a file cannot be deleted.
    """
    refuse_distrusted(run)
    ask_quietly([run])
    record = read_record(run)
    if is_active(record) or is_submitted(record):
        raise ProblemError(Problem(f"the run is {record.state}", run.id, "Stop it first."))
    try:
        shutil.rmtree(run.path)
        end_file(run).unlink(missing_ok=True)
    except OSError as error:
        what = f"cannot delete it: {error.strerror}"
        raise ProblemError(Problem(what, str(error.filename), "Check its permissions.")) from error


def describe_error(record: RunRecord) -> str:
    """A failed or lost run's reason and next step as one text, or an empty one."""
    if not record.error:
        return ""
    error = record.error
    return str(Problem(error.get("what", ""), error.get("where", ""), error.get("next_step", "")))
