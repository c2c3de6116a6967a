"""The rows of a score: held-out pairs and SFT rows, loaded and tokenised as the trainer does."""

from __future__ import annotations

import copy
import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.data.formats.model import Wish
from workbench.data.readers.source import open_source
from workbench.worker import dataset, deep_data
from workbench.worker.explain import explain_data
from workbench.worker.mapped_data import Task
from workbench.worker.stage_config import StageConfig
from workbench.worker.stages import load_splits

MOST_STREAMED = 500
"""Rows that are taken of held-out data that is streamed."""
SLICE_COLUMNS = ("category", "source", "topic", "task", "dataset", "language")
ROW = "workbench_row"
TEXT_LIMIT = 300
BUILDERS = {"json": "json", "jsonl": "json", "csv": "csv", "parquet": "parquet", "arrow": "arrow"}
"""The loader of `datasets` for a kind of file that it reads as it stands."""


@dataclass(frozen=True)
class Rows:
    """A split to score.

    Attributes:
        split: The rows as loaded, each with its number in the column `ROW`.
        source: What they are, in words.
        total: Rows that there are; `split` may have fewer.
        files: Size and sha256 of each local file.
    """

    split: Any
    source: str
    total: int
    files: list[dict[str, Any]] = field(default_factory=list)


def held_out(config: StageConfig, file: str, most: int, folder: Path) -> Rows:
    """The pairs that a stage's trainer held out, or those of a file.

    Args:
        file: A data file in any shape that TRL's DPO takes; empty for the run's own.
        most: How many rows at most, the first ones; 0 for all.

    Raises:
        ProblemError: There are none, or DPO cannot read them.
    """
    if file:
        split, files = read_file(Path(file), "dpo"), [dataset.describe_file(Path(file))]
        source = Path(file).name
    else:
        splits, name = load_splits(config, folder), config.script.dataset_test_split
        if config.stage != "dpo" or name not in splits:
            what = "the run has held out no pairs"
            hint = "Give pairs that it was not trained on: --data FILE."
            raise ProblemError(Problem(what, "test_split_size", hint))
        split, source = splits[name], f"the held-out split of {config.stage}"
        files = dataset.file_hashes(config.data, config.script)
    dataset.check_columns("dpo", split, "")
    rows = first_rows(numbered(split, most), most, source, files)
    dataset.check_values("dpo", rows.split)
    return rows


def sft_rows(config: StageConfig, file: str, most: int, folder: Path) -> Rows:
    """Rows of SFT: the held-out ones if there are any, else some of those it was trained on.

    Raises:
        ProblemError: They cannot be read, or SFT cannot use them.
    """
    if file:
        split, files = read_file(Path(file), "sft"), [dataset.describe_file(Path(file))]
        source = Path(file).name
    else:
        splits, name = load_splits(config, folder), config.script.dataset_test_split
        held = name in splits
        name = name if held else config.script.dataset_train_split
        split = dataset.pick_split(splits, name, "dataset_train_split")
        source = f"the {'held-out' if held else 'training'} rows of sft"
        files = dataset.file_hashes(config.data, config.script)
    dataset.check_columns("sft", split, getattr(config.training, "dataset_text_field", "text"))
    # Files are often sorted: a few rows of the whole say more than the first ones.
    split = numbered(split, most).shuffle(seed=config.training.seed)
    rows = first_rows(split, most, source, files)
    dataset.check_values("sft", rows.split)
    return rows


def read_file(path: Path, stage: str) -> Any:
    """The rows of one local data file, mapped to TRL's columns where they have another shape.

    Raises:
        ProblemError: It is not there, broken, or nothing that the stage could be trained on.
    """
    from datasets import load_dataset

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "rows.jsonl"
        task = Task(stage, Wish(), Path(folder), lambda _: None)
        if task.map_files([path], target):
            path, kind = target, "json"
        else:
            with open_source(path) as source:
                kind = BUILDERS[source.kind]
        try:
            return load_dataset(kind, data_files=str(path), split="train")
        except Exception as error:
            raise ProblemError(explain_data(error, path.name, str(path), None)) from error


