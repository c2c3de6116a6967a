"""A cleaned copy of a data job's rows, by what a scan has found in them."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.data.formats.model import UnusableRowError
from workbench.data.lint.fixing import USUAL, FixWriter
from workbench.data.lint.rules import RULES
from workbench.data.readers.row import BrokenRow
from workbench.worker.data_rows import DataRows, Emit, GoingOn, Progress

PARTS = 1 << 16
DROPPED_BY_ALL = ("unusable_row", "broken_line")


def write_cleaned(
    rows: DataRows, request: Mapping[str, Any], emit: Emit, going_on: GoingOn
) -> dict[str, Any]:
    """Write the copy and its report.

    Raises:
        ProblemError: There was no scan, the copy cannot be written, or nothing would be left.
    """
    if not rows.scanned:
        raise ProblemError(Problem("the rows are not read yet", next_step="Scan them first."))
    asked = request.get("rules")
    rules = USUAL if asked is None else [str(rule) for rule in asked]
    if not request.get("mend", True):
        rules = [rule for rule in rules if RULES.get(rule) is None or RULES[rule].fix != "mend"]
    sources = [part.source.path for part in rows.parts]
    writer = FixWriter(Path(request["out"]), sources, rules, force=bool(request.get("force")))
    try:
        if not _copy(rows, writer, emit, going_on):
            raise ProblemError(Problem("it was cancelled; nothing was written"))
        if not writer.kept:
            hint = "Name fewer --rules, or look at the findings."
            raise ProblemError(Problem("no row would be left", "", hint))
        return writer.finish(sources)
    except BaseException:
        writer.discard()
        raise


def _copy(rows: DataRows, writer: FixWriter, emit: Emit, going_on: GoingOn) -> bool:
    drops = {
        rule: _places(rows, rule)
        for rule in writer.rules
        if rule in RULES and RULES[rule].fix != "mend" and rule not in DROPPED_BY_ALL
    }
    progress = Progress(emit, rows.parts)
    for part in rows.parts:
        for row in part.source.rows():
            if isinstance(row, BrokenRow):
                writer.drop(row.line, "broken_line")
                continue
            number = part.before + row.number
            try:
                examples = rows.examples(part, row)
            except UnusableRowError:
                writer.drop(number, "unusable_row")
                continue
            for example in examples:
                place = number * PARTS + example.part
                rule = next((name for name, places in drops.items() if place in places), "")
                if rule:
                    writer.drop(number, rule)
                else:
                    writer.write(number, dict(example.trl))
            if not row.number % 256 and not progress.tick(number, going_on):
                return False
    return True


class Places:
    """Row and pair numbers in their order, eight bytes each.

    They are asked for in the order in which the rows are read.
    """

    def __init__(self, numbers: array[int]) -> None:
        self._numbers = array("Q", sorted(numbers))
        self._next = 0

    def __contains__(self, number: int) -> bool:
        numbers = self._numbers
        while self._next < len(numbers) and numbers[self._next] < number:
            self._next += 1
        return self._next < len(numbers) and numbers[self._next] == number


def _places(rows: DataRows, rule: str) -> Places:
    found = rows.findings.of_rule(rule)
    return Places(array("Q", (one["row"] * PARTS + one["part"] for one in found)))
