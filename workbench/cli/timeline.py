"""`timeline`: what each checkpoint of a run answered to the recipe's prompts."""

from __future__ import annotations

import argparse
import textwrap

from workbench.base.paths import Paths
from workbench.base.text import clean
from workbench.cli.execute import DONE
from workbench.cli.output import columns, cut, number, one_line, print_json, table
from workbench.judge.differences import Piece
from workbench.judge.timeline import Timeline, changes, read_timeline, timeline_json
from workbench.run.directory import find_run

INDENT = "    "


def timeline(arguments: argparse.Namespace, paths: Paths) -> int:
    """Print the checkpoints with their measures, then the answers, with what changed marked."""
    run = find_run(paths, arguments.run)
    found = read_timeline(run)
    if arguments.json:
        print_json({"run": run.id, **timeline_json(found)})
        return DONE
    if not found.marks:
        print("No checkpoint has been saved yet, and no probe prompt answered.")
        return DONE
    print("\n".join(_measures(found)))
    print(found.best_line())
    for prompt in found.prompts:
        print(f"\n> {one_line(prompt)}")
        for line in _answers(found, prompt):
            print(line)
    if found.prompts:
        print("\n[-gone-] and {+new+} words are those since the answer above.")
    return DONE


def _measures(found: Timeline) -> list[str]:
    rows = [
        (
            f"{mark.label}{' *' if mark == found.best else ''}",
            *("" if one is None else number(one) for one in (mark.accuracy, mark.margin)),
            "" if mark.repetition is None else f"{mark.repetition:.2f}",
            "" if mark.tokens is None else f"{mark.tokens:.0f}",
            "kept" if mark.kept else "deleted",
        )
        for mark in found.marks
    ]
    return table(("CHECKPOINT", "ACCURACY", "MARGIN", "REPETITION", "TOKENS", "WEIGHTS"), rows)


def _answers(found: Timeline, prompt: str) -> list[str]:
    lines = []
    for place, mark in enumerate(found.marks):
        sample = mark.answers.get(prompt)
        if sample is None:
            continue
        text = _marked(changes(found.before(place, prompt), sample))
        lines.append(f"  {cut(one_line(mark.label), columns() - 2)}")
        shown = text + (" ..." if sample.cut else "")
        lines += textwrap.wrap(
            shown, columns(), initial_indent=INDENT, subsequent_indent=INDENT
        ) or [f"{INDENT}(nothing)"]
    return lines


def _marked(pieces: list[Piece]) -> str:
    signs = {"same": ("", ""), "first": ("[-", "-]"), "second": ("{+", "+}")}
    shown = []
    for kind, piece in pieces:
        text = clean(piece, newlines=False)
        before, after = signs[kind] if text.strip() else ("", "")
        inner = text.strip() if before else text
        space = " " if before and text[:1].isspace() else ""
        shown.append(f"{space}{before}{inner}{after}")
    return "".join(shown)
