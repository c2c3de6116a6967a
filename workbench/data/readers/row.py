"""One row of a data file, as it stands there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


# Not frozen: that would take as long as a third of the parsing.
@dataclass(slots=True)
class SourceRow:
    """A row that could be read.

    Attributes:
        number: From 1, counting the rows that could be read.
        line: Line of the file that the row begins in, from 1; 0 where a file has no lines.
        values: Its columns.
    """

    number: int
    line: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A place in a file that is no row.

    Attributes:
        line: As of a row.
        what: The fault, in words that need no file name.
    """

    line: int
    what: str
