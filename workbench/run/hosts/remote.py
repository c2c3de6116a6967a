"""How a command is started on another host: over the user's own ssh, or Slurm's srun."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence

from workbench.base.problems import Problem, ProblemError
from workbench.run.slurm.nodes import starter

SSH_VARIABLE = "DPO_WORKBENCH_SSH"
"""The ssh to use, with its options, as GIT_SSH_COMMAND is for git: `ssh -F FILE`."""
SLURM_VARIABLE = "SLURM_JOB_ID"
CONNECT_SECONDS = 10
SSH_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT_SECONDS),
    "ServerAliveInterval": "10",
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    # One that is there serves; but what a new one leaves behind would hold our pipes open.
    "ControlMaster": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
}


def goes_by_srun(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether other hosts are those of a Slurm job, reached by its srun."""
    return bool(environ.get(SLURM_VARIABLE)) and not environ.get(SSH_VARIABLE)


def remote_command(
    host: str, arguments: Sequence[str], environ: Mapping[str, str] = os.environ
) -> list[str]:
    """The command that runs this Python with `arguments` on another host.

    The same Python is taken there: its path here must be its path there.

    Raises:
        ProblemError: `DPO_WORKBENCH_SSH` cannot be split into words (exit code 2).
    """
    there = [sys.executable, *arguments]
    if path := environ.get("PYTHONPATH"):
        there = ["env", f"PYTHONPATH={path}", *there]
    if goes_by_srun(environ):
        return [*starter(host), *there]
    try:
        ssh = shlex.split(environ.get(SSH_VARIABLE, "")) or ["ssh"]
    except ValueError as error:
        hint = "Write it as a shell takes it: ssh -F FILE."
        problem = Problem(f"it cannot be read ({error})", SSH_VARIABLE, hint)
        raise ProblemError(problem, exit_code=2) from error
    options = [word for name, value in SSH_OPTIONS.items() for word in ("-o", f"{name}={value}")]
    return [*ssh, *options, "--", host, shlex.join(there)]
