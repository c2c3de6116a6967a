"""A recipe's data sets, as far as they are files on this machine."""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.data.formats.catalogue import shapes
from workbench.data.formats.columns import ROLES, TRL_COLUMNS
from workbench.data.formats.mapping import map_row
from workbench.data.formats.model import PAIRINGS, Recognised, UnusableRowError, Wish
from workbench.data.formats.recognise import recognise
from workbench.data.readers.row import BrokenRow, SourceRow
from workbench.data.readers.source import open_source
from workbench.data.sources import Glance, glance, kind_of, split_files
from workbench.recipe.recipe import Recipe, find_file

FILE_SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow", ".gz", ".txt")
BROKEN_LINES_SHOWN = 3
SURE = 0.7
"""From this confidence on a shape is taken without a word."""


@dataclass(frozen=True)
class DataPart:
    """One named source of a stage's data.

    Attributes:
        keys: Path of the value in the stage's settings, for places.
        name: The value as typed.
        files: Local files of its training split; empty for a hub data set.
        missing: Whether it can only be a local file and is not there.
    """

    keys: tuple[str | int, ...]
    name: str
    files: tuple[Path, ...]
    missing: bool


def data_parts(recipe: Recipe, stage: str, split: str = "train") -> list[DataPart]:
    """The sources of a stage's training data (or of another split), local files looked up."""
    entries = recipe.get("datasets", stage)
    if isinstance(entries, list) and entries:
        parts: list[DataPart] = []
        for index, entry in enumerate(entries):
            if isinstance(entry, dict):
                parts += _mixture_parts(recipe, entry, ("datasets", index))
        return parts if split == "train" else []
    name = recipe.get("dataset_name", stage)
    if not isinstance(name, str) or not name:
        return []
    wanted = recipe.get(f"dataset_{split}_split", stage)
    return [_part(recipe, name, ("dataset_name",), str(wanted))]


def _mixture_parts(
    recipe: Recipe, entry: dict[str, Any], keys: tuple[str | int, ...]
) -> list[DataPart]:
    files = entry.get("data_files")
    if files is None:
        return [_part(recipe, str(entry.get("path", "")), (*keys, "path"), "train")]
    if isinstance(files, dict):
        files = files.get(str(entry.get("split") or "train").split("[")[0], [])
    names = files if isinstance(files, list) else [files]
    return [_part(recipe, str(name), (*keys, "data_files"), "train") for name in names]


def _part(recipe: Recipe, name: str, keys: tuple[str | int, ...], split: str) -> DataPart:
    folder = recipe.path.parent
    if any(sign in name for sign in "*?["):
        try:
            files = tuple(sorted(folder.glob(name))) if not name.startswith("/") else ()
        except (OSError, ValueError, NotImplementedError):  # such as `**x`: no pattern
            files = ()
        return DataPart(keys, name, files, missing=not files and not name.startswith("/"))
    found = find_file(name, folder)
    if found is None:
        remote = re.match(r"[a-z0-9]+://", name) is not None
        local = name.startswith((".", "/", "~")) or name.endswith(FILE_SUFFIXES)
        return DataPart(keys, name, (), missing=local and not remote)
    files = tuple(split_files(found, split.split("[")[0])) if found.is_dir() else (found,)
    return DataPart(keys, name, files, missing=False)


def check_data(recipe: Recipe, stage: str) -> Iterator[Problem]:
    """Missing files, broken lines, missing columns and splits of one stage."""
    parts = data_parts(recipe, stage)
    if not parts:
        hint = "Add `dataset_name: ` with a hub id or a folder of train.jsonl and test.jsonl."
        yield Problem(f"{stage} names no data", _where(recipe, stage, ()), hint)
        return
    for part in parts:
        where = _where(recipe, stage, part.keys)
        if part.missing:
            hint = f"Paths count from {recipe.path.parent}."
            yield Problem(f"{_key(part)}: there is no file {part.name}", where, hint)
        for file in part.files:
            yield from _check_file(glance(file), stage, where, recipe.wish(stage))
    yield from _check_evaluation(recipe, stage)


def check_shape(key: str, value: Any, where: str) -> Iterator[Problem]:
    """A value of `data_format`, `columns` or `pairs` that means nothing."""
    if key == "columns":
        if not isinstance(value, dict):
            yield Problem("columns is not a mapping", where, "Write columns: {prompt: question}.")
            return
        for role, name in value.items():
            if role not in ROLES:
                hint = f"Name columns for: {', '.join(ROLES)}."
                yield Problem(f"columns: {role} is no part of a row", where, hint)
            elif not isinstance(name, str):
                yield Problem(f"columns: {role} names no column", where, "Write a column's name.")
        return
    known = PAIRINGS if key == "pairs" else tuple(shapes())
    if value not in known:
        near = difflib.get_close_matches(str(value), known, 1)
        hint = f"Did you mean {near[0]}?" if near else f"It may be: {', '.join(known)}."
        yield Problem(f"{key}: {value!r} is not known", where, hint)


