"""Whose run it is: what others may have written is shown, and never acted upon."""

from __future__ import annotations

import os
import stat

from workbench.base.problems import Problem, ProblemError
from workbench.run.directory import RunDirectory

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def distrust(run: RunDirectory) -> str:
    """Why a run's files prove nothing, empty where the user alone can have written them.

    Such a run names processes and files that its writer chose: nothing is signalled, started
    or deleted on its word.
    """
    for path, what in ((run.path, "the run directory"), (run.record, "its run.json")):
        try:
            status = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISLNK(status.st_mode):
            return f"{what} is a link to another place"
        if status.st_uid != os.geteuid():
            return f"{what} belongs to another user (uid {status.st_uid})"
        if status.st_mode & OTHERS_MAY_WRITE:
            return f"{what} may be written by others (mode {stat.S_IMODE(status.st_mode):04o})"
    return ""


def refuse_distrusted(run: RunDirectory) -> None:
    """Let nothing be done with a run that others may have written.

    Raises:
        ProblemError: With the reason, and what would make it the user's own.
    """
    reason = distrust(run)
    if not reason:
        return
    if "may be written" in reason:
        hint = f"If you trust what is in it: chmod go-w {run.path} {run.record}"
    else:
        hint = "It can be looked at. Copy it into a folder of your own to go on with it."
    raise ProblemError(Problem(f"{reason}, so nothing is done with it", str(run.path), hint))
