"""Which processes belong to a run, and how they are ended."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil

from workbench.run.directory import RunDirectory

RUN_VARIABLE = "DPO_WORKBENCH_RUN"
"""Set for the worker and inherited by all that it starts, in whatever session they are."""

CREATE_TIME_TOLERANCE_SECONDS = 1.0
TERM_SECONDS = 3.0
KILL_SECONDS = 3.0


def find_process(pid: int, create_time: float) -> psutil.Process | None:
    """A live process by pid and create time; a zombie or a recycled pid does not count."""
    if pid <= 0:
        return None
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - create_time) < CREATE_TIME_TOLERANCE_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def processes_of(run: RunDirectory) -> list[psutil.Process]:
    """All live processes of this user whose environment names the run, this one left out."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(RUN_VARIABLE) == str(run.path):
                found.append(process)
    return found


def end_processes(run: RunDirectory) -> int:
    """End every process that a run has left behind: SIGTERM, a while to obey, SIGKILL.

    Killing a process group is not enough: the ranks of `torchrun` have sessions of their own.

    Returns:
        How many there were.
    """
    count = 0
    for number, patience in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        left = processes_of(run)
        if not left:
            break
        count = max(count, len(left))
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        psutil.wait_procs(left, timeout=patience)
    return count
