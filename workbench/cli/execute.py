"""From parsed arguments to an exit code.

0: done. 1: the run or the check failed. 2: bad usage. 130: interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.base.text import clean

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130


def execute(arguments: argparse.Namespace) -> int:
    """Call the command's handler, `module:function` of this package, and report what it raises."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A letter that the terminal's encoding lacks must not end the command.
            stream.reconfigure(errors="replace")
    module, function = arguments.handler.split(":")
    handler = getattr(importlib.import_module(f"workbench.cli.{module}"), function)
    try:
        code = int(handler(arguments, Paths.from_environment()))
        sys.stdout.flush()
    except ProblemError as error:
        return report(error)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return DONE
    return code


def report(error: ProblemError) -> int:
    """Print each problem on one line of stderr and return the error's exit code."""
    for problem in error.problems:
        prefix = "warning: " if problem.severity == "warning" else ""
        print(prefix + clean(str(problem), newlines=False), file=sys.stderr)
    return error.exit_code


def _forget_stdout() -> None:
    # Otherwise the interpreter flushes the closed pipe at exit and complains.
    if isinstance(sys.stdout, io.TextIOWrapper):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
