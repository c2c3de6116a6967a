"""A first look at local data files: how many rows, which columns, which lines are broken."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.data.readers.row import BrokenRow
from workbench.data.readers.source import NAME_DATA, Source, open_source, text_suffix
from workbench.data.readers.table import READ_COLUMNS

TEXT_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv")
WALK_LIMIT = 10_000
SAMPLE_ROWS = 50
FULL_READ_LIMIT_BYTES = 64 * 1024 * 1024
SPLIT_WORDS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "eval", "evaluation", "valid", "validation", "dev"),
}

PREFERENCE_COLUMNS = ("chosen", "rejected")


@dataclass
class Glance:
    """What a look at one file found.

    Attributes:
        rows: Number of rows; None when the file is of a kind that is not read here, or too big.
        columns: Columns of the first row; empty when not read.
        first: The first row.
        sample: The first rows, enough to recognise their shape by.
        problems: Broken lines and the like, each with `file:line`.
        odd: Number, column and kind of the first value that is of another kind than in row 1.
        same: Rows whose chosen and rejected answers are the same, or one of them empty.
    """

    path: Path
    rows: int | None = None
    columns: tuple[str, ...] = ()
    first: dict[str, Any] = field(default_factory=dict)
    sample: list[dict[str, Any]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    odd: tuple[int, str, str] | None = None
    same: int = 0
    seen: int = field(default=0, repr=False)


def glance(path: Path) -> Glance:
    """Look at one JSON, JSON-lines, CSV or TSV file, compressed or not."""
    found = Glance(path)
    if text_suffix(path) not in TEXT_SUFFIXES:
        return found
    try:
        if path.stat().st_size > FULL_READ_LIMIT_BYTES:
            return found
        with open_source(path, text_only=True) as source:
            _read(source, found)
    except OSError as error:
        what = f"cannot read it: {error.strerror or error}"
        found.problems.append(Problem(what, str(path), "Check the path."))
    except ProblemError as error:
        found.problems += error.problems
    if found.rows == 0 and not found.problems:
        found.problems.append(Problem("the file has no rows", str(path), NAME_DATA))
    return found


def _read(source: Source, found: Glance) -> None:
    rows = 0
    for row in source.rows():
        if isinstance(row, BrokenRow):
            where = f"{found.path}:{row.line}"
            found.problems.append(Problem(row.what, where, "Mend or delete the line."))
            continue
        rows += 1
        _note(found, row.values)
    found.rows = rows


def _note(found: Glance, row: dict[str, Any]) -> None:
    """Compare a row with the first one, and its answers with each other."""
    found.seen += 1
    if len(found.sample) < SAMPLE_ROWS:
        found.sample.append(row)
    if not found.columns:
        found.columns = tuple(row)
        found.first = row
    answers = [row.get(column) for column in PREFERENCE_COLUMNS]
    if answers[0] is not None and (answers[0] == answers[1] or "" in answers):
        found.same += 1
    if found.odd is None:
        for column in READ_COLUMNS:
            kind = kind_of(row.get(column))
            if column in found.first and kind != kind_of(found.first[column]):
                found.odd = (found.seen, column, kind)
                break


def kind_of(value: Any) -> str:
    """What a cell holds, in words."""
    kinds = {str: "a text", list: "a list", dict: "an object", bool: "true or false"}
    return "empty" if value is None else kinds.get(type(value), "a number")


def _files_below(folder: Path) -> list[Path]:
    """Files in a folder and its folders; of a whole disk only the first ones."""
    found: list[Path] = []
    seen = 0
    for place, folders, names in os.walk(folder):
        folders.sort()
        seen += 1 + len(names)
        found += [Path(place, name) for name in names]
        if seen > WALK_LIMIT:
            break
    return [file for file in found[:WALK_LIMIT] if file.is_file()]


def split_files(folder: Path, split: str) -> list[Path]:
    """Data files of one split in a data folder, by the words in their names.

    As `datasets` does it: `train.jsonl`, `data/test-0.jsonl`; files that name no split are
    training data.
    """
    files = [file for file in sorted(_files_below(folder)) if _is_data(file)]
    named = {split: [f for f in files if _names_split(f, split)] for split in SPLIT_WORDS}
    if named.get(split):
        return named[split]
    if split == "train":
        return [file for file in files if file not in named["test"]]
    return [file for file in files if split in file.stem]


def _is_data(file: Path) -> bool:
    return any(suffix in (*TEXT_SUFFIXES, ".parquet", ".arrow") for suffix in file.suffixes)


def _names_split(file: Path, split: str) -> bool:
    words = file.name.lower().replace("-", " ").replace("_", " ").replace(".", " ").split()
    return any(word in words for word in SPLIT_WORDS[split])
