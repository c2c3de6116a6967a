"""What several kinds of source share: settings that stay out of a file, data, precision."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from workbench.base.files import is_number
from workbench.base.problems import Problem, ProblemError
from workbench.recipe.caution import TOKEN_HINT
from workbench.recipe.exchange.draft import Draft
from workbench.recipe.yaml_file import Path

Reader = Callable[[Draft, str, Any], None]
"""Reads one top key of the source: the draft, the key, its value."""

TRACKERS = ("wandb", "tensorboard", "mlflow", "trackio", "swanlab", "comet_ml")
BUILDERS = {
    ".json": "json",
    ".jsonl": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".txt": "text",
}
"""Name of the reader in `datasets` by a file's suffix."""

_LOGIN = re.compile(r"^token$|hub_token|auth_token|api_key|secret|passw", re.IGNORECASE)
UPLOAD_HINT = "nothing is uploaded; to upload, set push_to_hub: true and log in to the hub"
RESUME_HINT = "a stopped run goes on with `dpo-workbench resume RUN`"
TEMPLATE_HINT = (
    "The tokenizer's own chat template is used. Where the model has none: for SFT write "
    "chat_template_path: with a file or a folder that has one; for DPO put it into the tokenizer."
)


def refuse(what: str, where: str, hint: str = "Only DPO and SFT can be imported.") -> ProblemError:
    """The one error of a file of which nothing can be imported."""
    return ProblemError(Problem(what, where, hint))


def stay_out(draft: Draft, key: str, value: Any, path: Path | None = None) -> bool:
    """Leave out what a recipe must not decide: foreign code, uploads, logins, an old run."""
    path = path or (key,)
    if _LOGIN.search(key) and value not in (None, False):
        draft.drop(path, f"a login does not belong into a file. {TOKEN_HINT}")
    elif key == "trust_remote_code" and value:
        hint = "if you trust the model's author, say --trust-remote-code MODEL at the launch"
        draft.drop(path, f"a file cannot allow a model's own code: {hint}")
    elif (key == "push_to_hub" and value) or key.startswith(("hub_", "push_to_hub_")):
        draft.drop(path, UPLOAD_HINT)
    elif key in ("resume_from_checkpoint", "auto_resume_from_checkpoints"):
        draft.drop(path, RESUME_HINT)
    else:
        return False
    return True


def rename(new: str) -> Reader:
    """A reader for a setting that only has another name."""

    def read(draft: Draft, key: str, value: Any) -> None:
        draft.take((key,), {new: value})

    return read


def needless(why: str) -> Reader:
    """A reader for a setting that is left out."""

    def read(draft: Draft, key: str, value: Any) -> None:
        draft.drop((key,), why)

    return read


def missing(hint: str) -> Reader:
    """A reader for a setting without an equal; switched off it is left out."""

    def read(draft: Draft, key: str, value: Any) -> None:
        if value in (None, False, "", [], {}):
            draft.drop((key,), "it is empty or off")
        else:
            draft.lack((key,), hint)

    return read


def warmup_share(draft: Draft, path: Path, value: Any, *, steps: Any = None) -> None:
    """`warmup_ratio`: a share of all steps, which TRL writes as `warmup_steps` below 1."""
    share = float(value) if is_number(value) else None
    if share is None:
        draft.take(path, {"warmup_steps": value})
    elif steps:
        draft.drop(path, "warmup_steps counts where both are given")
    elif share <= 0:
        draft.drop(path, "without it there is no warmup either")
    elif share >= 1:
        draft.lack(path, "A warmup as long as the training has no equal. Write warmup_steps: 0.1.")
    else:
        draft.take(path, {"warmup_steps": share}, "below 1 it is a share of all steps")


def add_sft_loss(losses: Any, weights: Any, weight: Any) -> dict[str, Any]:
    """DPO's losses with the SFT loss beside them, which `rpo_alpha` and `pref_ftx` weigh."""
    names = list(losses) if isinstance(losses, list) else [losses or "sigmoid"]
    shares = list(weights) if isinstance(weights, list) else [1.0] * len(names)
    return {"loss_type": [*names, "sft"], "loss_weights": [*shares, float(weight)]}


def data_file(value: Any) -> str:
    """Name of the reader in `datasets` where a text names a data file, else an empty text."""
    if not isinstance(value, str) or re.match(r"[a-z0-9]+://", value):
        return ""
    return BUILDERS.get(FilePath(value.removesuffix(".gz")).suffix.lower(), "")


def data_settings(parts: Sequence[Mapping[str, Any]], test_size: Any = None) -> dict[str, Any]:
    """TRL's settings for data: `dataset_name` where it can say it, else `datasets`.

    Args:
        parts: TRL's DatasetConfig fields of each source; `path` is a hub id, a folder or a file.
        test_size: Share or number of rows to hold out.
    """
    entries = [_entry(part) for part in parts]
    plain = len(entries) == 1 and set(entries[0]) <= {"path", "name", "split"}
    if plain and not test_size and "[" not in str(entries[0].get("split", "")):
        entry = entries[0]
        names = {"path": "dataset_name", "name": "dataset_config", "split": "dataset_train_split"}
        found = {new: entry[old] for old, new in names.items() if old in entry}
        return {k: v for k, v in found.items() if (k, v) != ("dataset_train_split", "train")}
    settings: dict[str, Any] = {"datasets": entries} if entries else {}
    if test_size:
        settings["test_split_size"] = test_size
    return settings


def _entry(part: Mapping[str, Any]) -> dict[str, Any]:
    entry = {key: value for key, value in part.items() if value not in (None, "", [])}
    builder = data_file(entry.get("path"))
    if builder and "data_files" not in entry:
        rest = {key: value for key, value in entry.items() if key != "path"}
        entry = {"path": builder, "data_files": entry["path"], **rest}
    return entry


def sliced(split: str, share: float) -> str:
    """A split of which only the first rows are read: `train[:25%]` for a share of 0.25."""
    return f"{split}[:{max(1, round(100 * share))}%]"


def column_hint(columns: Mapping[str, str]) -> str:
    """What to do about columns that TRL knows by other names: TRL's name by the data's."""
    pairs = ", ".join(f"{old} to {new}" for old, new in columns.items() if old != new)
    return f"Rename the columns of the data: {pairs}." if pairs else ""
