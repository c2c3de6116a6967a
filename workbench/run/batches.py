"""Log records by columns: many at once cost a third of what one by one they do."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeAlias

MAX_STEP = 2**53
HEAD_ROWS = 8
"""A new kind of record joins a collection that is no longer than this."""

Columns: TypeAlias = "tuple[array[int], array[float]]"
"""Steps that rise, and values, all of them finite."""


@dataclass(frozen=True)
class Batch:
    """Log records of one stage, plain enough for columns.

    Attributes:
        steps: Of each record in their order; they do not fall.
        times: Of each record, unix seconds; None where they have none.
        epochs: Of each record; None where they have none.
        metrics: By name.
    """

    steps: array[int]
    times: array[float] | None
    epochs: array[float] | None
    metrics: dict[str, Columns]


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
        tables = []
        for group in groups:
            table = as_columns(group)
            if table is None:
                return None
            tables.append(table)
        return tables[0] if len(tables) == 1 else _joined(tables, self.rows[self.head :])


def as_columns(records: Sequence[dict[str, Any]]) -> Batch | None:
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
    return Batch(steps, times, epochs, {name: (steps, one) for name, one in numbers.items()})


def _joined(tables: list[Batch], rows: list[dict[str, Any]]) -> Batch | None:
    """Batches with different metrics as one, whose records stand in `rows` in their order."""
    metrics = {name: columns for table in tables for name, columns in table.metrics.items()}
    timed = {table.times is not None for table in tables}
    counted = {table.epochs is not None for table in tables}
    steps = [row["step"] for row in rows]
    alike = len(timed) == len(counted) == 1
    if not alike or len(metrics) != sum(len(table.metrics) for table in tables):
        return None
    if any(map(int.__gt__, steps, steps[1:])):
        return None
    times = array("d", [row["time"] for row in rows]) if True in timed else None
    epochs = array("d", [row["epoch"] for row in rows]) if True in counted else None
    return Batch(array("q", steps), times, epochs, metrics)


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
