"""What all readers of text share: lines that are too long, how a reading ends, and a row again."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.data.readers.content import CHUNK_BYTES, LOOK_AGAIN, Content
from workbench.data.readers.index import Index
from workbench.data.readers.json_text import ROW_LIMIT_BYTES, mended, scanner
from workbench.data.readers.remarks import Remarks
from workbench.data.readers.row import BrokenRow

TOO_LONG = f"the row is longer than {ROW_LIMIT_BYTES >> 20} MB and was left out"
FIRST_LOOK_BYTES = 1 << 14
CHANGED = "the file was changed while it was read, and what follows may be missing"


def skip_line(file: io.BufferedReader[Any]) -> int:
    """Pass the rest of a line without keeping it; its length."""
    length = 0
    while piece := file.readline(CHUNK_BYTES):
        length += len(piece)
        if piece.endswith(b"\n"):
            break
    return length


class TextReader:
    """What the readers of text have in common."""

    def __init__(self, content: Content, remarks: Remarks) -> None:
        self.content = content
        self.remarks = remarks
        self.index = Index()

    @property
    def position(self) -> int:
        """Bytes of the file that were read."""
        return self.content.position

    @property
    def passed(self) -> int:
        """Where the last row begins that was ever read."""
        return self.index.offsets[-1] if self.index.offsets else 0

    def ending(self, line: int) -> Iterator[BrokenRow]:
        """What is to be said when a file has no more rows."""
        fault = self.content.fault or (CHANGED if self.content.changed else "")
        if fault:
            self.remarks.as_is = False
            yield BrokenRow(line + 1, fault)

    def close(self) -> None:
        """Close the file."""
        self.content.close()


def value_at(content: Content, offset: int) -> dict[str, Any]:
    """The JSON object that begins at a place, where a row was found before.

    Raises:
        ProblemError: The file was changed since.
    """
    quiet = Remarks()
    scan = scanner(quiet)
    length = FIRST_LOOK_BYTES
    while True:
        raw = content.read_at(offset, length)
        text = raw.decode("utf-8", "surrogateescape")
        try:
            values, _ = scan(text, 0)
        except (StopIteration, ValueError, RecursionError):
            values = None
        if isinstance(values, dict):
            found: dict[str, Any] = mended(values, quiet, foreign=True)
            return found
        if len(raw) < length or length > 2 * ROW_LIMIT_BYTES:
            what = "the file was changed after it was read"
            raise ProblemError(Problem(what, str(content.path), LOOK_AGAIN))
        length *= 4
