"""What a module says of a shape: how it is found in rows, and what is made of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.data.formats.columns import Sample
from workbench.data.formats.model import Pairing, TrlRow

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """How rows are read.

    Attributes:
        columns: Part of a row (`columns.ROLES`, or one with a number) to the data's column.
        options: What else was found out of the values.
        as_is: TRL reads the rows as they stand.
        notes: What a person should know.
        certainty: From 0 to 1; less than 1 where the columns can mean something else too.
        pairs: Which pairs ranked answers give.
    """

    columns: Mapping[str, str]
    options: Mapping[str, str] = field(default_factory=dict)
    as_is: bool = False
    notes: tuple[str, ...] = ()
    certainty: float = 1.0
    pairs: Pairing = "all"


@dataclass(frozen=True)
class Shape:
    """One shape.

    Attributes:
        name: As in the catalogue.
        find: The reading of a sample's columns; None where they are not of this shape.
        make: What one row comes to; raises UnusableRowError. Its own columns need not be kept
            by it (`columns.kept`).
        by_name_only: Never guessed.
    """

    name: str
    find: Callable[[Sample], Reading | None]
    make: Callable[[Row, Reading], list[TrlRow]]
    by_name_only: bool = False
