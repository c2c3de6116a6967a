"""Whose run it is: what others may have written is shown, and never acted upon."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from workbench.base.problems import Problem, ProblemError
from workbench.run.directory import RunDirectory
from workbench.run.record import VERSION, RunRecord, read_record

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
NEWER = "a newer version of dpo-workbench wrote its run.json"


def distrust(run: RunDirectory, record: RunRecord | None = None) -> str:
    """Why nothing may be done on the word of a run's files; empty where all is well.

    A run that others may have written names processes and files that they chose; of one that
    a newer version wrote nobody here knows what its fields mean.

    Args:
        record: The run's record where it has been read already.
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
    record = record or read_record(run)
    return NEWER if record.version > VERSION else ""


def refuse_distrusted(run: RunDirectory) -> None:
    """Let nothing be done with a run whose files prove nothing.

    Raises:
        ProblemError: With the reason, and what would help.
    """
    reason = distrust(run)
    if not reason:
        return
    if "may be written" in reason:
        hint = f"If you trust what is in it: chmod go-w {run.path} {run.record}"
    elif reason == NEWER:
        hint = "Use that version for this run."
    else:
        hint = "It can be looked at. Copy it into a folder of your own to go on with it."
    raise ProblemError(Problem(f"{reason}, so nothing is done with it", str(run.path), hint))


def refuse_imported(run: RunDirectory, record: RunRecord | None = None) -> None:
    """Let nothing that needs weights be done with a run of which only the curves are here.

    Args:
        record: The run's record where it has been read already.

    Raises:
        ProblemError: The run was imported.
    """
    record = record or read_record(run)
    if record.imported:
        what = "this run was imported: only its curves are here, no weights and no data"
        hint = f"What its trainer has written is in {Path(record.imported).parent}."
        raise ProblemError(Problem(what, run.id, hint))
