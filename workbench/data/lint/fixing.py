"""A cleaned copy of a data set: which rows stay, and what is mended in their texts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.base.text import clean
from workbench.data.formats.model import TrlRow
from workbench.data.lint.phrases import decoded_again, without_special_ends
from workbench.data.lint.row_rules import control_kinds
from workbench.data.lint.rules import RULES

ROWS_NAMED = 1000
TEXTS = ("prompt", "chosen", "rejected", "completion", "text")

Mend = Callable[[str], str]


def _without_controls(text: str) -> str:
    return clean(text) if control_kinds(text) else text


MENDERS: Mapping[str, Mend] = {
    "special_tokens": without_special_ends,
    "broken_encoding": decoded_again,
    "control_characters": _without_controls,
}
"""How a text is mended; words are never rewritten."""

USUAL = tuple(name for name, rule in RULES.items() if rule.fix)
"""The rules that are applied where nobody names others."""


def mended(row: TrlRow, rules: Collection[str]) -> tuple[TrlRow, list[str]]:
    """A row with its texts mended, and the rules by which something was changed."""
    found, done = dict(row), []
    for rule in rules:
        mend = MENDERS.get(rule)
        if mend is None:
            continue
        after = {name: _in_texts(value, mend) for name, value in found.items()}
        if after != found:
            done.append(rule)
            found = after
    return found, done


def _in_texts(value: Any, mend: Mend) -> Any:
    if isinstance(value, str):
        return mend(value)
    if not isinstance(value, list):
        return value
    return [
        {**turn, "content": mend(turn["content"])}
        if isinstance(turn, dict) and isinstance(turn.get("content"), str)
        else turn
        for turn in value
    ]


class FixWriter:
    """Writes the copy and its report; both are there whole, or not at all.

    Args:
        out: The copy, JSON lines in TRL's columns.
        sources: The files that it is made from; none of them is ever written to.
        rules: The rules by which rows are dropped or mended.
        force: Write over a file that is there.

    Raises:
        ProblemError: `out` is there already, or is one of the sources (exit code 2).
    """

    def __init__(
        self, out: Path, sources: Collection[Path], rules: Collection[str], *, force: bool = False
    ) -> None:
        self.out, self.rules = out, tuple(rules)
        self.report = out.with_name(out.name + ".report.json")
        self._check(sources, force=force)
        self._part = out.with_name(out.name + ".part")
        try:
            self._file = self._part.open("w", encoding="utf-8", errors="replace")
        except OSError as error:
            hint = "Choose a folder that is there and can be written to."
            what = f"cannot write it: {error.strerror}"
            raise ProblemError(Problem(what, str(out), hint)) from error
        self._rows: dict[str, list[int]] = {}
        self.dropped: Counter[str] = Counter()
        self.mended: Counter[str] = Counter()
        self.examples = self.kept = self.mended_rows = 0

    def _check(self, sources: Collection[Path], *, force: bool) -> None:
        if unknown := [rule for rule in self.rules if rule not in RULES]:
            hint = f"The rules: {', '.join(RULES)}."
            problem = Problem(f"there is no rule {unknown[0]}", "--rules", hint)
            raise ProblemError(problem, exit_code=2)
        for place in (self.out, self.report):
            if not place.exists():
                continue
            if any(source.exists() and place.samefile(source) for source in sources):
                what, hint = "this is the data itself, which is never changed", "Name another file."
                raise ProblemError(Problem(what, str(place), hint), exit_code=2)
            if not force:
                hint = "Name another file, or add --force."
                raise ProblemError(Problem("the file exists", str(place), hint), exit_code=2)

    def drop(self, number: int, rule: str) -> None:
        """Leave a row out."""
        self.dropped[rule] += 1
        self._name(rule, number)

    def write(self, number: int, row: TrlRow) -> None:
        """Write a row, mended."""
        found, done = mended(row, self.rules)
        for rule in done:
            self.mended[rule] += 1
            self._name(rule, number)
        self.mended_rows += bool(done)
        self.kept += 1
        self._file.write(json.dumps(found, ensure_ascii=False) + "\n")

    def _name(self, rule: str, number: int) -> None:
        named = self._rows.setdefault(rule, [])
        if len(named) < ROWS_NAMED:
            named.append(number)

    def finish(self, sources: Collection[Path]) -> dict[str, Any]:
        """Put both files in place; what the report says."""
        self._file.close()
        said = {
            "sources": [str(source) for source in sources],
            "out": str(self.out),
            "rows": self.kept + sum(self.dropped.values()),
            "kept": self.kept,
            "dropped": sum(self.dropped.values()),
            "mended": self.mended_rows,
            "by_rule": dict(self.dropped),
            "mended_by_rule": dict(self.mended),
            "row_numbers": self._rows,
            "rules": {name: RULES[name].title for name in (*self.dropped, *self.mended)},
        }
        self._part.replace(self.out)
        self.report.write_text(json.dumps(said, indent=2, ensure_ascii=False), encoding="utf-8")
        return {**said, "report": str(self.report)}

    def discard(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._part.unlink(missing_ok=True)
