"""What all parts of the command line are made with."""

from __future__ import annotations

import argparse
from typing import TypeAlias

RUN_HELP = "id, the start of one, a name, or 'last'"

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def command(
    commands: Commands, name: str, handler: str, help_text: str, *, json: bool = False
) -> argparse.ArgumentParser:
    """A command and the `module:function` of cli that serves it."""
    parser = commands.add_parser(name, help=help_text, description=help_text)
    parser.set_defaults(handler=handler)
    if json:
        parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    return parser
