"""The data of a stage: loaded as TRL's scripts do, checked, and counted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError

HASH_LIMIT_BYTES = 2 * 1024**3
TEXT, MESSAGES = "a text", "a list of messages"
READ_COLUMNS = {
    "sft": ("messages", "prompt", "completion"),
    "dpo": ("prompt", "chosen", "rejected"),
}


def load_datasets(script_args: Any, dataset_args: Any, seed: int) -> Any:
    """The dataset dictionary of a stage, by the rules of `trl sft` and `trl dpo`.

    The seed makes `test_split_size` hold out the same rows each time: a resumed run must not train
    on what it held out before. TRL's own scripts leave that split to chance.

    Raises:
        ProblemError: no dataset is named.
    """
    from datasets import load_dataset
    from transformers import set_seed
    from trl import get_dataset

    set_seed(seed)
    if dataset_args.datasets:
        return get_dataset(dataset_args)
    if script_args.dataset_name:
        return load_dataset(
            script_args.dataset_name,
            name=script_args.dataset_config,
            streaming=script_args.dataset_streaming,
        )
    raise ProblemError(
        Problem("no data is named", "datasets", "Give `datasets:` or `dataset_name:`.")
    )


def source(script_args: Any, dataset_args: Any) -> tuple[str, str]:
    """The names of a stage's data for a message, and the key that names them."""
    if not dataset_args.datasets:
        return str(script_args.dataset_name), "dataset_name"
    names = [list(flatten(part.data_files)) or [part.path] for part in dataset_args.datasets]
    return ", ".join(str(name) for part in names for name in part), "datasets"


def pick_split(datasets: Mapping[str, Any], split: str, key: str) -> Any:
    """One split of a dataset dictionary.

    Raises:
        ProblemError: there is no such split.
    """
    if split in datasets:
        return datasets[split]
    what = f"the data has no split {split!r}; it has {', '.join(map(str, datasets))}"
    hint = "Name another split, set test_split_size, or set eval_strategy: no."
    raise ProblemError(Problem(what, key, hint))


def check_columns(stage: str, dataset: Any, text_field: str) -> None:
    """Refuse data that the stage's trainer cannot read, before a model is loaded.

    Raises:
        ProblemError: a column is missing, or there is no row at all.
    """
    columns = dataset.column_names
    if columns is None:
        return
    if not columns or (hasattr(dataset, "__len__") and len(dataset) == 0):
        raise ProblemError(
            Problem("the data has 0 rows", "datasets", "Look at the file; it may be empty.")
        )
    present = f"The data has: {', '.join(columns)}."
    if stage == "dpo":
        missing = [name for name in ("chosen", "rejected") if name not in columns]
        if missing:
            what = f"the data has no column {' and no column '.join(missing)}, which DPO needs"
            raise ProblemError(Problem(what, "datasets", f"{present} Rename its columns."))
        return
    known = ({text_field}, {"messages"}, {"prompt", "completion"}, {"input_ids"})
    if not any(needed <= set(columns) for needed in known):
        what = f"the data has none of {text_field}, messages, or prompt with completion, for SFT"
        raise ProblemError(Problem(what, "datasets", f"{present} Rename its columns."))


def check_values(stage: str, dataset: Any) -> None:
    """Refuse rows whose columns are not all texts or all lists of messages with texts.

    Raises:
        ProblemError: the first row has other values, or values of different kinds.
    """
    if dataset.column_names is None:
        return
    row = next(iter(dataset))
    kinds = {name: kind_of(row[name]) for name in READ_COLUMNS[stage] if name in row}
    if stage == "sft" and "messages" not in kinds and "completion" not in kinds:
        return
    hint = "Make them all texts, or all lists of {role, content} messages whose content is a text."
    for name, kind in kinds.items():
        if kind not in ((MESSAGES,) if name == "messages" else (TEXT, MESSAGES)):
            raise ProblemError(Problem(f"{name} is {kind} in the first row", "datasets", hint))
    if len(set(kinds.values())) > 1:
        what = ", ".join(f"{name} is {kind}" for name, kind in kinds.items())
        raise ProblemError(Problem(f"columns of different kinds: {what}", "datasets", hint))


