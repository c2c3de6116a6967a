"""A run that another trainer has left: its `trainer_state.json`, read as curves of a run of ours.

Only text is read: `training_args.bin` is a pickle, which may run code, and is never opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.base.files import is_number
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import open_regular, read_small
from workbench.base.text import clean
from workbench.run.checkpoints import ADAPTER_CONFIG, STATE, checkpoint_folders, step_of
from workbench.run.stage_history import MAX_NAMES, is_step

STATE_LIMIT_BYTES = 64 * 1024 * 1024
CARD_BYTES = 64 * 1024
MOST_ROWS = 500_000
NAME_CHARACTERS = 200
LIST_ITEMS = 64
MARK = '"log_history"'
PAIRS = ("rewards/accuracies", "rewards/margins")
"""Metrics that only a training on pairs logs."""
CLOSING = ("train_loss", "train_runtime", "total_flos")
"""What the last row of a finished training has, which is no point of a curve."""
ADAPTER_SETTINGS = {
    "r": "lora_r",
    "lora_alpha": "lora_alpha",
    "lora_dropout": "lora_dropout",
    "target_modules": "lora_target_modules",
    "use_dora": "use_dora",
    "use_rslora": "use_rslora",
}
PACKAGES = {
    "TRL": "trl",
    "Transformers": "transformers",
    "Pytorch": "torch",
    "PEFT": "peft",
    "Datasets": "datasets",
}
_VERSION = re.compile(r"^- (\w+):? v?(\d[\w.+-]{0,40})\s*$", re.MULTILINE)
_BASE = re.compile(r"^base_model: *[\"']?([\w./:-]{1,200})[\"']?\s*$", re.MULTILINE)
_GIVEN = "Give a trainer_state.json, or the folder that a trainer has written."


@dataclass(frozen=True)
class ForeignRun:
    """What the files of a foreign run tell.

    Attributes:
        state_file: The trainer_state.json.
        sha256: Of its bytes; tells whether it was imported before.
        name: Of the folder that the trainer wrote.
        stage: `dpo` where it logged rewards of pairs, else `sft`.
        rows: Log rows as metrics.jsonl has them, in their order.
        left_out: Entries of the log that are no rows of numbers.
        step, max_steps: Optimizer steps done and planned; the latter 0 where it is not told.
        ended: Unix seconds, when the file was written.
        seconds: How long it trained, 0 where it is not told.
        results: What run.json keeps of a stage that has ended.
        settings: Of TRL, as far as the files tell them; all others are unknown.
        versions: Of the libraries, as far as they are told.
    """

    state_file: Path
    sha256: str
    name: str
    stage: str
    rows: tuple[dict[str, Any], ...]
    left_out: int
    step: int
    max_steps: int
    ended: float
    seconds: float
    results: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether it has done all the steps that were planned."""
        return self.step >= self.max_steps


def find_state(path: Path) -> Path | None:
    """The trainer_state.json that a path means; None where it is something else.

    Of a folder it is the one with the most steps: its own, or that of its newest checkpoint.
    """
    try:
        if path.is_dir():
            folders = [path, *reversed(checkpoint_folders(path))]
            return next((f / STATE for f in folders if (f / STATE).exists()), None)
        if path.name == STATE:
            return path if path.exists() else None
        looks_so = path.suffix == ".json" and MARK in read_small(path, STATE_LIMIT_BYTES)
    except (OSError, ValueError):
        return None
    return path if looks_so else None


def read_foreign_run(state_file: Path, *, stage: str | None = None) -> ForeignRun:
    """Read a trainer_state.json and the small text files beside it.

    Args:
        stage: What it trained; told by its metrics when not given.

    Raises:
        ProblemError: It cannot be read or is no state of a trainer (exit code 2).
    """
    data, ended = _bytes(state_file)
    state = _object(data, state_file)
    history = state.get("log_history")
    if not isinstance(history, list) or len(history) > MOST_ROWS:
        what = "it has no log_history" if not isinstance(history, list) else "its log is too long"
        raise _refuse(what, state_file, _GIVEN)
    names = {key for entry in history[:MOST_ROWS] if isinstance(entry, dict) for key in entry}
    told = "dpo" if any(name.removeprefix("eval_") in PAIRS for name in names) else "sft"
    stage = stage or told
    rows = tuple(_rows(history, stage))
    if not rows:
        raise _refuse("its log has no row of numbers", state_file, _GIVEN)
    closing = next((e for e in reversed(history) if isinstance(e, dict) and "train_loss" in e), {})
    done = state.get("global_step")
    steps = max(done if is_step(done) else 0, *(row["step"] for row in rows))
    planned = state.get("max_steps")
    folder = state_file.absolute().parent
    return ForeignRun(
        state_file=state_file.absolute(),
        sha256=hashlib.sha256(data).hexdigest(),
        name=clean((folder.parent if step_of(folder) >= 0 else folder).name, newlines=False),
        stage=stage,
        rows=rows,
        left_out=len(history) - len(rows) - (1 if closing else 0),
        step=steps,
        max_steps=planned if is_step(planned) else 0,
        ended=ended,
        seconds=_seconds(closing),
        results=_results(closing, rows, steps),
        settings=_settings(state, folder),
        versions=_versions(folder),
    )


