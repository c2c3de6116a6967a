"""The words of `runs`, `tag`, `note` and `overlay`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from workbench.cli.parser_base import RUN_HELP, Commands, command

# Also `workbench.run.axes.AXES`.
AXES = ("step", "epoch", "tokens", "time")
QUERY_HELP = """\
what --where takes, all of it in one text or several:
  word              in the name, title, a tag or the id
  tag:base          a tag that begins so; also state: stage: id:
  model:llama       a text that holds it; also name: title: note:
  beta>0.1          a setting of the recipe: < <= > >= = != (TRL's default where it is not set)
  dpo.beta=0.1      of one stage; without it the last stage that has it
  loss_type=ipo     a setting that is no number
  rewards/margins>1 a metric's last value; eval_loss<0.6
  best:eval_loss<1  its best value; final:learning_rate its last one, since that is a setting too
  seconds>60        also step, max_steps, created, started, finished (started>2026-02-01)
  -tag:old          not what follows
"""


def add_history(commands: Commands) -> None:
    """The history of runs: choose, order, tag, note."""
    runs = command(
        commands,
        "runs",
        "history:runs",
        "list the runs, newest first, or those asked for",
        json=True,
    )
    runs.epilog = QUERY_HELP
    runs.formatter_class = argparse.RawDescriptionHelpFormatter
    runs.add_argument(
        "--where", metavar="QUERY", action="append", default=[], help="such as 'beta>0.1 tag:base'"
    )
    runs.add_argument(
        "--sort", metavar="KEY", default="", help="lowest first; -KEY puts the highest first"
    )
    runs.add_argument(
        "--columns", metavar="KEY,KEY", default="", help="settings and metrics to show of each run"
    )
    tag = command(commands, "tag", "history:tag", "give a run tags, or take some away", json=True)
    tag.add_argument("run", metavar="RUN", help=RUN_HELP)
    tag.add_argument("changes", metavar="+TAG|-TAG", nargs="*", help="none prints the tags")
    note = command(commands, "note", "history:note", "write a run's note, or print it", json=True)
    note.add_argument("run", metavar="RUN", help=RUN_HELP)
    note.add_argument("text", metavar="TEXT", nargs="?", help="- reads it from stdin")
    _add_overlay(commands)


def _add_overlay(commands: Commands) -> None:
    overlay = command(
        commands, "overlay", "overlay:overlay", "which of several runs is best, and what differs"
    )
    overlay.add_argument("runs", metavar="RUN", nargs="+", help=RUN_HELP)
    overlay.add_argument(
        "--by", choices=AXES, default="step", help="what aligns them (default: step)"
    )
    overlay.add_argument("--stage", choices=("sft", "dpo"), help="default: the last they share")
    overlay.add_argument(
        "--metric", metavar="NAME", action="append", default=[], help="may be repeated"
    )
    how = overlay.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print JSON; with --metric the curves too")
    how.add_argument("--csv", action="store_true", help="print the curves, for a spreadsheet")


def free_minus(argv: Sequence[str]) -> list[str]:
    """Arguments in which `--sort -KEY` and `tag RUN -TAG` are values, which argparse denies them.

    To argparse a value that begins with a minus is an option.
    """
    words = list(argv)
    if words[:1] == ["runs"]:
        for place in range(len(words) - 2, 0, -1):
            option, value = words[place : place + 2]
            if option in ("--sort", "--where") and value[:1] == "-" and value[:2] != "--":
                words[place : place + 2] = [f"{option}={value}"]
    elif words[:1] == ["tag"] and "--" not in words:
        options = [word for word in words[1:] if word.startswith("--") or word == "-h"]
        rest = [word for word in words[1:] if word not in options]
        words = ["tag", *options, "--", *rest]
    return words