def kind_of(value: Any) -> str:
    """What a cell of a text or message column holds, in words."""
    if isinstance(value, str):
        return TEXT
    if isinstance(value, Mapping):
        return f"one object ({', '.join(map(str, value))})"
    if not isinstance(value, list) or not value:
        return "empty" if not value else f"of the kind {type(value).__name__}"
    first = value[0]
    if isinstance(first, Mapping) and {"role", "content"} <= set(first):
        content = first["content"]
        return "a list of messages in parts" if isinstance(content, list | Mapping) else MESSAGES
    keys = f" with {', '.join(map(str, first))}" if isinstance(first, Mapping) else ""
    return f"a list{keys}, without role and content"


def count_rows(before: Any, prepared: Any, max_length: int | None, packed: bool) -> dict[str, Any]:
    """Rows of a split before and after TRL's preparation.

    Args:
        before: the split as loaded.
        prepared: the trainer's version of it, tokenised.
        max_length: longest sequence in tokens; longer ones are cut.
        packed: whether sequences were joined into blocks; rows cannot be told apart then.

    Returns:
        rows, kept, dropped, truncated (rows of at least one sequence that reaches the limit in SFT,
        passes it in DPO) and the fingerprint; streamed data only says so.
    """
    if not hasattr(before, "__len__") or not hasattr(prepared, "__len__"):
        return {"streamed": True}
    counts: dict[str, Any] = {
        "rows": len(before),
        "fingerprint": getattr(before, "_fingerprint", ""),
    }
    if packed:
        return {**counts, "blocks": len(prepared)}
    counts |= {"kept": len(prepared), "dropped": len(before) - len(prepared)}
    if max_length is not None:
        counts["truncated"] = sum(length > max_length for length in sequence_lengths(prepared))
    return counts


def sequence_lengths(prepared: Any) -> Iterator[int]:
    """Tokens of each row's longest sequence; one more for an SFT row that was cut to fit."""
    columns = set(prepared.column_names)
    if {"prompt_ids", "chosen_ids", "rejected_ids"} <= columns:
        rows = prepared.select_columns(["prompt_ids", "chosen_ids", "rejected_ids"])
        for row in rows:
            answers = max(len(row["chosen_ids"]), len(row["rejected_ids"]))
            yield len(row["prompt_ids"]) + answers
    elif "input_ids" in columns:
        # SFT is cut while it is prepared: a row as long as the limit was cut or just fits.
        for ids in prepared.select_columns(["input_ids"])["input_ids"]:
            yield len(ids) + 1


def file_hashes(dataset_args: Any, script_args: Any) -> list[dict[str, Any]]:
    """Size and sha256 of each local data file that the config names."""
    named: list[Any] = [script_args.dataset_name]
    for dataset in dataset_args.datasets:
        named += [dataset.path, *flatten(dataset.data_files)]
    files: list[Path] = []
    for name in named:
        path = Path(str(name)) if name else None
        if path is None or not path.is_absolute():
            continue
        files += sorted(path.glob("*.json*")) if path.is_dir() else [path]
    return [describe_file(path) for path in files if path.is_file()]


def flatten(value: Any) -> Iterator[Any]:
    """The single names in a `data_files` value (a name, a list or a mapping)."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from flatten(item)
    elif value:
        yield value


def describe_file(path: Path) -> dict[str, Any]:
    """Path, bytes and sha256 (left out for files above 2 GiB) of a data file."""
    size = path.stat().st_size
    entry: dict[str, Any] = {"path": str(path), "bytes": size}
    if size <= HASH_LIMIT_BYTES:
        with path.open("rb") as file:
            entry["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    return entry
