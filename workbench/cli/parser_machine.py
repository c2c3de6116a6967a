"""The words of `machine`."""

from __future__ import annotations

from workbench.cli.parser_base import RUN_HELP, Commands, command


def add_machine(commands: Commands) -> None:
    """What the machine is busy with."""
    machine = command(
        commands, "machine", "machine:machine", "what is free here, and who uses it", json=True
    )
    machine.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        default="",
        help=f"and what this run takes of it: {RUN_HELP}",
    )
