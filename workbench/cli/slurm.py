"""What a command line and a recipe together ask of Slurm, and how a job is told of."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace

from workbench.base.problems import Problem, ProblemError
from workbench.cli.execute import BAD_USAGE
from workbench.cli.output import one_line
from workbench.recipe.recipe import Recipe
from workbench.recipe.slurm_section import SlurmWish, refuse_setup, slurm_wish, with_options
from workbench.run.directory import RunDirectory
from workbench.run.record import RunRecord, is_active, is_submitted, read_record
from workbench.run.slurm.client import require_slurm
from workbench.run.slurm.job import ask_quietly
from workbench.run.slurm.status import read_job
from workbench.run.slurm.submit import is_for_slurm

NAMES = {"gpus": "gpus-per-node"}
"""Options of ours that sbatch calls otherwise."""
PREFIX = "slurm_"
SETTLE_SECONDS = 90.0
"""Slurm ends what is left of a job for up to KillWait (30 s) before it says what becomes of it."""


def wish_of(arguments: argparse.Namespace, recipe: Recipe) -> SlurmWish | None:
    """What the run asks of Slurm; None where it is trained here.

    Raises:
        ProblemError: An option or the recipe's section is wrong, this machine has no Slurm, or
            the recipe brings shell lines that nobody has allowed.
    """
    options = _options(arguments)
    section = None if arguments.slurm is False else slurm_wish(recipe)
    if arguments.slurm is False or (section is None and not arguments.slurm):
        _refuse_without_slurm(arguments, options)
        return None
    if any(getattr(arguments, name, None) for name in ("queue", "device", "hosts")):
        what = "--queue, --device and --hosts are for runs without Slurm"
        hint = "Slurm has a queue of its own, and gives hosts and GPUs: leave them out."
        raise ProblemError(Problem(what, "--slurm", hint), exit_code=BAD_USAGE)
    wish = section or SlurmWish()
    if not arguments.trust_setup:
        refuse_setup(wish)
    if any(not line.isprintable() for line in arguments.setup):
        problem = Problem("it has a line break or a control character", "--setup",
                          "Give one command with each --setup.")  # fmt: skip
        raise ProblemError(problem, exit_code=BAD_USAGE)
    wish = with_options(wish, options)
    require_slurm()
    return replace(wish, setup=(*wish.setup, *arguments.setup))


def _options(arguments: argparse.Namespace) -> dict[str, str]:
    given = {
        name.removeprefix(PREFIX): value
        for name, value in vars(arguments).items()
        if name.startswith(PREFIX) and value is not None
    }
    options = {NAMES.get(name, name): value for name, value in given.items()}
    for text in arguments.sbatch:
        name, _, value = text.removeprefix("--").partition("=")
        options[name.strip()] = value
    return options


def _refuse_without_slurm(arguments: argparse.Namespace, options: dict[str, str]) -> None:
    if options or arguments.setup:
        name = next(iter(options), "setup")
        hint = "Add --slurm to submit the run, or leave it out."
        problem = Problem(f"--{name} is for a job of Slurm's", "", hint)
        raise ProblemError(problem, exit_code=BAD_USAGE)


def refuse_queue(run: RunDirectory, arguments: argparse.Namespace) -> None:
    """A run that is Slurm's does not wait in the queue of this machine, and has Slurm's hosts.

    Raises:
        ProblemError: It should (exit code 2).
    """
    if is_for_slurm(run) and (arguments.queue or arguments.device or arguments.hosts):
        what = "the run is a job of Slurm's, which has a queue, devices and hosts of its own"
        hint = f"Submit it again: dpo-workbench resume {run.id}"
        raise ProblemError(Problem(what, run.id, hint), exit_code=BAD_USAGE)


def submitted_words(run: RunDirectory) -> str:
    """What became of a submission, in a line."""
    return f"Submitted as job {read_record(run).slurm_job}: {one_line(run.batch_script)}"


class JobWatch:
    """Keeps a follower of a run informed of what Slurm knows of its job.

    A fault of Slurm's is told once on stderr, and following goes on: the run directory tells.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._told = ""
        self._ended_at = 0.0

    def look(self) -> None:
        """Ask Slurm where it is time to."""
        trouble = ask_quietly([self._run])
        if trouble and trouble != self._told:
            print(f"warning: {one_line(trouble)}", file=sys.stderr)
        self._told = trouble or self._told

    def goes_on(self, record: RunRecord) -> bool:
        """Whether a run is worth another look: it waits, trains, or Slurm may start it again."""
        if is_active(record) or is_submitted(record):
            self._ended_at = 0.0
            return True
        if not record.slurm_job or record.state == "finished" or self._run.slurm_stop.exists():
            return False
        status = read_job(self._run, record.slurm_job)
        if status is not None and status.ended:
            return False
        self._ended_at = self._ended_at or time.monotonic()
        return time.monotonic() - self._ended_at < SETTLE_SECONDS
