"""The words by which `run` and `fork` become jobs of Slurm's."""

from __future__ import annotations

import argparse

OPTIONS = (
    ("partition", "P", "the partition (queue) that it waits in"),
    ("nodes", "N", "how many hosts (default 1)"),
    ("gpus", "G", "GPUs on each node (sbatch's --gpus-per-node); may name a type: a100:4"),
    ("time", "T", "time limit: minutes, 2:30:00, 1-12 (days-hours)"),
    ("account", "A", "the account that is charged"),
    ("qos", "Q", "quality of service"),
    ("mem", "M", "memory on each node: 64G"),
    ("cpus-per-task", "C", "processors on each node"),
    ("constraint", "X", "features that the nodes must have"),
)
"""Name, metavar, help."""

DESCRIPTION = (
    "--slurm submits the run to Slurm; so does a section `slurm:` of the recipe, whose keys are "
    "sbatch's long options. The script is run.sbatch in the run directory."
)


def add_slurm(parser: argparse.ArgumentParser) -> None:
    """What a job asks for; all of it may also stand in the recipe, and wins over that."""
    group = parser.add_argument_group("Slurm", DESCRIPTION)
    group.add_argument(
        "--slurm",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="submit it to Slurm, or train here although the recipe has a section slurm:",
    )
    for name, letter, help_text in OPTIONS:
        group.add_argument(f"--{name}", metavar=letter, dest=f"slurm_{name}", help=help_text)
    group.add_argument(
        "--sbatch",
        metavar="OPTION=VALUE",
        action="append",
        default=[],
        help="another long option of sbatch, such as exclude=n7 or exclusive; may be repeated",
    )
    group.add_argument(
        "--setup",
        metavar="LINE",
        action="append",
        default=[],
        help="a line of shell that the job runs first, such as 'module load cuda'; may be repeated",
    )
    group.add_argument(
        "--trust-setup",
        action="store_true",
        help="let the job run the lines of shell that the recipe has under slurm.setup",
    )