def _check_file(found: Glance, stage: str, where: str, wish: Wish) -> Iterator[Problem]:
    yield from found.problems[:BROKEN_LINES_SHOWN]
    hidden = len(found.problems) - BROKEN_LINES_SHOWN
    if hidden > 0:
        yield Problem(f"{hidden} more broken lines", str(found.path), "Mend or delete them.")
    if not found.sample:
        return
    try:
        shape = recognise(found.sample, wish)
    except ProblemError as error:
        yield from (replace(problem, where=where) for problem in error.problems)
        return
    if shape.stage != stage:
        yield _unfit(found.path.name, shape, stage, where)
    elif shape.as_is or (found.odd is not None and set(shape.columns) <= set(TRL_COLUMNS)):
        # TRL's own columns with a value of another kind in between: a slip, and no other shape.
        yield from _check_all_rows(found, stage, where)
    elif shape.confidence < SURE:
        made = ", ".join(f"{role} from {name}" for role, name in shape.columns.items())
        what = f"{found.path.name} is taken for {shape.title} ({made})"
        hint = f"If that is right, say data_format: {shape.shape}; else name the columns."
        yield Problem(what, where, hint, "warning")


def shape_of(file: Path, wish: Wish) -> Recognised | None:
    """The shape of a file's rows; None where they cannot be read here."""
    found = glance(file)
    try:
        return recognise(found.sample, wish) if found.sample else None
    except ProblemError:
        return None


def _unfit(name: str, shape: Recognised, stage: str, where: str) -> Problem:
    """What to say of data that a stage cannot be trained on."""
    if shape.stage:
        what = f"{name} holds {shape.title}, which {shape.stage} trains on, and {stage} cannot"
        hint = f"Move it to the section {shape.stage}, or name other data."
        return Problem(what, where, hint)
    hint = shape.next_step or f"Rename the columns; {stage} reads {_wanted(stage)}."
    return Problem(f"{name}: {shape.missing or shape.title}", where, hint)


def _check_all_rows(found: Glance, stage: str, where: str) -> Iterator[Problem]:
    """A value that is not of its column's kind, and pairs that teach nothing."""
    if found.odd is not None:
        number, column, kind = found.odd
        wanted = kind_of(found.first[column])
        what = f"{found.path.name}, row {number}: {column} is {kind}, in the first row {wanted}"
        yield Problem(what, where, "Mend or delete that row.")
    if stage == "dpo" and found.same:
        share = f"{found.same} of {found.rows} rows"
        what = f"{found.path.name}: {share} have equal answers, or an empty one"
        yield Problem(what, where, "Delete them: they hold no preference.", "warning")


def _wanted(stage: str) -> str:
    if stage == "dpo":
        return "prompt (or none), chosen and rejected"
    return "messages, or prompt and completion, or text"


def _check_evaluation(recipe: Recipe, stage: str) -> Iterator[Problem]:
    if recipe.get("eval_strategy", stage) == "no":
        return
    where = _where(recipe, stage, ("eval_strategy",))
    if recipe.get("datasets", stage):
        if not recipe.get("test_split_size", stage):
            hint = 'Set test_split_size: 0.1, or eval_strategy: "no".'
            yield Problem("evaluation is on, but there is no test split", where, hint)
        return
    train, test = data_parts(recipe, stage), data_parts(recipe, stage, "test")
    if any(part.files for part in train) and not any(part.files for part in test):
        split = recipe.get("dataset_test_split", stage)
        hint = f'Put a {split}.jsonl beside the training file, or set eval_strategy: "no".'
        yield Problem(f"evaluation is on, but there is no split {split}", where, hint)


def _where(recipe: Recipe, stage: str, keys: tuple[str | int, ...]) -> str:
    if not keys:
        return recipe.document.where((stage,))
    return recipe.document.where((*recipe.path_of(str(keys[0]), stage), *keys[1:]))


def _key(part: DataPart) -> str:
    return str(part.keys[-1])


def _version(file: Path) -> tuple[int, int]:
    """What tells one version of a file from another."""
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=64)
def _count(file: Path, wish: str, changed: int, size: int) -> int | None:
    """Rows that a file gives a trainer: its own, or what they are mapped to."""
    found = glance(file)
    if found.rows is None or not found.sample:
        return found.rows
    said = Wish(**json.loads(wish))
    try:
        shape = recognise(found.sample, said)
        if shape.as_is or not shape.stage:
            return found.rows
        source = open_source(file)
    except ProblemError:
        return found.rows
    with contextlib.closing(source):
        return sum(_pairs(shape, row, said) for row in source.rows())


def _pairs(shape: Recognised, row: SourceRow | BrokenRow, wish: Wish) -> int:
    try:
        return len(map_row(shape, row.values, wish)) if isinstance(row, SourceRow) else 0
    except UnusableRowError:
        return 0


def count_rows(recipe: Recipe, stage: str) -> int | None:
    """Training rows of a stage before any is dropped; None where that cannot be known here."""
    wish = json.dumps(asdict(recipe.wish(stage)))
    counts = [
        _count(file, wish, *_version(file))
        for part in data_parts(recipe, stage)
        for file in part.files
    ]
    parts = data_parts(recipe, stage)
    known = [count for count in counts if count is not None]
    if not parts or len(known) < len(counts) or any(not part.files for part in parts):
        return None
    entries = recipe.get("datasets", stage)
    if isinstance(entries, list) and any(
        isinstance(e, dict) and e.get("fraction") for e in entries
    ):
        return None
    share = recipe.get("test_split_size", stage) if entries else None
    rows = sum(known)
    if isinstance(share, float) and 0 < share < 1:
        return rows - -int(-rows * share // 1)
    return rows - int(share) if isinstance(share, int) else rows
