"""Asking Slurm how the jobs of runs stand, seldom enough for a cluster of many users."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from workbench.base.problems import ProblemError
from workbench.run.directory import RunDirectory
from workbench.run.record import RunRecord, is_alive, is_here, read_record
from workbench.run.slurm.client import (
    account_lines,
    exit_code,
    queue_lines,
    waiting_lines,
)
from workbench.run.slurm.status import GONE, JobStatus, read_job, write_status
from workbench.run.trust import distrust

ASK_SECONDS = 10.0
"""Slurm is asked no more often than this, by all front ends of a person's together."""
CALM_SECONDS = 30.0
"""A run that has told of itself within this time needs no asking."""


def ask(runs: Iterable[RunDirectory], *, now: bool = False, calm: bool = True) -> None:
    """Write down how the jobs of these runs stand, where somebody should know by now.

    Slow: it starts processes. Call it from a thread in the app.

    Args:
        now: Ask although that was done a moment ago.
        calm: Leave Slurm alone about runs that tell of themselves.

    Raises:
        ProblemError: There is no Slurm on this machine, or it does not answer.
    """
    due: dict[str, RunDirectory] = {}
    for run in runs:
        record = read_record(run)
        if is_due(run, record, now=now, calm=calm):
            due[record.slurm_job] = run
    if not due:
        return
    for job, status in job_statuses(list(due)).items():
        write_status(due[job], status)


def ask_quietly(runs: Iterable[RunDirectory], *, now: bool = False, calm: bool = True) -> str:
    """As `ask`; returns why Slurm could not be asked, empty where all is well."""
    try:
        ask(runs, now=now, calm=calm)
    except ProblemError as error:
        return str(error)
    return ""


def is_due(run: RunDirectory, record: RunRecord, *, now: bool = False, calm: bool = True) -> bool:
    """Whether Slurm may know something of a run that its files do not tell; see `ask`."""
    if not record.slurm_job.isdecimal() or record.state == "finished" or distrust(run, record):
        return False
    status = read_job(run, record.slurm_job)
    if status is not None:
        if status.ended and status.asked_at >= record.started:
            return False
        if not now and 0 <= time.time() - status.asked_at < ASK_SECONDS:
            return False
    quiet = time.time() - max(record.heartbeat, record.started) > CALM_SECONDS
    at_work = record.state in ("starting", "running", "stopping")
    return now or not calm or not at_work or quiet or (is_here(record) and not is_alive(record))


def job_statuses(jobs: Sequence[str]) -> dict[str, JobStatus]:
    """How jobs stand, by id; those that Slurm does not know any more are `GONE`.

    Raises:
        ProblemError: There is no Slurm on this machine, or it does not answer.
    """
    found = {status.job: status for status in map(of_queue, queue_lines(jobs))}
    for job, status in found.items():
        if status.waits:
            waiting = waiting_lines(status.partition.partition(",")[0])
            found[job] = with_place(status, waiting)
        elif status.ended:
            found[job] = replace(status, exit_code=exit_code(job))
    lost = [job for job in jobs if job not in found]
    found |= {status.job: status for status in map(of_account, account_lines(lost))}
    return {job: found.get(job, JobStatus(job, GONE, asked_at=time.time())) for job in jobs}


def of_queue(row: Sequence[str]) -> JobStatus:
    """What a line of squeue says, see `client.queue_lines`."""
    job, state, partition, priority, start, limit, nodes, reason = row
    return JobStatus(
        job=job,
        state=state,
        reason="" if reason == "None" else reason,
        partition=partition,
        priority=_number(priority),
        start=_seconds(start),
        nodes=nodes,
        limit=limit,
        asked_at=time.time(),
    )


def of_account(row: Sequence[str]) -> JobStatus:
    """What a line of sacct says, see `client.account_lines`."""
    job, state, partition, code, nodes, limit, start = row
    return JobStatus(
        job=job,
        state=state.partition(" ")[0],  # CANCELLED by 1000
        partition=partition,
        start=_seconds(start),
        nodes=nodes,
        limit=limit,
        exit_code=code,
        asked_at=time.time(),
    )


def with_place(status: JobStatus, waiting: Sequence[Sequence[str]]) -> JobStatus:
    """A waiting job with its place by priority; jobs of one priority stand in order of their ids.

    Args:
        waiting: Id and priority of the jobs that wait in its partition.
    """
    mine = (-status.priority, _number(status.job))
    places = {(-_number(value), _number(job)) for job, value in waiting}
    places.add(mine)
    return replace(status, position=sorted(places).index(mine) + 1, pending=len(places))


def _number(text: str) -> int:
    """The number that a text begins with: tasks of arrays are called `12_[1-4]`."""
    digits = text.partition("_")[0].strip()
    return int(digits) if digits.isdecimal() else 0


def _seconds(text: str) -> float:
    """Slurm's local time in Unix seconds; 0 for `N/A` and whatever else."""
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
