"""The first rows of a local data file, without reading all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.base.problems import ProblemError
from workbench.data.readers.row import SourceRow
from workbench.data.readers.source import open_source, text_suffix
from workbench.data.sources import TEXT_SUFFIXES


def first_rows(path: Path, limit_bytes: int) -> Iterator[dict[str, Any]]:
    """The rows in the first bytes of a JSON-lines, JSON, CSV or TSV file, compressed or not.

    A file of another kind and lines that are broken give none.
    """
    if text_suffix(path) not in TEXT_SUFFIXES:
        return
    with contextlib.suppress(ProblemError), open_source(path, text_only=True) as source:
        for row in source.rows():
            if isinstance(row, SourceRow):
                yield row.values
            if source.passed > limit_bytes:
                return
