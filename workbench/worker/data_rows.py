"""The rows of a data job: read, recognised, mapped and looked at one by one."""

from __future__ import annotations

import contextlib
import difflib
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.data.formats.mapping import map_row
from workbench.data.formats.model import Recognised, TrlRow, UnusableRowError, Wish
from workbench.data.formats.recognise import recognise
from workbench.data.formats.texts import example_parts
from workbench.data.lint.lint import RULES, Lint
from workbench.data.lint.model import Example, Finding
from workbench.data.readers.row import BrokenRow, SourceRow
from workbench.data.readers.source import open_source
from workbench.worker.data_findings import Findings

SAMPLE_ROWS = 50
CUT_LETTERS = 300
MOST_ABOUT_ALL = 200
TELL_SECONDS = 0.25

Emit = Callable[..., None]
GoingOn = Callable[[], bool]


@dataclass
class Part:
    """One file of a job.

    Attributes:
        before: Rows of the files before it; its own are numbered from there.
        pairs: What its rows come to, once they are read.
        entry, fraction: Of the mixture that it belongs to; files of one entry are one data set.
    """

    source: Any
    shape: Recognised
    before: int = 0
    pairs: int = 0
    entry: int = 0
    fraction: float | None = None


class DataRows:
    """A job's rows; `scan` goes through all of them, the rest picks single ones.

    Args:
        job: The content of job.json.
        folder: For what has to be kept on disk meanwhile.
    """

    def __init__(self, job: Mapping[str, Any], folder: Path) -> None:
        self.job, self.folder = job, folder
        self.wish = Wish(**job["wish"])
        self.parts: list[Part] = []
        self.tests: list[Part] = []
        self.rows = 0
        self.pairs = 0
        self.findings = Findings(folder / "findings.jsonl")
        self.scanned = False
        self._search: tuple[str, array[int], int] = ("", array("Q"), 0)

    @property
    def stage(self) -> str:
        """The stage that is asked for, else the one that the data are fit for."""
        known = next((part.shape.stage for part in self.parts if part.shape.stage), "dpo")
        return str(self.job["stage"] or known)

    def open(self) -> None:
        """Open the files and recognise their rows, once.

        Raises:
            ProblemError: A file is none, or has no row.
        """
        if self.parts:
            return
        from workbench.worker.data_hub import open_hub

        names = [Path(name) for name in self.job["files"]]
        sources: list[Any] = [
            *(open_source(name) for name in names),
            *map(open_hub, self.job["hub"]),
        ]
        if not sources:
            raise ProblemError(Problem("there is no data to look at", "", "Name a file."))
        mixture = [*self.job["mixture"], *[(0, None)] * len(sources)]
        self.parts = [
            Part(source, self._shape(source), entry=entry, fraction=fraction)
            for source, (entry, fraction) in zip(sources, mixture, strict=False)
        ]
        held = [open_source(Path(name)) for name in self.job["test_files"]]
        self.tests = [Part(source, self._shape(source)) for source in held]

    def _shape(self, source: Any) -> Recognised:
        rows = (row for row in source.rows() if isinstance(row, SourceRow))
        first = [row.values for row in islice(rows, SAMPLE_ROWS)]
        if not first:
            hint = "Name a file with data; the lines that are broken are no rows."
            raise ProblemError(Problem("the file has no rows", str(source.path), hint))
        return recognise(first, self.wish)

    def examples(self, part: Part, row: SourceRow) -> list[Example]:
        """What a row comes to; see `map_row`."""
        number = part.before + row.number
        mapped = map_row(part.shape, row.values, self.wish)
        stage = part.shape.stage or self.stage
        return [
            Example(number, row.line, index, *example_parts(one, stage), one)
            for index, one in enumerate(mapped)
        ]

    def scan(self, emit: Emit, going_on: GoingOn) -> None:
        """Read every row once and say what there is."""
        began = time.monotonic()
        self.open()
        self.rows, self.scanned = 0, False
        self.findings = Findings(self.folder / "findings.jsonl")
        self._tell_first(emit)
        lint = Lint(self.stage, self.findings.keep, folder=self.folder)
        tally = Tally()
        progress = Progress(emit, [*self.parts, *self.tests])
        for part in self.parts:
            part.before, part.pairs = self.rows, 0
            if not self._scan_part(part, lint, tally, progress, going_on):
                return
        self.pairs = tally.pairs
        for part in self.tests:
            if not self._see_test(part, lint, progress, going_on):
                return
        progress.say("comparing the rows with each other", self.rows)
        lint.finish()
        self.findings.sort()
        self.scanned = True
        emit("report", **self.report(tally, time.monotonic() - began))

    def _scan_part(
        self, part: Part, lint: Lint, tally: Tally, progress: Progress, going_on: GoingOn
    ) -> bool:
        for row in part.source.rows():
            if isinstance(row, BrokenRow):
                tally.broken += 1
                self.findings.keep(Finding("broken_line", 0, row.line, row.what))
                continue
            self.rows += 1
            number = part.before + row.number
            try:
                examples = self.examples(part, row)
            except UnusableRowError as error:
                tally.unusable += 1
                if part.shape.stage:
                    self.findings.keep(Finding("unusable_row", number, row.line, str(error)))
            else:
                tally.see(examples)
                part.pairs += len(examples)
                for example in examples:
                    lint.see(example)
            if not row.number % 256 and not progress.tick(self.rows, going_on):
                return False
        return True

    def _see_test(self, part: Part, lint: Lint, progress: Progress, going_on: GoingOn) -> bool:
        for row in part.source.rows():
            if isinstance(row, BrokenRow):
                continue
            try:
                examples = self.examples(part, row)
            except UnusableRowError:
                continue
            for example in examples:
                lint.see(example, split="test")
            if not row.number % 256 and not progress.tick(self.rows, going_on):
                return False
        return True

    def _tell_first(self, emit: Emit) -> None:
        for part in self.parts:
            source, shape = part.source, part.shape
            found = asdict(shape)
            told = ("kind", "compression", "size", "as_is", "notes")
            emit(
                "source",
                path=str(source.path),
                **{name: getattr(source, name) for name in told},
                shape_as_is=found.pop("as_is"),
                shape_notes=found.pop("notes"),
                **found,
            )
        part = self.parts[0]
        rows = (row for row in part.source.rows() if isinstance(row, SourceRow))
        emit("first", rows=[self.short(part, row) for row in islice(rows, SAMPLE_ROWS)])

    def report(self, tally: Tally, seconds: float) -> dict[str, Any]:
        """What a scan has found."""
        return {
            **asdict(tally),
            "rows": self.rows,
            "taken": sum(self.shares().values()),
            "stage": self.stage,
            "findings": self.findings.counts(),
            "rules": self.rules(RULES),
            "about_all": list(islice(self.findings.about_all(), MOST_ABOUT_ALL)),
            "notes": [note for part in self.parts for note in part.source.notes],
            "seconds": round(seconds, 3),
        }

    def rules(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Those of some rules that have found something: what they say, how often, and where."""
        counts = self.findings.counts()
        return {
            name: {**asdict(RULES[name]), "count": counts[name], "rows": self.findings.first(name)}
            for name in names
            if name in counts
        }

    def place(self, number: int) -> tuple[Part, SourceRow]:
        """The row of a number.

        Raises:
            ProblemError: There is no such row.
        """
        self.open()
        if not self.scanned and number > SAMPLE_ROWS:
            raise ProblemError(Problem("the rows are not read yet", next_step="Scan them first."))
        starts = [part.before for part in self.parts]
        part = self.parts[max(0, bisect_right(starts, number - 1) - 1)]
        if not 1 <= number <= max(self.rows, SAMPLE_ROWS if not self.scanned else 0):
            hint = f"There are rows 1 to {self.rows}."
            raise ProblemError(Problem(f"there is no row {number}", next_step=hint))
        return part, part.source.at(number - part.before)

    def short(self, part: Part, row: SourceRow) -> dict[str, Any]:
        """A row as a line of a table."""
        number = part.before + row.number
        line = {"number": number, "line": row.line, "file": part.source.path.name}
        line["rules"] = self.findings.rules_of(number) if self.scanned else []
        try:
            examples = self.examples(part, row)
        except UnusableRowError as error:
            return {**line, "prompt": str(error), "chosen": "", "rejected": "", "pairs": 0}
        if not examples:
            return {**line, "prompt": "", "chosen": "", "rejected": "", "pairs": 0}
        first = examples[0]
        answers = [*first.answers, ""][:2]
        texts = (first.prompt, *answers)
        names = ("prompt", "chosen", "rejected")
        cut = {name: text[:CUT_LETTERS] for name, text in zip(names, texts, strict=True)}
        return {**line, **cut, "pairs": len(examples)}

    def whole(self, number: int) -> dict[str, Any]:
        """A row with all that is known of it."""
        part, row = self.place(number)
        said = [*self.findings.of_row(number)] if self.scanned else []
        try:
            examples = self.examples(part, row)
        except UnusableRowError:
            examples = []
        return {
            "number": number,
            "line": row.line,
            "file": part.source.path.name,
            "source": row.values,
            "pairs": [
                {"prompt": e.prompt, "answers": e.answers, "messages": _in_messages(e.trl)}
                for e in examples
            ],
            "findings": said,
        }

    def page(
        self, start: int, count: int, rule: str, search: str, going_on: GoingOn
    ) -> dict[str, Any]:
        """Rows `start` to `start + count` of all, or of those of a rule or with a text."""
        total: int | None
        if rule and rule not in RULES:
            near = difflib.get_close_matches(rule, RULES, 1)
            hint = f"Did you mean {near[0]}?" if near else f"The rules: {', '.join(RULES)}."
            raise ProblemError(Problem(f"there is no rule {rule}", "", hint))
        if rule:
            found = self.findings.rows(rule)
            numbers, total = list(found[start : start + count]), len(found)
        elif search:
            numbers, total = self._matches(search.casefold(), start, count, going_on)
        else:
            total = self.rows
            numbers = list(range(start + 1, min(start + count, total) + 1))
        return {"total": total, "rows": [self.short(*self.place(n)) for n in numbers]}

    def _matches(
        self, words: str, start: int, count: int, going_on: GoingOn
    ) -> tuple[list[int], int | None]:
        text, found, seen = self._search if self._search[0] == words else (words, array("Q"), 0)
        while len(found) < start + count and seen < self.rows and going_on():
            seen += 1
            if self._has(seen, text):
                found.append(seen)
        self._search = (text, found, seen)
        return list(found[start : start + count]), len(found) if seen >= self.rows else None

    def _has(self, number: int, words: str) -> bool:
        part, row = self.place(number)
        try:
            examples = self.examples(part, row)
        except UnusableRowError:
            return words in str(row.values).casefold()
        texts = (text for e in examples for text in (e.prompt, *e.answers))
        return any(words in text.casefold() for text in texts)

    def mapped(self) -> Iterator[tuple[Example, TrlRow]]:
        """Every pair that is trained on or held out, in their order."""
        self.open()
        left = self.shares()
        for part in self.parts:
            for example in islice(self._of_part(part), left[part.entry]):
                left[part.entry] -= 1
                yield example, dict(example.trl)

    def _of_part(self, part: Part) -> Iterator[Example]:
        for row in part.source.rows():
            if isinstance(row, SourceRow):
                with contextlib.suppress(UnusableRowError):
                    yield from self.examples(part, row)

    def shares(self) -> dict[int, int]:
        """How many pairs of each entry of a mixture are taken, once the rows are read.

        TRL 1.16 (`trl.get_dataset`): fractions are shares of the whole, which is as large as it
        can be without taking a row twice; of each entry the first rows are taken.
        """
        found: dict[int, int] = {}
        for part in self.parts:
            found[part.entry] = found.get(part.entry, 0) + part.pairs
        fractions = {part.entry: part.fraction for part in self.parts}
        if not all(fractions.values()):
            return found
        whole = sum(fraction or 0.0 for fraction in fractions.values())
        weights = {entry: (fraction or 0.0) / whole for entry, fraction in fractions.items()}
        total = min(found[entry] / weight for entry, weight in weights.items())
        return {entry: round(weight * total) for entry, weight in weights.items()}


@dataclass
class Tally:
    """Counts of a scan.

    Attributes:
        usable, unusable: Rows that something, or nothing, can be made of.
        without_pair: Rows that are whole and give no pair, such as a tie.
    """

    pairs: int = 0
    usable: int = 0
    unusable: int = 0
    broken: int = 0
    without_pair: int = 0
    chosen_longer: int = 0
    rejected_longer: int = 0
    letters_chosen: int = 0
    letters_rejected: int = 0

    def see(self, examples: list[Example]) -> None:
        """Count what a row comes to."""
        self.usable += bool(examples)
        self.without_pair += not examples
        self.pairs += len(examples)
        for example in examples:
            if len(example.answers) == 2:
                chosen, rejected = map(len, example.answers)
                self.letters_chosen += chosen
                self.letters_rejected += rejected
                self.chosen_longer += chosen > rejected
                self.rejected_longer += rejected > chosen


class Progress:
    """Tells how far the reading is, now and then."""

    def __init__(self, emit: Emit, parts: list[Part]) -> None:
        self._emit, self._parts = emit, parts
        self._size = sum(part.source.size for part in parts)
        self._told = time.monotonic()

    def tick(self, rows: int, going_on: GoingOn) -> bool:
        """Tell if it is time; False when nobody wants to know any more."""
        if time.monotonic() - self._told > TELL_SECONDS:
            self.say("reading the rows", rows)
        return going_on()

    def say(self, message: str, rows: int) -> None:
        """Tell now."""
        self._told = time.monotonic()
        done = sum(part.source.position for part in self._parts)
        self._emit("progress", message=message, done=done, of=self._size, rows=rows)


def _in_messages(row: Mapping[str, Any]) -> bool:
    return any(isinstance(value, list) for name, value in row.items() if name != "tools")
