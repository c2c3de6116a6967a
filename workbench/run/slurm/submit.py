"""Submitting runs to Slurm, and taking them back."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

from workbench.base.locks import take_lock
from workbench.base.problems import ProblemError
from workbench.run.directory import RunDirectory
from workbench.run.record import (
    as_error,
    is_active,
    is_submitted,
    read_record,
    update_record,
)
from workbench.run.slurm.client import cancel, submit_script
from workbench.run.slurm.job import ask, ask_quietly
from workbench.run.slurm.status import read_job
from workbench.run.states import label

KILL = "USR2"
"""What the supervisor of a run takes for a kill."""


def is_for_slurm(run: RunDirectory) -> bool:
    """Whether a launch of the run is a submission."""
    return run.batch_script.is_file()


def submit(run: RunDirectory, fresh: dict[str, Any]) -> str:
    """Submit a run's script as it stands; returns the id of the job.

    The caller holds the run's supervisor lock: the job waits until that is let go.

    Args:
        fresh: What run.json forgets of an earlier attempt.

    Raises:
        ProblemError: There is no Slurm, it does not answer, or it refuses the job.
    """
    run.slurm_stop.unlink(missing_ok=True)
    changes = {**fresh, "state": "queued", "started": 0.0, "heartbeat": 0.0}
    try:
        update_record(run, **{**changes, "slurm_job": ""})
        job = submit_script(run.batch_script)
        update_record(run, **{**changes, "slurm_job": job})
    except ProblemError as error:
        first = error.problems[0]
        with contextlib.suppress(OSError, ValueError):
            problem = as_error(first.what, first.where, first.next_step)
            update_record(run, state="failed", finished=time.time(), error=problem)
        raise
    return job


def stop_job(run: RunDirectory, *, kill: bool = False) -> str:
    """Stop a run that is a job: with a checkpoint while it trains, at once while it waits.

    Returns:
        One sentence for the person who asked.

    Raises:
        ProblemError: There is no Slurm on this machine, it does not answer, or it refuses.
    """
    ask([run], now=True)
    record = read_record(run)
    status = read_job(run, record.slurm_job)
    if not is_active(record) and not is_submitted(record):
        return f"The run is {label(record.state)}; there is nothing to stop."
    if status is None or status.ended:
        return "Slurm has ended the job already; look again in a moment."
    run.slurm_stop.touch(mode=0o600)
    job = record.slurm_job
    if status.waits:
        cancel(job)
        return _take_back(run, job)
    if kill:
        cancel(job, number=KILL)
        cancel(job)
        return (
            f"Killed: job {job} is cancelled. What was trained since the last checkpoint is lost."
        )
    cancel(job, number="TERM")
    return f"Stopping: job {job} finishes its step and saves a checkpoint."


def _take_back(run: RunDirectory, job: str) -> str:
    """Write that a run which waited is stopped, unless it has begun in this very moment."""
    lock = take_lock(run.supervisor_lock)
    if lock is None:
        return f"Stopping: job {job} has just begun, and ends after a checkpoint."
    try:
        update_record(run, state="stopped", finished=time.time(), error=None)
    finally:
        os.close(lock)
    ask_quietly([run], now=True)
    return f"Job {job} is out of Slurm's queue."
