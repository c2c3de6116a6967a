"""The first rows of a local data file, without reading all of it."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.base.tail import open_regular


def first_rows(path: Path, limit_bytes: int) -> Iterator[dict[str, Any]]:
    """The rows in the first bytes of a JSON-lines, JSON, CSV or TSV file, gzipped or not.

    A file of another kind, a JSON list that is longer, and lines that are broken give none.
    """
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in (".jsonl", ".json", ".csv", ".tsv"):
        return
    try:
        text = _first_text(path, limit_bytes)
        if suffix in (".csv", ".tsv"):
            delimiter = "," if suffix == ".csv" else "\t"
            for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter):
                yield {str(key): value for key, value in row.items()}
            return
    except (OSError, EOFError, ValueError, csv.Error):
        return
    document = _parsed(text) if suffix == ".json" else None
    found = document if isinstance(document, list) else map(_parsed, text.splitlines())
    yield from (row for row in found if isinstance(row, dict))


def _first_text(path: Path, limit_bytes: int) -> str:
    with open_regular(path) as raw:
        if path.suffix == ".gz":
            with gzip.open(raw) as content:
                found = content.read(limit_bytes)
        else:
            found = raw.read(limit_bytes)
    # The limit may cut a letter in two.
    return found.decode("utf-8-sig", errors="ignore")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
