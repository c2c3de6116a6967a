"""Rows of CSV and its relatives: cells apart by a comma, a semicolon or a tab, a header on top."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.data.readers.cells import messages_in
from workbench.data.readers.content import LOOK_AGAIN, Content
from workbench.data.readers.json_text import ROW_LIMIT_BYTES, mended
from workbench.data.readers.remarks import Remarks
from workbench.data.readers.row import BrokenRow, SourceRow
from workbench.data.readers.text_lines import TOO_LONG, TextReader, skip_line

DELIMITERS = (",", "\t", ";")
# What TRL reads; pandas takes a cell of such a word, or an empty one, for nothing at all.
READ_COLUMNS = ("prompt", "chosen", "rejected", "messages", "completion", "text")
NOTHING = frozenset(
    [
        "",
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    ]
)
NEVER_CLOSED = "a quote is opened in this row and never closed"
SHORTEST_LIMIT_BYTES = 1 << 20
_NAME = re.compile(r"[\w .\-/()#:]{0,64}")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+|inf|True|False|true|false)\s*")
csv.field_size_limit(ROW_LIMIT_BYTES)


@dataclass(frozen=True)
class Header:
    """The first row of a table.

    Attributes:
        names: Its columns; one without a name, or with another's, is named as pandas does it.
        delimiter: What stands between cells.
        sure: It looks like the header of a table, and not like the first line of a text.
        changed: Names were made up.
    """

    names: tuple[str, ...]
    delimiter: str
    sure: bool
    changed: bool


def header_of(text: str, suffix: str) -> Header | None:
    """The header of a text that may be a table; None where it has no first row.

    Args:
        text: The beginning of the file.
        suffix: Of its name: `.tsv` is for tabs.
    """
    order = sorted(DELIMITERS, key=lambda sign: sign == "\t", reverse=suffix == ".tsv")
    best: Header | None = None
    for delimiter in order:
        lines = io.StringIO(text.lstrip("\r\n"), newline="")
        rows = csv.reader((line for line in lines), delimiter=delimiter)
        try:
            first = next(rows)
        except (csv.Error, StopIteration):
            continue
        try:
            second = next((row for row in rows if row), first)
        except csv.Error:
            second = first
        plain = all(_NAME.fullmatch(name) for name in first) and any(first)
        sure = plain and len(first) == len(second) and (len(first) > 1 or first[0] in READ_COLUMNS)
        names = _unique(first)
        found = Header(names, delimiter, sure, list(names) != first)
        if best is None or (found.sure, len(names)) > (best.sure, len(best.names)):
            best = found
    return best


def _unique(first: list[str]) -> tuple[str, ...]:
    names: list[str] = []
    for number, given in enumerate(first):
        name = given or f"Unnamed: {number}"
        copies = 0
        while name in names:
            copies += 1
            name = f"{given}.{copies}"
        names.append(name)
    return tuple(names)


class Table(TextReader):
    """A reader of a table."""

    def __init__(self, content: Content, remarks: Remarks, header: Header) -> None:
        super().__init__(content, remarks)
        self.header = header
        self._numeric = {n for n, name in enumerate(header.names) if name in READ_COLUMNS}
        self._watched = tuple(self._numeric)

    def rows(self) -> Iterator[SourceRow | BrokenRow]:
        """Every row and every broken one, from the start."""
        self.remarks.begin()
        feed = _Lines(self.content.open(), self.content.mark, 1)
        number = 0
        header = True
        while True:
            offset, line = feed.next_row()
            cells, fault = self._read(feed)
            if cells is None:
                break
            if header and cells:
                header = False
            elif fault:
                header = False
                self.remarks.as_is = False
                yield BrokenRow(line, fault)
            elif cells:
                number += 1
                self.index.add(number, offset, line)
                yield SourceRow(number, line, self._values(cells, feed.foreign, self.remarks))
        if self._numeric and number:
            self.remarks.as_is = False  # pandas makes numbers of such texts
        yield from self.ending(feed.line - 1)

    def _read(self, feed: _Lines) -> tuple[list[str] | None, str]:
        """Cells of the next row, none for a blank line, None at the end; and what is wrong."""
        try:
            cells = next(csv.reader(feed, delimiter=self.header.delimiter, strict=True))
        except StopIteration:
            return None, ""
        except csv.Error as error:
            feed.back()
            return [], str(error) if isinstance(error, _LineError) else _words(error)
        wanted = len(self.header.names)
        if cells and len(cells) != wanted:
            have = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
            feed.back()
            return [], f"the row has {have}, the header has {wanted}"
        return cells, ""

    def _values(self, cells: list[str], foreign: bool, remarks: Remarks) -> dict[str, Any]:
        """The columns of a row; text that was no UTF-8 mended, messages made of text."""
        for place in self._watched:
            if cells[place] in NOTHING:
                remarks.as_is = False
        if self._numeric:
            self._numeric = {n for n in self._numeric if _NUMBER.fullmatch(cells[n])}
        values: dict[str, Any] = dict(zip(self.header.names, cells, strict=True))
        for name, cell in zip(self.header.names, cells, strict=True):
            if "[" in cell[:8] and (found := messages_in(cell)) is not None:
                values[name] = found
                remarks.count("messages")
        if foreign:
            values = mended(values, remarks, foreign=True)
        return values

    def at(self, number: int) -> SourceRow:
        """One row again.

        Raises:
            IndexError: It was not passed yet.
            ProblemError: The file was changed since.
        """
        offset, line = self.index.place(number)
        feed = _Lines(io.BufferedReader(_Later(self.content, offset)), offset, line)
        cells, fault = self._read(feed)
        if fault or not cells:
            what = "the file was changed after it was read"
            raise ProblemError(Problem(what, str(self.content.path), LOOK_AGAIN))
        return SourceRow(number, line, self._values(cells, feed.foreign, Remarks()))


class _LineError(csv.Error):
    """A line that cannot be part of a row."""


class _Lines:
    """The lines of a table, for one row after another.

    Attributes:
        offset, line: Of the next line.
        foreign: The newest row has bytes that are no UTF-8, kept as `surrogateescape` does.
    """

    def __init__(self, file: io.BufferedReader[Any], offset: int, line: int) -> None:
        self.file = file
        self.offset = offset
        self.line = line
        self.foreign = False
        self._row: list[bytes] = []
        self._length = 0
        self._given_back: deque[bytes] = deque()
        self._limit = ROW_LIMIT_BYTES

    def next_row(self) -> tuple[int, int]:
        """Where the next row begins: offset and line."""
        self._row = []
        self._length = 0
        self.foreign = False
        return self.offset, self.line

    def back(self) -> None:
        """The newest row is none: its second line may begin another."""
        for raw in reversed(self._row[1:]):
            self._given_back.appendleft(raw)
            self.offset -= len(raw)
            self.line -= 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        raw = self._given_back.popleft() if self._given_back else self.file.readline(self._limit)
        if not raw:
            raise StopIteration
        self.offset += len(raw)
        self.line += 1
        if not raw.endswith(b"\n") and len(raw) >= self._limit:
            self.offset += skip_line(self.file)
            raise _LineError(TOO_LONG)
        self._row.append(raw)
        self._length += len(raw)
        if b"\0" in raw:
            raise _LineError("the row holds zero bytes")
        if self._length > self._limit:
            # Quotes that are never closed must not cost a whole limit each.
            self._limit = max(self._limit // 2, SHORTEST_LIMIT_BYTES)
            raise _LineError(NEVER_CLOSED)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.foreign = True
            return raw.decode("utf-8", "surrogateescape")


class _Later(io.RawIOBase):
    """What was read of a file before, from a place on."""

    def __init__(self, content: Content, at: int) -> None:
        self.content = content
        self.place = at

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self.content.read_at(self.place, len(buffer))
        buffer[: len(found)] = found
        self.place += len(found)
        return len(found)


def _words(error: csv.Error) -> str:
    """A fault of the csv module in plainer words."""
    text = str(error)
    if "unexpected end of data" in text or "field larger" in text:
        return NEVER_CLOSED
    if "expected after" in text:
        return "a quote stands inside a cell, where it should be doubled"
    if "new-line" in text:
        return "a carriage return stands in a cell without quotes"
    return f"the row is not CSV ({text})"
