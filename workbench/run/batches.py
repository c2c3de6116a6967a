"""Log records by columns: many at once cost a third of what they cost one by one."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeAlias

MAX_STEP = 2**53
HEAD_ROWS = 8
"""A new kind of record joins a collection that is no longer than this."""


Column: TypeAlias = "tuple[array[int], array[float]]"
"""Steps that do not fall, and a value for each."""


@dataclass(frozen=True)
class Rows:
    """Log records of one stage with the same entries, by columns.

    Attributes:
        steps: They rise.
        times: Unix seconds; None where the records have none.
        epochs: None where the records have none.
        metrics: By name; all values are finite.
    """

    steps: array[int]
    times: array[float] | None
    epochs: array[float] | None
    metrics: dict[str, array[float]]


@dataclass(frozen=True)
class Batch:
    """Log records of one stage, of several kinds that have no metric in common.

    Attributes:
        steps: Of all records in their order; they do not fall.
        times, epochs: Of those records that have them, in their order.
        parts: One for each kind.
    """

    steps: array[int]
    times: Column
    epochs: Column
    parts: tuple[Rows, ...]


class RowCollector:
    """Collects log records whose order among each other does not matter, for a batch.

    Those of evaluations come in between those of training and have other entries, so there is a
    group for each kind.

    Attributes:
        rows: In their order.
        head: So many of them at the beginning are the first ones of their group, or before it.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.head = 0
        self._groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        self._heads: list[int] = []

    def fits(self, entries: tuple[str, ...]) -> bool:
        """Whether there is a group for records with these entries, or may be one."""
        return entries in self._groups or len(self.rows) <= HEAD_ROWS

    def group(self, entries: tuple[str, ...]) -> list[dict[str, Any]]:
        """The group of records with these entries, if they fit.

        Whoever adds to the group adds to `rows` too.
        """
        if entries not in self._groups:
            self._heads = [*map(len, self._groups.values()), 1]
            self.head = len(self.rows) + 1
        return self._groups.setdefault(entries, [])

    def batch(self) -> Batch | None:
        """The records behind the head by columns; None where they are not plain enough."""
        pairs = zip(self._groups.values(), self._heads, strict=True)
        groups = [group[head:] for group, head in pairs if len(group) > head]
        stages = [group[0].get("stage") for group in groups]
        if not groups or stages.count(stages[0]) != len(stages):
            return None
        parts = []
        for group in groups:
            part = as_columns(group)
            if part is None:
                return None
            parts.append(part)
        if len(parts) > 1:
            return _joined(parts, [group[0] for group in groups], self.rows[self.head :])
        (rows,) = parts
        none: Column = array("q"), array("d")
        times = (rows.steps, rows.times) if rows.times else none
        epochs = (rows.steps, rows.epochs) if rows.epochs else none
        return Batch(rows.steps, times, epochs, (rows,))


def as_columns(records: Sequence[dict[str, Any]]) -> Rows | None:
    """Log records as columns; None where they are not plain enough for that.

    Plain are rising steps of one stage, and in each column numbers, all finite, or no number.

    Args:
        records: With the same entries in the same order.
    """
    columns = dict(zip(records[0], zip(*map(dict.values, records), strict=True), strict=True))
    steps = _rising(columns.pop("step", ()))
    stages = columns.pop("stage", ())
    if steps is None or not stages or "non_finite" in columns:
        return None
    if stages.count(stages[0]) != len(stages):
        return None
    numbers: dict[str, array[float]] = {}
    for name, column in columns.items():
        types = set(map(type, column))
        if types <= {int, float}:
            values = _finite(column)
            if values is None:
                return None
            numbers[name] = values
        elif types & {int, float}:
            return None
    times, epochs = numbers.pop("time", None), numbers.pop("epoch", None)
    return Rows(steps, times, epochs, numbers)


def _joined(
    parts: list[Rows], firsts: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> Batch | None:
    """Kinds of records as one batch.

    Args:
        firsts: A record of each kind.
        rows: All of them in their order.
    """
    names = {name for part in parts for name in part.metrics}
    # Times and epochs are of any kind; where they are something else, nobody joins them.
    odd = any(
        (part.times is None and "time" in first) or (part.epochs is None and "epoch" in first)
        for part, first in zip(parts, firsts, strict=True)
    )
    steps = array("q", [row["step"] for row in rows])
    if odd or len(names) != sum(len(part.metrics) for part in parts):
        return None
    if any(map(int.__gt__, steps, steps[1:])):
        return None
    return Batch(steps, _column(rows, "time"), _column(rows, "epoch"), tuple(parts))


def _column(rows: list[dict[str, Any]], name: str) -> Column:
    steps = array("q", [row["step"] for row in rows if name in row])
    return steps, array("d", [row[name] for row in rows if name in row])


def _rising(steps: Sequence[Any]) -> array[int] | None:
    if set(map(type, steps)) != {int} or steps[0] < 0 or steps[-1] >= MAX_STEP:
        return None
    return None if any(map(int.__ge__, steps, steps[1:])) else array("q", steps)


def _finite(column: Sequence[float]) -> array[float] | None:
    try:
        # A sum beyond every float may come from finite values, but they are rare.
        return array("d", column) if isfinite(sum(column)) else None
    except OverflowError:
        return None