def numbered(split: Any, most: int) -> Any:
    """A split in memory, with the number of each row from 0; of a stream the first rows."""
    from datasets import Dataset

    if not hasattr(split, "__len__"):
        split = Dataset.from_list(list(split.take(most or MOST_STREAMED)))
    if ROW in split.column_names:
        split = split.remove_columns(ROW)
    return split.add_column(ROW, list(range(len(split))))


def first_rows(split: Any, most: int, source: str, files: list[dict[str, Any]]) -> Rows:
    """The first rows of a numbered split."""
    total = len(split)
    chosen = split.select(range(most)) if most and most < total else split
    return Rows(chosen, source, total, files)


def prepare_pairs(config: StageConfig, rows: Any, tokenizer: Any) -> list[dict[str, Any]]:
    """Pairs as TRL's DPO trainer prepares them; those that `max_length` leaves nothing of are gone.

    Raises:
        ProblemError: TRL cannot prepare them, or none is left.
    """
    if problems := list(deep_data.check_template(rows, tokenizer)):
        raise ProblemError(*problems)
    try:
        prepared = deep_data.tokenise(config, rows, tokenizer)
    except Exception as error:
        what = (
            f"TRL cannot prepare the pairs: {str(error).splitlines()[0] if str(error) else error!r}"
        )
        hint = "Give rows of prompt, chosen and rejected; `check --deep` looks at a recipe's data."
        raise ProblemError(Problem(what, "datasets", hint)) from error
    most = config.training.max_length
    drops = most is not None and config.training.truncation_mode == "keep_start"
    kept = [row for row in prepared if not drops or len(row["prompt_ids"]) < most]
    if not kept:
        what = f"all {len(rows)} prompts are longer than max_length ({most} tokens)"
        raise ProblemError(Problem(what, "max_length", "Give pairs with shorter prompts."))
    return kept


def prepare_sft(
    config: StageConfig, rows: Any, tokenizer: Any
) -> tuple[list[dict[str, Any]], bool]:
    """SFT rows with `input_ids` and `labels`; and whether the labels are answers only.

    Of prompts with completions only the completions count, whatever the recipe says: what is
    asked here is what the model says, not what it is told.
    """
    config = copy.copy(config)
    config.training = copy.copy(config.training)
    pairs = {"prompt", "completion"} <= set(rows.column_names)
    if pairs:
        config.training.completion_only_loss = True
    prepared = deep_data.tokenise(config, rows, tokenizer)
    most, mode = config.training.max_length, config.training.truncation_mode
    keep = slice(-most, None) if most and mode == "keep_end" else slice(most)
    found = []
    for row in prepared:
        ids, labels = row["input_ids"][keep], row["labels"][keep]
        if any(label != deep_data.IGNORED for label in labels[1:]):
            found.append({**row, "input_ids": ids, "labels": labels})
    return found, pairs or bool(getattr(config.training, "assistant_only_loss", False))


def fingerprint(rows: Sequence[dict[str, Any]]) -> str:
    """The sha256, first 16 hex digits, of the tokens that are scored, in their order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps([row[f"{name}_ids"] for name in deep_data.PAIR]).encode())
    return digest.hexdigest()[:16]


def prompt_text(row: dict[str, Any]) -> str:
    """What a row asks, for people: the last message of the user, cut."""
    prompt = row.get("prompt") or row.get("messages") or row.get("text") or ""
    if isinstance(prompt, list):
        asked = [one for one in prompt if one.get("role") == "user"] or prompt
        prompt = asked[-1].get("content") or "" if asked else ""
    return str(prompt)[:TEXT_LIMIT]


def slices_of(row: dict[str, Any]) -> dict[str, str]:
    """The columns by which rows are grouped, where a row has them."""
    return {name: str(row[name])[:80] for name in SLICE_COLUMNS if row.get(name) not in (None, "")}
