"""The words of `watch` and `web`."""

from __future__ import annotations

import argparse

from workbench.cli.number_types import not_negative, port
from workbench.cli.parser_base import RUN_HELP, Commands, command

WATCH_EPILOG = """\
One line for each thing that happens (a stage begins, held-out values, a checkpoint, a note, the
end), and one with the newest values every SECONDS. `q` or Ctrl-C leave; the run goes on. Of the
past it tells a screenful. `logs -f` prints the trainer's own words instead.
Exit codes: 0 the run has finished, 1 it has ended otherwise, 130 Ctrl-C.
"""
WEB_EPILOG = """\
The address holds a secret that lets in whoever knows it, and nobody else on this machine. On your
own computer: ssh -L 8000:127.0.0.1:8000 HOST, then open the address there.
"""


def add_watching(commands: Commands) -> None:
    """Looking at runs without the app in this terminal."""
    watch = command(
        commands, "watch", "watch:watch", "follow a run in plain lines until it ends", json=True
    )
    watch.epilog = WATCH_EPILOG
    watch.formatter_class = argparse.RawDescriptionHelpFormatter
    watch.add_argument("run", metavar="RUN", help=RUN_HELP)
    watch.add_argument(
        "--every",
        type=not_negative,
        metavar="SECONDS",
        help="time between two lines of values; 0 shows all (default: 10, with --json 0)",
    )
    web = command(commands, "web", "web:web", "the app in a browser, through an SSH tunnel")
    web.epilog = WEB_EPILOG
    web.formatter_class = argparse.RawDescriptionHelpFormatter
    web.add_argument(
        "--port", type=port, default=8000, help="on 127.0.0.1 (default 8000; 0: any free one)"
    )
