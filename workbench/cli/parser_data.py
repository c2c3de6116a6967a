"""The words of `data`."""

from __future__ import annotations

import argparse

from workbench.cli.number_types import count, whole
from workbench.cli.parser_base import Commands, command

ALL_PAIRS, SAMPLE_PAIRS = 50_000, 20_000
"""How many pairs' tokens are counted where nobody says."""

EPILOG = (
    "Row numbers count from 1; a mark x loses the row or stops the training, ! harms, - informs."
)


def add_data(commands: Commands) -> None:
    """What a data set holds, before it is trained on."""
    data = command(
        commands, "data", "data:data", "look at training data before they are trained on", json=True
    )
    data.epilog = EPILOG
    data.add_argument("files", metavar="FILE", nargs="*", help="files, folders or hub data sets")
    data.add_argument(
        "--recipe",
        metavar="RECIPE",
        default="",
        help="count tokens as this recipe's stage would; without FILE look at its own data",
    )
    data.add_argument("--stage", choices=("sft", "dpo"), help="of the recipe; dpo by default")
    data.add_argument(
        "--test", metavar="FILE", action="append", default=[], help="held-out rows, for leakage"
    )
    data.add_argument("--max-length", type=count, metavar="N", help="instead of the recipe's")
    data.add_argument(
        "--sample",
        type=whole,
        metavar="N",
        help="count the tokens of so many pairs, 0 for all (default: all up to "
        f"{ALL_PAIRS}, else {SAMPLE_PAIRS})",
    )
    data.add_argument("--no-tokens", action="store_true", help="count no tokens")
    data.add_argument("--trust-remote-code", metavar="MODEL", default="", help="as in 'run'")
    _add_shape(data)
    _add_looks(data)


def _add_shape(data: argparse.ArgumentParser) -> None:
    shape = data.add_argument_group("the shape of the rows, where the guess is wrong")
    shape.add_argument("--format", dest="data_format", metavar="NAME", help="see --formats")
    shape.add_argument("--formats", action="store_true", help="list the names of the shapes")
    shape.add_argument(
        "--columns",
        metavar="ROLE=NAME",
        action="append",
        default=[],
        help="such as prompt=question; may be repeated",
    )
    shape.add_argument("--pairs", choices=("all", "adjacent", "best_worst"), help="of rankings")


def _add_looks(data: argparse.ArgumentParser) -> None:
    look = data.add_argument_group("a closer look")
    look.add_argument("--row", type=count, metavar="N", help="one row whole")
    look.add_argument("--xray", type=count, metavar="N", help="the tokens of one row")
    look.add_argument("--ids", action="store_true", help="with --xray: the ids too")
    look.add_argument("--rule", metavar="RULE", default="", help="the rows that a rule has found")
    look.add_argument("--search", metavar="TEXT", default="", help="the rows with a text in them")
    look.add_argument("--most", type=count, default=50, metavar="N", help="rows shown (default 50)")
    write = data.add_argument_group("a copy in TRL's columns; the file itself is never changed")
    write.add_argument("--fix", metavar="OUT", default="", help="write a cleaned copy and a report")
    write.add_argument(
        "--rules",
        metavar="RULE",
        nargs="+",
        help="with --fix: leave out or mend what these have found (default: what is broken)",
    )
    write.add_argument("--convert", metavar="OUT", default="", help="write all rows, mapped")
    write.add_argument("--force", action="store_true", help="write over OUT")
