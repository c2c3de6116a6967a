"""The terminal app, where there is a terminal."""

from __future__ import annotations

import argparse
import sys

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.cli.execute import BAD_USAGE
from workbench.cli.output import interactive


def open_app(arguments: argparse.Namespace, paths: Paths) -> int:
    """Open the app; without a terminal say which commands do its work."""
    if not interactive():
        terminals = sys.stdin.isatty() and sys.stdout.isatty()
        problem = Problem(
            "the app needs a terminal that can draw, and TERM says dumb"
            if terminals
            else "the app needs a terminal on stdin and stdout",
            next_step="Without one use the commands: quickstart, run, recipes, runs, status, "
            "logs, stop, compare (dpo-workbench --help).",
        )
        raise ProblemError(problem, exit_code=BAD_USAGE)
    return show_app(paths)


def show_app(paths: Paths, *, open_run: str = "") -> int:
    """Run the app until the person leaves it and return its exit code.

    Args:
        open_run: id of a run whose Monitor is shown first.
    """
    from workbench.tui.app import run_app

    return run_app(paths, open_run=open_run)
