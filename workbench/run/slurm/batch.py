"""A run's job, on its first node: ``python -m workbench.run.slurm.batch RUN``.

It is the supervisor of the run, see `workbench.run.supervisor`, and knows Slurm's signals besides:
SIGTERM stops the run with a checkpoint, SIGUSR1 (the time limit is near) does so too and puts the
job back into the queue, where it goes on by itself from that checkpoint. SIGUSR2 kills the run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType

from workbench.base.locks import take_lock
from workbench.base.problems import ProblemError
from workbench.recipe.caution import allowed_variables
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory
from workbench.run.launch import FRESH
from workbench.run.record import RunRecord, as_error, read_record, update_record
from workbench.run.slurm.client import requeue
from workbench.run.slurm.nodes import job_hosts
from workbench.run.supervisor import say, supervise_run
from workbench.run.trust import refuse_distrusted

LOCK_SECONDS = 60.0
"""Whoever submitted the job lets go of the run in a moment; on a shared disk it takes longer."""
NO_TIME = (
    "the job's time ran out before one step was made, so it was not put back into the queue",
    "Ask for more time in run.sbatch (#SBATCH --time), then resume the run.",
)


NEAR = "Job {} came near its time limit"


class LimitWatch:
    """Turns Slurm's warning of the time limit into a stop, and the stopped run into a waiting one.

    Args:
        job: Id of the job.
    """

    def __init__(self, run: RunDirectory, job: str) -> None:
        self.run = run
        self.job = job
        self.near = False
        self._began = _place(read_record(run))

    def listen(self) -> None:
        """Take the warning over; SIGTERM waits until the supervisor listens to it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        signal.signal(signal.SIGUSR1, self._on_warning)

    def _on_warning(self, _number: int, _frame: FrameType | None) -> None:
        self.near = True
        os.kill(os.getpid(), signal.SIGTERM)

    def conclude(self, record: RunRecord) -> RunRecord:
        """The last record of an attempt: queued, where the time limit alone has ended it."""
        if not self.near or record.state != "stopped" or self.run.slurm_stop.exists():
            self.near = False
            return record
        if _place(record) == self._began:
            # It would come back to this place for ever.
            self.near = False
            what, hint = NO_TIME
            return update_record(
                self.run, state="failed", error=as_error(what, str(self.run.batch_script), hint)
            )
        note = (
            f"{NEAR.format(self.job)} at step {record.step} of {record.stage}: it saved a "
            "checkpoint and went back into the queue."
        )
        # A long training comes here many times; the last one tells enough.
        others = [one for one in record.notes if not one.startswith(NEAR.format(self.job))]
        return update_record(
            self.run, state="queued", started=0.0, finished=0.0, notes=[*others, note]
        )

    def go_back(self) -> None:
        """Put the job back into the queue where `conclude` said so; this process ends by it."""
        if not self.near:
            return
        # Slurm ends what is left of the job, and this is.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            requeue(self.job)
        except ProblemError as error:
            say(str(error))
            first = error.problems[0]
            what = f"the job could not go back into the queue: {first.what}"
            with contextlib.suppress(OSError, ValueError):
                update_record(
                    self.run,
                    state="stopped",
                    finished=time.time(),
                    error=as_error(what, str(self.run.batch_script), "Resume the run by hand."),
                )


def _place(record: RunRecord) -> tuple[str, int]:
    return record.stage, record.step


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        print("usage: python -m workbench.run.slurm.batch RUN_DIRECTORY", file=sys.stderr)
        return 2
    os.umask(0o077)
    run, job = RunDirectory(Path(arguments[0])), os.environ.get("SLURM_JOB_ID", "")
    watch = LimitWatch(run, job)
    watch.listen()
    try:
        refuse_distrusted(run)
        lock = take_lock(run.supervisor_lock, wait_seconds=LOCK_SECONDS)
        if lock is None:
            say("another process is at work on this run")
            return 1
        if reason := _rests(run):
            say(reason)
            return 0
        _begin(run, job)
    except ProblemError as error:
        say(str(error))
        return 1
    code = supervise_run(run, lock, conclude=watch.conclude)
    watch.go_back()
    return code


def _rests(run: RunDirectory) -> str:
    """Why a run is not to go on though Slurm has started its job; empty where it is."""
    record = read_record(run)
    if record.state == "finished":
        return "the run has finished already"
    if run.slurm_stop.exists():
        update_record(run, state="stopped", finished=record.finished or time.time())
        return "the run was stopped while the job waited"
    return ""


def _begin(run: RunDirectory, job: str) -> None:
    """Enter this attempt into run.json, and let what the processes print go to train.log."""
    update_record(
        run,
        **{**FRESH, "state": "starting"},
        started=time.time(),
        host=socket.gethostname(),
        slurm_job=job,
        hosts=job_hosts(),
    )
    recipe = load_recipe(run.recipe)
    os.environ.update(allowed_variables(recipe.values(recipe.stages[0]).get("env")))
    log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    sys.stdout.flush()
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    if count := os.environ.get("SLURM_RESTART_COUNT", ""):
        say(f"job {job} begins again; it was put back into the queue {count} times so far")
    os.chdir(run.path)


if __name__ == "__main__":
    raise SystemExit(main())
