"""`overlay`: several runs beside each other, which is best, and what differs between them."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.cli.execute import BAD_USAGE, DONE
from workbench.cli.output import columns, cut, number, one_line, print_json, table
from workbench.cli.settings import know_installed_settings
from workbench.run.differences import UNKNOWN, Row
from workbench.run.directory import find_run
from workbench.run.outcomes import better
from workbench.run.overlay import MOST_RUNS, USUAL, Line, Member, Overlay, OverlayReader
from workbench.run.overlay_words import cautions, verdict
from workbench.run.states import label

STAR = "*"
LABELS = 36
SHORTEST = 8


def overlay(arguments: argparse.Namespace, paths: Paths) -> int:
    """Print the outcomes of several runs and what differs, or their curves on one axis."""
    know_installed_settings()
    runs = list(dict.fromkeys(find_run(paths, key) for key in arguments.runs))
    if len(runs) < 2:
        what = "an overlay takes two runs or more"
        hint = f"Name two to {MOST_RUNS}: dpo-workbench overlay RUN RUN"
        raise ProblemError(Problem(what, "", hint), exit_code=BAD_USAGE)
    found = OverlayReader(runs).read()
    stage = _stage(found, arguments.stage)
    metrics = _metrics(found, stage, arguments.metric)
    if arguments.csv:
        sys.stdout.write(_csv(found, stage, arguments.by, metrics))
    elif arguments.json:
        print_json(_as_json(found, stage, arguments.by, metrics, curves=bool(arguments.metric)))
    else:
        print("\n".join(_text(found, stage, arguments.by, metrics)))
    return DONE


def _stage(found: Overlay, wanted: str | None) -> str:
    if wanted and wanted not in found.stages:
        what = f"none of these runs has logged anything in {wanted}"
        hint = f"Stages that they have: {', '.join(found.stages) or 'none yet'}."
        raise ProblemError(Problem(what, "--stage", hint), exit_code=BAD_USAGE)
    return wanted or found.stage


def _metrics(found: Overlay, stage: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """The metrics that were asked for, else the usual ones."""
    known = found.metrics(stage)
    for name in wanted:
        if name not in known:
            hint = f"They have: {', '.join(known) or 'nothing yet'}."
            what = f"none of these runs has logged {name} in {stage or 'any stage'}"
            raise ProblemError(Problem(what, "--metric", hint), exit_code=BAD_USAGE)
    return tuple(dict.fromkeys(wanted)) or tuple(name for name in known if name in USUAL)


def _text(found: Overlay, stage: str, by: str, metrics: Iterable[str]) -> list[str]:
    rows = [
        (one.sign, one.run.id, label(one.record.state), _steps(one), " ".join(one.notes.tags))
        for one in found.members
    ]
    lines = table(("", "RUN", "STATE", "STEP", "TAGS"), rows)
    end = found.common_end(stage, by)
    lines += ["", f"{stage or 'no stage'}: the last value, the best one with its step"]
    if end is not None:
        lines[-1] += f", and that at {by} {_x(end)}, which all have reached"
    lines[-1] += f"; {STAR} is the best of all"
    cells = [row for line in found.lines(stage, by, metrics) for row in _cells(line, end)]
    lines += table(("METRIC", "", *(one.sign for one in found.members)), cells)
    said = [verdict(found, stage), *cautions(found, stage)]
    lines += ["", *(one_line(text) for text in said if text)]
    return [*lines, "", *_difference_lines(found)]


def _steps(one: Member) -> str:
    record = one.record
    return f"{record.stage} {record.step}/{record.max_steps}" if record.max_steps else record.stage


def _x(end: float) -> str:
    return f"{end:.6g}"


def _cells(line: Line, end: float | None) -> list[tuple[str, ...]]:
    """The rows of a metric: last, best where there is one, and at the common end."""
    rows = [_row(line, "last", "final", line.final)]
    if any(line.best):
        values = [one[0] if one else None for one in line.best]
        steps = [f" @{one[1]}" if one else "" for one in line.best]
        rows.append(_row(line, "best", "best", values, steps))
    if end is not None and line.tells_at:
        rows.append(_row(line, f"at {_x(end)}", "at", line.at))
    return [row if place == 0 else ("", *row[1:]) for place, row in enumerate(rows)]


def _row(
    line: Line, name: str, kind: str, values: Sequence[float | None], tails: Sequence[str] = ()
) -> tuple[str, ...]:
    shown = []
    for place, value in enumerate(values):
        star = STAR if place in line.winners[kind] else ""
        tail = tails[place] if tails else ""
        shown.append("-" if value is None else f"{number(value)}{star}{tail}")
    return line.metric, name, *shown


def _difference_lines(found: Overlay) -> list[str]:
    if found.faults:
        return [one_line(f"What differs cannot be told: {fault}") for fault in found.faults]
    if not found.differences:
        return ["Nothing differs but the outcomes."]
    rows = []
    # On a terminal a long value must not push the other runs out of it.
    width = (columns() - LABELS) // len(found.members) - 2 if sys.stdout.isatty() else 0
    group = ""
    for one in found.differences:
        rows.append((one.group if one.group != group else "", one.key, *_values(one, width)))
        group = one.group
    return table(("DIFFERS", "", *(one.sign for one in found.members)), rows)


def _values(row: Row, width: int) -> list[str]:
    shown = [one_line(row.shown(place)) for place in range(len(row.values))]
    return [_fit(text, max(SHORTEST, width)) for text in shown] if width else shown


def _fit(text: str, width: int) -> str:
    """A text cut to a width; of a path the end says more than the beginning."""
    if text.startswith("/") and len(text) > width:
        return f"…{text[-width + 1 :]}"
    return cut(text, width)


def _as_json(
    found: Overlay, stage: str, by: str, metrics: Sequence[str], *, curves: bool
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "stage": stage,
        "by": by,
        "common_end": found.common_end(stage, by),
        "runs": [
            {
                "sign": one.sign,
                "id": one.run.id,
                "name": one.record.name,
                "title": one.record.title,
                "state": one.record.state,
                "tags": one.notes.tags,
                "note": one.notes.text,
            }
            for one in found.members
        ],
        "verdict": verdict(found, stage),
        "cautions": list(cautions(found, stage)),
        "metrics": [_metric_json(line) for line in found.lines(stage, by, metrics)],
        "differences": [
            {
                "group": row.group,
                "key": row.key,
                "values": [None if value is UNKNOWN else value for value in row.values],
                "known": [value is not UNKNOWN for value in row.values],
            }
            for row in found.differences
        ],
        "faults": found.faults,
    }
    if curves:
        shown["curves"] = {
            name: [one.curve(name, stage, by) for one in found.members] for name in metrics
        }
    return shown


def _metric_json(line: Line) -> dict[str, Any]:
    return {
        "metric": line.metric,
        "better": better(line.metric),
        "final": line.final,
        "best": [{"value": one[0], "step": one[1]} if one else None for one in line.best],
        "at_common_end": line.at,
        "winners": {kind: sorted(places) for kind, places in line.winners.items()},
    }


def _csv(found: Overlay, stage: str, by: str, metrics: Sequence[str]) -> str:
    """One row for each x that any run has logged; a cell is empty where a run logged nothing."""
    columns = [(one, name) for name in metrics for one in found.members]
    curves = [dict(one.curve(name, stage, by)) for one, name in columns]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([by, *(_heading(one, name) for one, name in columns)])
    for x in sorted({x for curve in curves for x in curve}):
        shown = int(x) if x == int(x) else x
        writer.writerow([shown, *(curve.get(x, "") for curve in curves)])
    return out.getvalue()


def _heading(one: Member, name: str) -> str:
    """A column's heading; a spreadsheet must not take it for a formula."""
    return one_line(f"{one.sign} {one.label} {name}")
