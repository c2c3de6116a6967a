"""`report`: one file that says what a run was, whether it is better, and what it lost."""

from __future__ import annotations

import argparse
from pathlib import Path

from workbench.base.files import write_atomic
from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import open_regular
from workbench.cli.execute import BAD_USAGE, DONE
from workbench.cli.output import one_line
from workbench.judge.report.collect import collect
from workbench.judge.report.html import MARK, as_html
from workbench.judge.report.markdown import as_markdown
from workbench.judge.report.sections import build
from workbench.run.directory import RunDirectory, find_run
from workbench.run.trust import refuse_distrusted

HEAD_BYTES = 2000


def report(arguments: argparse.Namespace, paths: Paths) -> int:
    """Write the report and say where it is."""
    run = find_run(paths, arguments.run)
    file = _target(run, arguments.output, markdown=arguments.markdown)
    if not arguments.output:
        refuse_distrusted(run)
    if not arguments.force:
        _keep_foreign(run, file)
    document = build(collect(run, paths))
    try:
        write_atomic(file, as_markdown(document) if arguments.markdown else as_html(document))
    except OSError as error:
        what = f"the report cannot be written: {error.strerror or error}"
        hint = "Give another place: --output FILE."
        raise ProblemError(Problem(what, str(file), hint)) from error
    print(one_line(file))
    return DONE


def _target(run: RunDirectory, output: str, *, markdown: bool) -> Path:
    if not output:
        return run.path / ("report.md" if markdown else "report.html")
    file = Path(output).expanduser().absolute()
    if file.is_dir():
        problem = Problem("this is a folder", str(file), "Name a file: --output report.html")
        raise ProblemError(problem, exit_code=BAD_USAGE)
    return file


def _keep_foreign(run: RunDirectory, file: Path) -> None:
    """Refuse to replace anything but the run's own earlier report."""
    try:
        with open_regular(file) as opened:
            head = opened.read(HEAD_BYTES)
    except FileNotFoundError:
        return
    except OSError:
        head = b""
    if file.parent == run.path and MARK.encode() in head:
        return
    hint = "Add --force to replace it, or give another place: --output FILE."
    raise ProblemError(Problem("this file is there already", str(file), hint), exit_code=BAD_USAGE)
