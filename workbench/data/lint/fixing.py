"""A cleaned copy of a data set: which rows stay, and what is mended in their texts."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.data.formats.model import TrlRow
from workbench.data.formats.texts import example_parts
from workbench.data.lint.controls import mended_controls
from workbench.data.lint.phrases import decoded_again, without_special_ends
from workbench.data.lint.row_rules import is_blank
from workbench.data.lint.rules import RULES

ROWS_NAMED = 1000
NAME_LETTERS = 60

Mend = Callable[[str], str]


MENDERS: Mapping[str, Mend] = {
    "special_tokens": without_special_ends,
    "broken_encoding": decoded_again,
    "control_characters": mended_controls,
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


def spoilt(row: TrlRow, rules: Collection[str]) -> str:
    """By which of the rules a row is to be dropped now that it is mended; empty for none."""
    stage = "dpo" if "rejected" in row else "sft"
    answers = [answer.strip() for answer in example_parts(row, stage)[1]]
    if "empty_answer" in rules and any(map(is_blank, answers)):
        return "empty_answer"
    same = len(answers) == 2 and answers[0] == answers[1]
    return "identical_answers" if same and "identical_answers" in rules else ""


class FixWriter:
    """Writes the copy and its report; both are there whole, or not at all.

    Args:
        out: The copy, JSON lines in TRL's columns.
        sources: The files or folders that it is made from; none of them is ever written to.
        rules: The rules by which rows are dropped or mended.
        force: Write over a file that is there.

    Raises:
        ProblemError: `out` is there already, or is one of the sources (exit code 2); it cannot be
            written.
    """

    def __init__(
        self, out: Path, sources: Collection[Path], rules: Collection[str], *, force: bool = False
    ) -> None:
        self.out, self.rules = out, tuple(rules)
        self.report = out.with_name(out.name + ".report.json")
        self._check(sources, force=force)
        mark = f".{out.name[:NAME_LETTERS]}.{secrets.token_hex(4)}"
        self._parts = [out.with_name(f"{mark}.part"), out.with_name(f"{mark}.report.part")]
        with self._named_problem():
            self._file = self._parts[0].open("x", encoding="utf-8")
        self._rows: dict[str, list[int]] = {}
        self.dropped: Counter[str] = Counter()
        self.mended: Counter[str] = Counter()
        self.kept = self.mended_rows = 0

    def _check(self, sources: Collection[Path], *, force: bool) -> None:
        if unknown := [rule for rule in self.rules if rule not in RULES]:
            hint = f"The rules: {', '.join(RULES)}."
            problem = Problem(f"there is no rule {unknown[0]}", "--rules", hint)
            raise ProblemError(problem, exit_code=2)
        for place in (self.out, self.report):
            what, hint = "", "Name another file."
            if any(_is_part_of(place, source) for source in sources):
                what = "this is the data itself, which is never changed"
            elif place.is_dir():
                what = "this is a folder"
            elif place.exists() and not force:
                what, hint = "the file exists", "Name another file, or add --force."
            if what:
                raise ProblemError(Problem(what, str(place), hint), exit_code=2)

    @contextmanager
    def _named_problem(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            hint = "Choose a folder that is there, can be written to and has room."
            what = f"cannot write it: {error.strerror or error}"
            raise ProblemError(Problem(what, str(self.out), hint)) from error

    def drop(self, number: int, rule: str) -> None:
        """Leave a row out."""
        self.dropped[rule] += 1
        self._name(rule, number)

    def write(self, number: int, row: TrlRow) -> None:
        """Write a row, mended; one that has no answer, or no difference, any more is dropped.

        Raises:
            ProblemError: The disk is full, or gone.
        """
        found, done = mended(row, self.rules)
        if done and (rule := spoilt(found, self.rules)):
            self.drop(number, rule)
            return
        for rule in done:
            self.mended[rule] += 1
            self._name(rule, number)
        self.mended_rows += bool(done)
        self.kept += 1
        with self._named_problem():
            self._file.write(_line(found))

    def _name(self, rule: str, number: int) -> None:
        named = self._rows.setdefault(rule, [])
        if len(named) < ROWS_NAMED and named[-1:] != [number]:
            named.append(number)

    def finish(self, sources: Collection[Path]) -> dict[str, Any]:
        """Put both files in place; what the report says.

        Raises:
            ProblemError: As from `write`; neither file is there then.
        """
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
        with self._named_problem():
            self._file.close()
            text = json.dumps(said, indent=2, ensure_ascii=False)
            self._parts[1].write_text(text + "\n", encoding="utf-8", errors="surrogateescape")
            for part, place in zip(self._parts, (self.out, self.report), strict=True):
                part.replace(place)
        return {**said, "report": str(self.report)}

    def discard(self) -> None:
        """Leave nothing behind that is not whole."""
        with suppress(OSError):  # closing writes the rest, for which there may be no room
            self._file.close()
        for part in self._parts:
            part.unlink(missing_ok=True)


def _is_part_of(place: Path, source: Path) -> bool:
    if not source.exists():
        return False
    if source.is_dir():
        return place.resolve().is_relative_to(source.resolve())
    return place.exists() and place.samefile(source)


def _line(row: TrlRow) -> str:
    line = json.dumps(row, ensure_ascii=False) + "\n"
    # A half character has no UTF-8; as an escape it stays what it is.
    return line if _encodable(line) else json.dumps(row) + "\n"


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
