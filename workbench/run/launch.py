"""Starting, stopping, resuming and deleting runs. A run never hangs on whoever started it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

import filelock
import psutil

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory
from workbench.run.record import RunRecord, is_active, is_alive, read_record, update_record

WORKER = "workbench.worker.train"
LOCK_SECONDS = 1.0
"""A worker that has just written its end record holds its lock for a moment longer."""


def launch(run: RunDirectory) -> int:
    """Start the worker of a run in a session of its own and return its pid.

    Its input is empty and its output goes to train.log, so neither a closed terminal nor the
    end of this process reaches it.

    Raises:
        ProblemError: Another worker holds the run, or the process cannot be started.
    """
    _refuse_if_held(run)
    update_record(
        run, state="starting", error=None, exit_code=None, finished=0.0, pid=0, started=time.time()
    )
    command = [sys.executable, "-m", WORKER, str(run.path)]
    # A stop that comes before the worker listens waits for it: the worker unblocks the signal.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with run.log.open("ab") as log:
            run.log.chmod(0o600)
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=run.path,
                env=_environment(run),
            )
    except OSError as error:
        what = f"cannot start the worker: {error.strerror}"
        update_record(run, state="failed", error={"what": what, "where": "", "next_step": ""})
        raise ProblemError(Problem(what, command[0], "Check the installation.")) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    _identify(run, process.pid)
    return process.pid


def _environment(run: RunDirectory) -> Mapping[str, str]:
    """This process's environment, and the recipe's `env` settings, which `check` has allowed."""
    environment = dict(os.environ)
    recipe = load_recipe(run.recipe)
    extra = recipe.values(recipe.stages[0]).get("env")
    if isinstance(extra, dict):
        environment.update({str(key): str(value) for key, value in extra.items()})
    return environment


def _identify(run: RunDirectory, pid: int) -> None:
    """Record the worker's pid, unless the worker was quicker and wrote its own record."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.Error:
        return
    record = read_record(run)
    if record.pid != pid and record.state in ("starting", "lost"):
        update_record(run, pid=pid, create_time=created)


def _refuse_if_held(run: RunDirectory) -> None:
    lock = filelock.FileLock(run.lock, mode=0o600)
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except filelock.Timeout:
        what = "another worker is at work on this run"
        raise ProblemError(Problem(what, run.id, "Watch it, or stop it first.")) from None
    lock.release()


def stop(run: RunDirectory, *, kill: bool = False) -> str:
    """Ask the worker to finish its step, save a checkpoint and end; with `kill`, end it at once.

    Returns:
        One sentence for the person who asked.

    Raises:
        ProblemError: No worker is at work, or it belongs to someone else.
    """
    record = read_record(run)
    if not is_active(record) or not is_alive(record):
        raise ProblemError(
            Problem(f"the run is {record.state}, not running", run.id, "Nothing to stop.")
        )
    try:
        os.kill(record.pid, signal.SIGKILL if kill else signal.SIGTERM)
    except PermissionError:
        what = f"process {record.pid} belongs to another user"
        raise ProblemError(Problem(what, run.id, "Ask its owner to stop it.")) from None
    if kill:
        return "Killed. What was trained since the last checkpoint is lost."
    return "Stopping: the worker finishes its step and saves a checkpoint."


def resume(run: RunDirectory) -> int:
    """Start the worker again; it goes on from its newest complete checkpoint.

    Raises:
        ProblemError: The run is at work or has finished.
    """
    record = read_record(run)
    if is_active(record):
        raise ProblemError(Problem(f"the run is {record.state}", run.id, "Watch it instead."))
    if record.state == "finished":
        hint = "Start a new run with more steps; --from takes its adapter as the beginning."
        raise ProblemError(Problem("the run is finished already", run.id, hint))
    return launch(run)


def delete(run: RunDirectory) -> None:
    """Delete a run directory with all that is in it.

    Raises:
        ProblemError: A worker is at work on it, or a file cannot be deleted.
    """
    record = read_record(run)
    if is_active(record):
        raise ProblemError(Problem(f"the run is {record.state}", run.id, "Stop it first."))
    try:
        shutil.rmtree(run.path)
    except OSError as error:
        what = f"cannot delete it: {error.strerror}"
        raise ProblemError(Problem(what, str(error.filename), "Check its permissions.")) from error


def describe_error(record: RunRecord) -> str:
    """A failed or lost run's reason and next step as one text, or an empty one."""
    if not record.error:
        return ""
    error = record.error
    return str(Problem(error.get("what", ""), error.get("where", ""), error.get("next_step", "")))
