"""The first rows of a data set that is no local file, as `datasets` streams them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from workbench.base.problems import Problem, ProblemError
from workbench.data.readers.row import SourceRow
from workbench.worker.explain import explain_data

MOST_ROWS = 1000


class HubSource:
    """As `data.readers.source.Source`, of a data set's first rows; they are kept.

    Args:
        spec: `path`, and `name` and `split` where they are given.

    Raises:
        ProblemError: It cannot be had.
    """

    kind = "hub"
    compression = ""
    as_is = True

    def __init__(self, spec: Mapping[str, str]) -> None:
        from datasets import load_dataset

        self.path = Path(spec["path"])
        split = spec.get("split") or "train"
        try:
            stream = load_dataset(spec["path"], spec.get("name"), split=split, streaming=True)
            found = [dict(row) for row in stream.take(MOST_ROWS)]
        except Exception as error:
            raise ProblemError(explain_data(error, spec["path"], "dataset_name", None)) from error
        if not found:
            raise ProblemError(Problem("the data set has no rows", spec["path"], "Name another."))
        self._rows = [SourceRow(number, 0, row) for number, row in enumerate(found, 1)]
        self.size = self.position = len(found)
        more = len(found) == MOST_ROWS
        self.notes = [f"only the first {MOST_ROWS} rows were looked at"] if more else []

    def rows(self) -> Iterator[SourceRow]:
        """The rows, from the start."""
        yield from self._rows

    def at(self, number: int) -> SourceRow:
        """One of them, by its number from 1."""
        return self._rows[number - 1]

    def close(self) -> None:
        """Nothing is open."""


def open_hub(spec: Mapping[str, str]) -> HubSource:
    """See `HubSource`."""
    return HubSource(spec)