def _refuse(what: str, path: Path, hint: str) -> ProblemError:
    return ProblemError(Problem(what, str(path), hint), exit_code=2)


def _bytes(path: Path) -> tuple[bytes, float]:
    try:
        with open_regular(path) as file:
            status = os.fstat(file.fileno())
            if status.st_size > STATE_LIMIT_BYTES:
                limit = f"{STATE_LIMIT_BYTES // 2**20} MiB"
                raise _refuse(
                    "it is too large for the state of a trainer", path, f"At most {limit}."
                )
            chunks = iter(lambda: file.read(1 << 20), b"")
            return b"".join(chunks), status.st_mtime
    except OSError as error:
        raise _refuse(f"cannot read it: {error.strerror}", path, _GIVEN) from None


def _object(data: bytes, path: Path) -> dict[str, Any]:
    try:
        state = json.loads(data)
    except (ValueError, RecursionError):
        raise _refuse("it is not JSON", path, _GIVEN) from None
    if not isinstance(state, dict):
        raise _refuse("it is not the state of a trainer", path, _GIVEN)
    return state


def _rows(history: list[Any], stage: str) -> Iterator[dict[str, Any]]:
    """Rows with at least one metric; what is not finite is null and named, as our worker does."""
    known: set[str] = set()
    for entry in history:
        step = entry.get("step") if isinstance(entry, dict) else None
        if not is_step(step) or any(name in entry for name in CLOSING):
            continue
        row: dict[str, Any] = {"stage": stage, "step": step}
        broken = []
        for raw, value in entry.items():
            name = clean(raw[:NAME_CHARACTERS], newlines=False).strip()
            if name in ("", "step", "stage", "event", "time", "non_finite") or not _numeric(value):
                continue
            known.add(name)
            if len(known) > MAX_NAMES:
                known.discard(name)
                continue
            row[name] = value if is_number(value) else None
            if row[name] is None:
                broken.append(name)
        if broken:
            row["non_finite"] = broken
        if len(row) > (3 if "epoch" in row else 2):
            yield row


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _seconds(closing: Mapping[str, Any]) -> float:
    seconds = closing.get("train_runtime")
    return max(0.0, float(seconds)) if seconds is not None and is_number(seconds) else 0.0


def _results(
    closing: Mapping[str, Any], rows: tuple[dict[str, Any], ...], steps: int
) -> dict[str, Any]:
    if not closing:
        return {}
    found: dict[str, Any] = {"steps": steps}
    if is_number(closing.get("train_loss")):
        found["train_loss"] = closing["train_loss"]
    if seconds := _seconds(closing):
        found["seconds"] = seconds
    held_out: Mapping[str, Any] = next((row for row in reversed(rows) if "eval_loss" in row), {})
    measured = {name: value for name, value in held_out.items() if name.startswith("eval_")}
    return {**found, "eval": measured} if measured else found


def _settings(state: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Settings that state and adapter_config.json tell; what they leave open is left out."""
    adapter = _small_json(folder / ADAPTER_CONFIG)
    model = adapter.get("base_model_name_or_path") or _small_json(folder / "config.json").get(
        "_name_or_path"
    )
    if not isinstance(model, str) or not model:
        card = _BASE.search(_card(folder))
        model = card[1] if card else ""
    found: dict[str, Any] = {}
    if model:
        found["model_name_or_path"] = clean(model[:NAME_CHARACTERS], newlines=False)
    if adapter:
        found["use_peft"] = True
    for name, setting in ADAPTER_SETTINGS.items():
        if (value := _plain(adapter.get(name))) is not None:
            found[setting] = value
    sizes = {
        "per_device_train_batch_size": state.get("train_batch_size"),
        "max_steps": state.get("max_steps"),
    }
    found |= {name: value for name, value in sizes.items() if is_step(value) and value > 0}
    return found


def _plain(value: Any) -> Any:
    """A number, text or list of texts; None for anything else."""
    if isinstance(value, bool) or is_number(value):
        return value
    if isinstance(value, str):
        return clean(value[:NAME_CHARACTERS], newlines=False)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        items = [clean(item[:NAME_CHARACTERS], newlines=False) for item in value[:LIST_ITEMS]]
        return sorted(items)
    return None


def _versions(folder: Path) -> dict[str, str]:
    """Versions that the model card lists, and that of PEFT."""
    found = {
        PACKAGES[name]: version
        for name, version in _VERSION.findall(_card(folder))
        if name in PACKAGES
    }
    peft = _small_json(folder / ADAPTER_CONFIG).get("peft_version")
    if isinstance(peft, str) and peft:
        found["peft"] = clean(peft[:40], newlines=False)
    return dict(sorted(found.items()))


def _card(folder: Path) -> str:
    try:
        with open_regular(folder / "README.md") as file:
            return file.read(CARD_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _small_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_small(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
