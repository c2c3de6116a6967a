"""What all readers of text share: lines that are too long, and how a reading ends."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.data.readers.content import CHUNK_BYTES, LOOK_AGAIN, Content
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


def ending(content: Content, remarks: Remarks, line: int) -> Iterator[BrokenRow]:
    """What is to be said when a file has no more rows."""
    if content.fault:
        remarks.as_is = False
        yield BrokenRow(line + 1, content.fault)
    elif content.changed:
        remarks.as_is = False
        yield BrokenRow(line + 1, CHANGED)


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
