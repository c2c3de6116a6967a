"""slurm.json: what Slurm last said of a run's job. Reading it starts no process."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from workbench.base.files import is_number, json_safe, write_atomic
from workbench.base.tail import read_small
from workbench.base.text import clean
from workbench.run.directory import RunDirectory
from workbench.run.slurm.reasons import reason_words

GONE = "GONE"
"""Ours: Slurm does not know the job any more."""
PENDING_STATES = (
    *("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"),
    "CONFIGURING",
)
ENDED_STATES = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "REVOKED", "TIMEOUT", GONE),
)


@dataclass(frozen=True)
class JobStatus:
    """How a job stands.

    Attributes:
        job: Its id.
        state: Slurm's word, such as PENDING; `GONE` where Slurm does not know it any more.
        reason: Slurm's word for why it waits or how it ended, empty for none.
        partition: Where it waits or runs.
        priority: The number that the scheduler gives it, the larger the earlier.
        position, pending: Its place among the jobs that wait in the partition, counted from 1 by
            priority, and how many these are; 0 where it does not wait or nobody may know.
        start: When it started, or is thought to; Unix seconds, 0 while unknown.
        nodes: What it runs on, as Slurm writes lists of hosts.
        limit: Its time limit as Slurm writes it.
        exit_code: Of its script, `1:0` (code and signal); empty while it runs.
        asked_at: When Slurm said this, Unix seconds.
    """

    job: str = ""
    state: str = ""
    reason: str = ""
    partition: str = ""
    priority: int = 0
    position: int = 0
    pending: int = 0
    start: float = 0.0
    nodes: str = ""
    limit: str = ""
    exit_code: str = ""
    asked_at: float = 0.0

    @property
    def waits(self) -> bool:
        """Whether the job waits for its turn, for the first time or again."""
        return self.state in PENDING_STATES

    @property
    def ended(self) -> bool:
        """Whether the job will do nothing more."""
        return self.state in ENDED_STATES


def read_status(run: RunDirectory) -> JobStatus | None:
    """What was last written down; None where nothing was, or nothing that can be read."""
    try:
        raw = json.loads(read_small(run.slurm))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(raw, dict):
        return None
    known = {f.name: raw[f.name] for f in fields(JobStatus) if f.name in raw}
    empty = JobStatus()
    for name, value in known.items():
        text = isinstance(getattr(empty, name), str)
        if not (isinstance(value, str) if text else is_number(value)):
            return None
    return JobStatus(**known)


def write_status(run: RunDirectory, status: JobStatus) -> None:
    """Write down what Slurm said; a run that cannot be written to is only less well known."""
    with contextlib.suppress(OSError):
        write_atomic(run.slurm, json.dumps(json_safe(asdict(status)), indent=1))


def read_job(run: RunDirectory, job: str, since: float = 0.0) -> JobStatus | None:
    """What was last written down of this very job, and of the attempt that began at `since`."""
    status = read_status(run)
    if status is None or status.job != job or status.asked_at < since:
        return None
    return status


def job_words(run: RunDirectory, job: str, since: float = 0.0) -> str:
    """`job 12 pending in gpu, 3 of 12, ...`; empty where the run is no job."""
    if not job:
        return ""
    status = read_job(run, job, since)
    return f"job {_inert(job)} {status_words(status) if status else ''}".rstrip()


def short_words(run: RunDirectory, job: str) -> str:
    """`job 12, 3 of 12` for a job that waits."""
    status = read_job(run, job)
    known = status is not None and status.position > 0
    place = f", {status.position:.0f} of {status.pending:.0f}" if known and status else ""
    return f"job {_inert(job)}{place}"


def status_words(status: JobStatus, now: float | None = None) -> str:
    """One line for people: `pending in gpu, 3 of 12, Priority: ..., start about 14:30`."""
    state = clean(status.state, newlines=False).lower().replace("_", " ")
    parts = [f"{state} in {_inert(status.partition)}" if status.partition else state]
    if status.waits:
        if status.position:
            parts.append(f"{status.position:.0f} of {status.pending:.0f}")
        if status.reason:
            parts.append(reason_words(status.reason))
        if status.start > (time.time() if now is None else now):
            parts.append(f"start about {_moment(status.start, now)}")
    elif status.nodes:
        parts.append(f"on {_inert(status.nodes)}")
    return ", ".join(parts)


def _inert(text: str) -> str:
    return clean(text, newlines=False)


def _moment(seconds: float, now: float | None) -> str:
    """A time of today without its date, another with it; local time."""
    try:
        when, today = datetime.fromtimestamp(seconds), datetime.fromtimestamp(now or time.time())
    except (OverflowError, OSError, ValueError):
        return "an unknown time"
    return when.strftime("%H:%M" if when.date() == today.date() else "%Y-%m-%d %H:%M")
