"""Rows of JSON lines: one object a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from workbench.data.readers.content import Content
from workbench.data.readers.json_text import (
    HALF,
    ROW_LIMIT_BYTES,
    mended,
    no_object,
    reason,
    scanner,
)
from workbench.data.readers.remarks import Remarks
from workbench.data.readers.row import BrokenRow, SourceRow
from workbench.data.readers.text_lines import TOO_LONG, TextReader, skip_line, value_at

_BLANK = re.compile(r"[ \t\r\n\ufeff]*")


class JsonLines(TextReader):
    """A reader of a file of JSON lines."""

    def __init__(self, content: Content, remarks: Remarks) -> None:
        super().__init__(content, remarks)
        self._scan = scanner(remarks)

    def rows(self) -> Iterator[SourceRow | BrokenRow]:
        """Every row and every broken line, from the start."""
        self.remarks.begin()
        file = self.content.open()
        readline, scan = file.readline, self._scan
        add, known = self.index.add, len(self.index.offsets)
        number = line = 0
        offset = self.content.mark
        while raw := readline(ROW_LIMIT_BYTES):
            line += 1
            try:
                text = raw.decode()
                values, end = scan(text, 0)
                plain = type(values) is dict and text[end:] in ("\n", "\r\n", "")
            except (StopIteration, ValueError, RecursionError):
                plain = False
            if plain:
                number += 1
                if number > known:
                    add(number, offset, line)
                if "\\" in text and HALF(text):
                    values = mended(values, self.remarks, foreign=False)
                yield SourceRow(number, line, values)
                offset += len(raw)
                continue
            whole = raw.endswith(b"\n") or len(raw) < ROW_LIMIT_BYTES
            found = self._odd(raw) if whole else [(0, TOO_LONG)]
            for place, item in found:
                if isinstance(item, str):
                    self.remarks.as_is = False
                    yield BrokenRow(line, item)
                else:
                    number += 1
                    add(number, offset + place, line)
                    yield SourceRow(number, line, item)
            offset += len(raw) + (0 if whole else skip_line(file))
        yield from self.ending(line)

    def _odd(self, raw: bytes) -> list[tuple[int, dict[str, Any] | str]]:
        """Rows of a line that is no plain one, each with its place; a text says what is wrong."""
        if b"\0" in raw:
            only = not raw.strip(b"\0 \t\r\n")
            return [(0, "the line is zero bytes only" if only else "the line holds zero bytes")]
        text = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
        rows: list[tuple[int, dict[str, Any] | str]] = []
        at, sign = _skip(text, 0), ""
        while at < len(text):
            try:
                values, end = self._scan(text, at)
            except (StopIteration, ValueError, RecursionError) as error:
                return [(0, f"the line is not JSON ({reason(error, text)})")]
            if type(values) is not dict:
                return [(0, f"the line is not a JSON object but {no_object(values)}")]
            place = len(text[:at].encode("utf-8", "surrogateescape"))
            rows.append((place, mended(values, self.remarks, foreign=True)))
            at = _skip(text, end)
            sign = text[at : at + 1]
            at = _skip(text, at + 1) if sign == "," else at
        if sign == ",":
            self.remarks.count("comma")
        if len(rows) > 1:
            self.remarks.count("glued")
        return rows

    def at(self, number: int) -> SourceRow:
        """One row again.

        Raises:
            IndexError: It was not passed yet.
            ProblemError: The file was changed since.
        """
        offset, line = self.index.place(number)
        return SourceRow(number, line, value_at(self.content, offset))


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at
