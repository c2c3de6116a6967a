"""From parsed arguments to an exit code.

0: done. 1: the run or the check failed. 2: bad usage. 130: interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.base.text import clean

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130
ASCII = "DPO_WORKBENCH_ASCII"
"""The app and its children draw with plain characters where this variable is set."""


def execute(arguments: argparse.Namespace) -> int:
    """Call the command's handler, `module:function` of this package, and report what it raises."""
    open_missing_streams()
    # Whatever a command or its children write is its user's alone.
    os.umask(0o077)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A letter that the terminal's encoding lacks must not end the command.
            stream.reconfigure(errors="replace")
    if getattr(arguments, "ascii", False):
        os.environ[ASCII] = "1"
    module, function = arguments.handler.split(":")
    try:
        handler = getattr(importlib.import_module(f"workbench.cli.{module}"), function)
        code = int(handler(arguments, Paths.from_environment()))
        sys.stdout.flush()
    except ProblemError as error:
        if getattr(arguments, "json", False):
            print_problems(error)
        return report(error)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return DONE
    except OSError as error:
        _forget_stdout()
        place = str(error.filename) if error.filename else "output"
        hint = "Check the path, its permissions and the free disk space."
        return report(ProblemError(Problem(error.strerror or str(error), place, hint)))
    return code


def open_missing_streams() -> None:
    """Give stdin, stdout and stderr that the caller has closed an end that holds nothing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def print_problems(error: ProblemError) -> None:
    """What went wrong as JSON on stdout, for whoever reads a `--json` command."""
    problems = [asdict(problem) for problem in error.problems]
    try:
        print(json.dumps({"ok": False, "problems": problems}, indent=2), flush=True)
    except OSError:
        _forget_stdout()


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
