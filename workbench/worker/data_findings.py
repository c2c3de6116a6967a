"""All findings of a scan, on disk; in memory a few bytes each."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from workbench.data.lint.model import Finding

FIRST_ROWS = 20


class Findings:
    """Kept in the order in which they come, found by rule and by row after `sort`.

    Args:
        file: Where they are written, a JSON object a line.
    """

    def __init__(self, file: Path) -> None:
        self._file: BinaryIO = file.open("w+b")
        self._end = 0
        self._rows: dict[str, array[int]] = {}
        self._places: dict[str, array[int]] = {}

    def keep(self, finding: Finding) -> None:
        """Add one."""
        said = {**asdict(finding), "others": finding.others[:FIRST_ROWS]}
        line = json.dumps(said).encode() + b"\n"
        self._file.seek(self._end)
        self._file.write(line)
        self._rows.setdefault(finding.rule, array("Q")).append(finding.row)
        self._places.setdefault(finding.rule, array("Q")).append(self._end)
        self._end += len(line)

    def sort(self) -> None:
        """Put the findings of each rule in the order of their rows."""
        for rule, rows in self._rows.items():
            if all(rows[i] <= rows[i + 1] for i in range(len(rows) - 1)):
                continue
            order = sorted(range(len(rows)), key=rows.__getitem__)
            self._rows[rule] = array("Q", (rows[i] for i in order))
            self._places[rule] = array("Q", (self._places[rule][i] for i in order))

    def forget(self, rule: str) -> None:
        """Take back what a rule has found, before it looks again."""
        self._rows.pop(rule, None)
        self._places.pop(rule, None)

    def counts(self) -> dict[str, int]:
        """How many each rule has found."""
        return {rule: len(rows) for rule, rows in self._rows.items()}

    def rows(self, rule: str) -> array[int]:
        """Numbers of the rows that a rule has found something in, each once, in their order."""
        found = self._rows.get(rule, array("Q"))
        return array("Q", dict.fromkeys(row for row in found if row))

    def first(self, rule: str) -> list[int]:
        """The first of them."""
        found: dict[int, None] = {}
        for row in self._rows.get(rule, ()):
            if row:
                found[row] = None
            if len(found) == FIRST_ROWS:
                break
        return list(found)

    def rules_of(self, row: int) -> list[str]:
        """The rules that have found something in a row."""
        return [rule for rule in self._rows if self._among(rule, row)]

    def of_row(self, row: int) -> Iterator[dict[str, Any]]:
        """What they say of it."""
        for rule in self._rows:
            for index in self._among(rule, row):
                yield self._read(self._places[rule][index])

    def of_rule(self, rule: str) -> Iterator[dict[str, Any]]:
        """All that a rule says."""
        for place in self._places.get(rule, ()):
            yield self._read(place)

    def about_all(self) -> Iterator[dict[str, Any]]:
        """What is said of the set as a whole."""
        yield from self.of_row(0)

    def _among(self, rule: str, row: int) -> range:
        rows = self._rows[rule]
        return range(bisect_left(rows, row), bisect_right(rows, row))

    def _read(self, place: int) -> dict[str, Any]:
        self._file.seek(place)
        found: dict[str, Any] = json.loads(self._file.readline())
        return found
