"""A recipe's data sets, as far as they are files on this machine."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem
from workbench.data.formats.catalogue import shapes
from workbench.data.formats.columns import ROLES
from workbench.data.formats.model import PAIRINGS
from workbench.data.sources import Glance, glance, kind_of, missing_columns, split_files
from workbench.recipe.recipe import Recipe, find_file

FILE_SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow", ".gz", ".txt")
BROKEN_LINES_SHOWN = 3
PROMPT_LIKE = ("instruction", "question", "query", "input")
"""Columns that people mean as the prompt, and TRL does not read."""


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
            yield from _check_file(glance(file), stage, where)
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


def _check_file(found: Glance, stage: str, where: str) -> Iterator[Problem]:
    yield from found.problems[:BROKEN_LINES_SHOWN]
    hidden = len(found.problems) - BROKEN_LINES_SHOWN
    if hidden > 0:
        yield Problem(f"{hidden} more broken lines", str(found.path), "Mend or delete them.")
    lacking = missing_columns(found.columns, stage) if found.columns else ""
    if lacking:
        what = f"{found.path.name} has no column {lacking}; it has {', '.join(found.columns)}"
        yield Problem(what, where, f"Rename the columns; {stage} reads {_wanted(stage)}.")
        return
    yield from _check_first_row(found, stage, where)
    yield from _check_all_rows(found, stage, where)


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


def _check_first_row(found: Glance, stage: str, where: str) -> Iterator[Problem]:
    """What TRL would trip over: answers that are neither texts nor lists of messages."""
    if stage != "dpo" or not found.first:
        return
    if "prompt" not in found.first:
        for name in PROMPT_LIKE:
            if name in found.first:
                what = f"{found.path.name}: {name} is ignored, the answers are trained without it"
                hint = "Rename the column to prompt, unless chosen and rejected hold it already."
                yield Problem(what, where, hint, "warning")
    kinds = {}
    for column in ("prompt", "chosen", "rejected"):
        value = found.first.get(column)
        kinds[column] = "text" if isinstance(value, str) else "messages"
        if column in found.first and not isinstance(value, str) and not _are_messages(value):
            what = f"{found.path.name}: {column} is neither a text nor a list of messages"
            hint = 'A message is {"role": "user", "content": "a text"}.'
            yield Problem(what, where, hint)
            return
    if "prompt" in found.first and len(set(kinds.values())) > 1:
        listed = ", ".join(f"{column} is {kind}" for column, kind in kinds.items())
        what = f"{found.path.name}: the columns are of two kinds ({listed})"
        yield Problem(what, where, "Make all three of one kind, or drop prompt.")


def _are_messages(value: Any) -> bool:
    """Whether a value is a list of messages; one that calls tools needs no content."""

    def is_message(item: Any) -> bool:
        if not isinstance(item, dict) or not isinstance(item.get("role"), str):
            return False
        return isinstance(item.get("content"), str) or bool(item.get("tool_calls"))

    return isinstance(value, list) and bool(value) and all(is_message(item) for item in value)


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


def count_rows(recipe: Recipe, stage: str) -> int | None:
    """Training rows of a stage before any is dropped; None where that cannot be known here."""
    counts = [glance(file).rows for part in data_parts(recipe, stage) for file in part.files]
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
