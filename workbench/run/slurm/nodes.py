"""The hosts of a job, and how the first of them starts a process on another."""

from __future__ import annotations

import os

from workbench.run.slurm.client import host_names


def job_hosts() -> list[str]:
    """Names of this job's hosts, the one that runs its script first; none outside a job.

    Raises:
        ProblemError: Slurm does not answer.
    """
    nodes = os.environ.get("SLURM_JOB_NODELIST", "")
    if not nodes:
        return []
    names, here = host_names(nodes), os.environ.get("SLURMD_NODENAME", "")
    return sorted(names, key=lambda name: name != here)


def starter(host: str) -> list[str]:
    """The beginning of a command that runs on another host of this job.

    Its input and output are the caller's, line by line. It shares the node with what the job has
    there already, gets all that the job has there, and ends with the job.
    """
    # A number of processors would make Slurm count them out, below what an exclusive job has.
    return [
        # Its lines are read: no number of a task may stand before them.
        *("env", "-u", "SLURM_LABELIO"),
        "srun",
        "--quiet",
        "--unbuffered",
        "--overlap",
        "--nodes=1",
        "--ntasks=1",
        f"--nodelist={host}",
        "--kill-on-bad-exit=1",
        "--mem=0",
    ]
