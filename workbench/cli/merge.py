"""`merge`: the adapter written into a full model, by a process that may import torch."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.base.text import clean
from workbench.cli.execute import FAILED
from workbench.cli.output import one_line
from workbench.run.directory import find_run
from workbench.run.trust import refuse_imported

WORKER = "workbench.worker.merge"


def merge(arguments: argparse.Namespace, paths: Paths) -> int:
    """Run the merge worker; its progress goes to stdout, the reason of a failure to stderr."""
    run = find_run(paths, arguments.run)
    refuse_imported(run)
    target = Path(arguments.directory).expanduser().absolute()
    command = [sys.executable, "-m", WORKER, str(run.path), str(target)]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            print(one_line(line.decode("utf-8", "replace")).strip(), flush=True)
        code = process.wait()
        complaints.seek(0)
        said = clean(complaints.read().decode("utf-8", "replace")).strip().splitlines()
    if code == 0:
        return 0
    what = (
        said[-1].strip().removeprefix("error: ")
        if said
        else f"the merge ended with exit code {code}"
    )
    raise ProblemError(Problem(what), exit_code=code if code in (1, 2) else FAILED)
