"""run.sbatch: the script of a run's job, made to be read and edited."""

from __future__ import annotations

import re
import shlex
import sys

from workbench.base.files import write_atomic
from workbench.base.problems import Problem, ProblemError
from workbench.recipe.slurm_section import SlurmWish, limit_seconds
from workbench.run.directory import RunDirectory

BATCH = "workbench.run.slurm.batch"
SHORT_LIMIT_SHARE = 4
"""A job may give at most a part of its time to saving: one of so many."""
LEAST_SAVE_SECONDS = 10
_LINE = re.compile(r"^#SBATCH\s+--([a-z][a-z0-9-]*)(?:[= \t]+(\S.*?))?[ \t]*$", re.MULTILINE)


def write_script(run: RunDirectory, wish: SlurmWish, name: str) -> None:
    """Write the script of a new run.

    Args:
        name: What the job is called in the queue.

    Raises:
        ProblemError: Slurm cannot write into a folder of this name.
        OSError: It cannot be written.
    """
    write_atomic(run.batch_script, script_text(run, wish, name), mode=0o700)


def script_text(run: RunDirectory, wish: SlurmWish, name: str) -> str:
    """The script; see `write_script`."""
    own = {
        "job-name": name,
        "output": _output(run),
        "open-mode": "append",
    }
    save = {"signal": f"B:USR1@{save_seconds(wish)}", "requeue": ""}
    asked = {"nodes": "1", "ntasks-per-node": "1"} | dict(wish.options)
    command = [sys.executable, "-m", BATCH, str(run.path)]
    parts = [
        "#!/bin/bash",
        f"# The Slurm job of the run {run.id}.",
        "# This file is yours to edit: `dpo-workbench resume` submits it again as it stands.",
        "",
        *_lines(own),
        "# So many seconds before its time limit the job saves a checkpoint and requeues itself.",
        *_lines(save),
        "# What it asks for: each line with #SBATCH is an option of sbatch.",
        *_lines(asked),
        "",
    ]
    if wish.setup:
        parts += ["# Before the training; a line that fails ends the job.", "set -e"]
        parts += [*wish.setup, ""]
    parts += [
        "# The same process from here on, so that Slurm's signals reach it. Its log is train.log.",
        f"exec {shlex.join(command)}",
    ]
    return "\n".join(parts) + "\n"


def save_seconds(wish: SlurmWish) -> int:
    """How long before the time limit the job is told; less where the limit itself is short."""
    limit = limit_seconds(wish.options.get("time", ""))
    if limit is None:
        return wish.save_seconds
    return min(wish.save_seconds, max(LEAST_SAVE_SECONDS, limit // SHORT_LIMIT_SHARE))


def options_in(text: str) -> dict[str, str]:
    """The options that a script sets, by their long names, with their values as written."""
    return dict(_LINE.findall(text))


def _lines(options: dict[str, str]) -> list[str]:
    return [
        f"#SBATCH --{name}={_quoted(value)}" if value else f"#SBATCH --{name}"
        for name, value in options.items()
    ]


def _quoted(value: str) -> str:
    """A value as sbatch reads it back: it knows the quotes of the shell."""
    return shlex.quote(value)


def _output(run: RunDirectory) -> str:
    """The log's path, in which Slurm replaces what begins with a percent sign."""
    path = str(run.slurm_log)
    if "\\" in path or not path.isprintable():
        what = "Slurm cannot write a log into a folder with a backslash or a line break in its name"
        hint = "Set DPO_WORKBENCH_HOME to another folder."
        raise ProblemError(Problem(what, path, hint))
    return path.replace("%", "%%")
