"""What a reader concludes of a run from what Slurm last said of its job; nothing is written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from workbench.base.text import clean
from workbench.run.directory import RunDirectory
from workbench.run.slurm.reasons import reason_words
from workbench.run.slurm.status import GONE, JobStatus, read_job

if TYPE_CHECKING:
    from workbench.run.record import RunRecord

FRESH_SECONDS = 60.0
WORKING = ("starting", "running", "stopping")
RESUME = "Resume it: it is submitted again and goes on from its last complete checkpoint."
ENDS = {
    "NODE_FAIL": ("lost", "a node of the job failed ({nodes})", RESUME),
    "BOOT_FAIL": ("lost", "a node of the job did not start ({nodes})", RESUME),
    "TIMEOUT": (
        "killed",
        "the job reached its time limit ({limit}) before a checkpoint was saved",
        "Ask for more time in run.sbatch, or for more time to save (--signal there). " + RESUME,
    ),
    "DEADLINE": ("killed", "the job could not end before its deadline", RESUME),
    "OUT_OF_MEMORY": (
        "out_of_memory",
        "the job used more memory than it had asked for, and Slurm ended it",
        "Ask for more with --mem in run.sbatch, or halve per_device_train_batch_size and double "
        "gradient_accumulation_steps. " + RESUME,
    ),
    "CANCELLED": ("killed", "the job was cancelled, and not by dpo-workbench", RESUME),
    "PREEMPTED": ("killed", "the job had to give way to another of a higher priority", RESUME),
    "REVOKED": ("killed", "the job was taken away to another cluster", RESUME),
    "COMPLETED": ("lost", "the job ended without a report of the training", RESUME),
    GONE: ("lost", "Slurm does not know the job any more, and it left no report", RESUME),
}


def conclude_of_job(run: RunDirectory, record: RunRecord) -> None:
    """Change the state of a record where Slurm knows better than run.json.

    A job that waits again is queued, whatever its last attempt wrote; one that Slurm has ended
    under a run at work has ended that run.
    """
    status = _news(run, record)
    if status is None or record.state == "finished":
        return
    if status.waits:
        record.state, record.error = "queued", None
    elif status.ended and record.state in (*WORKING, "queued"):
        _conclude_end(run, record, status)


def is_known(run: RunDirectory, record: RunRecord) -> bool:
    """Whether Slurm has said a moment ago how the job stands, so that it need not be guessed."""
    status = _news(run, record)
    return status is not None and time.time() - status.asked_at < FRESH_SECONDS


def _news(run: RunDirectory, record: RunRecord) -> JobStatus | None:
    """What Slurm has said of this very attempt."""
    return read_job(run, record.slurm_job, record.started)


def _conclude_end(run: RunDirectory, record: RunRecord, status: JobStatus) -> None:
    if record.state == "queued" and (status.state == "CANCELLED" or run.slurm_stop.exists()):
        record.state = "stopped"
        return
    if status.state in ENDS:
        record.state, what, hint = ENDS[status.state]
        nodes, limit = (clean(t, newlines=False) for t in (status.nodes, status.limit))
        what = what.format(nodes=nodes or "its name is not known", limit=limit or "unknown")
    else:
        record.state = "failed"
        what = f"the job ended before the training did{_exit_words(status)}"
        hint = "Its last words stand in slurm.log. Correct run.sbatch, then resume the run."
    record.error = {"what": what, "where": str(run.slurm_log), "next_step": hint}


def _exit_words(status: JobStatus) -> str:
    """`, with exit code 1` of `1:0`, `, by signal 9` of `0:9`, or the reason that Slurm has."""
    code, _, number = clean(status.exit_code, newlines=False).partition(":")
    if number.strip("0"):
        return f", by signal {number}"
    if code.strip("0"):
        return f", with exit code {code}"
    return f": {reason_words(status.reason)}" if status.reason else ""
