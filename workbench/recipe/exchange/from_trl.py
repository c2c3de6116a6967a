"""Flat files in TRL's own words: of today, of older versions, and the alignment-handbook's."""

from __future__ import annotations

from typing import Any

from workbench.base.files import is_number
from workbench.recipe.caution import ALLOWED_VARIABLES
from workbench.recipe.exchange.common import (
    Reader,
    add_sft_loss,
    data_settings,
    sliced,
    stay_out,
    warmup_share,
)
from workbench.recipe.exchange.draft import Draft
from workbench.recipe.old_keys import GONE, RENAMED
from workbench.recipe.schema import OWN_KEYS, STAGES, load_schema
from workbench.recipe.yaml_file import Path

DELETE = "Delete it"
PARTS = {"id": "path", "path": "path", "config": "name", "name": "name", "split": "split",
         "columns": "columns"}  # fmt: skip
"""The handbook's name of a data source's field, and TRL's."""


def read_flat(draft: Draft) -> None:
    """Read a file, or one section of it, whose settings are TRL's or once were."""
    for key, value in draft.data.items():
        if key in STAGES and isinstance(value, dict) and not draft.prefix:
            continue  # it has a draft of its own
        if stay_out(draft, key, value):
            continue
        READERS.get(key, _read_any)(draft, key, value)
    draft.finish()


def _read_any(draft: Draft, key: str, value: Any) -> None:
    schema = load_schema()
    field = schema.field(key, draft.stage)
    if key in OWN_KEYS or key in load_schema().launch or key in STAGES:
        draft.give((key,), {key: value})
        draft.keep((key,))
    elif field is not None:
        if value is None and not field.optional:
            draft.drop((key,), "it is empty, and TRL's default counts")
        else:
            draft.take((key,), {key: value})
    elif key in RENAMED:
        _read_renamed(draft, key, value)
    elif key in GONE:
        _read_gone(draft, key, value)
    elif (other := schema.field(key)) is not None:
        draft.lack((key,), f"It is a setting of {other.stages[0]} alone.")
    # What nobody knows is accounted for at the end.


def _read_renamed(draft: Draft, key: str, value: Any) -> None:
    new = RENAMED[key]
    if value is None:
        draft.drop((key,), "it is empty")
    elif new in draft.data:
        draft.drop((key,), f"{new}, its name today, is given already")
    else:
        draft.take((key,), {new: value})


def _read_gone(draft: Draft, key: str, value: Any) -> None:
    hint = GONE[key]
    if value in (None, False):
        draft.drop((key,), "it is empty or off")
    elif hint.startswith(DELETE):
        draft.drop((key,), hint.removeprefix(DELETE).lstrip(":, ").rstrip("."))
    else:
        draft.lack((key,), hint)


def _warmup_ratio(draft: Draft, key: str, value: Any) -> None:
    warmup_share(draft, (key,), value, steps=draft.value("warmup_steps"))


def _warmup_steps(draft: Draft, key: str, value: Any) -> None:
    if not value and draft.value("warmup_ratio"):
        draft.drop((key,), "it is 0, and warmup_ratio counts")
    else:
        _read_any(draft, key, value)


def _rpo_alpha(draft: Draft, key: str, value: Any) -> None:
    if value is None:
        draft.drop((key,), "it is empty")
        return
    if not is_number(value):
        draft.lack((key,), "Write loss_type: [sigmoid, sft] with loss_weights.")
        return
    both = add_sft_loss(draft.value("loss_type"), draft.value("loss_weights"), value)
    # A setting that stands in the file keeps its line, see `_losses`.
    own = {name: found for name, found in both.items() if name not in draft.data}
    draft.give((key,), own)
    draft.tell((key,), f"loss_type: {both['loss_type']}, loss_weights: {both['loss_weights']}")


def _losses(draft: Draft, key: str, value: Any) -> None:
    alpha = draft.value("rpo_alpha")
    if not is_number(alpha):
        _read_any(draft, key, value)
        return
    both = add_sft_loss(draft.value("loss_type"), draft.value("loss_weights"), alpha)
    draft.take((key,), {key: both[key]}, "with rpo_alpha's sft loss")


def _group_by_length(draft: Draft, key: str, value: Any) -> None:
    if value:
        draft.take((key,), {"train_sampling_strategy": "group_by_length"})
    else:
        draft.drop((key,), "it is off")


def _flash_attention(draft: Draft, key: str, value: Any) -> None:
    if value:
        draft.take((key,), {"attn_implementation": "flash_attention_2"})
    else:
        draft.drop((key,), "it is off")


def _accelerator(draft: Draft, key: str, value: Any) -> None:
    if value is None or "accelerator_config" in draft.data:
        _read_gone(draft, key, value)
    else:
        old = draft.settings.pop("accelerator_config", {})
        draft.take((key,), {"accelerator_config": {**old, key: value}})


def _chat_template(draft: Draft, key: str, value: Any) -> None:
    if value is None:
        draft.drop((key,), "it is empty")
    elif draft.stage == "sft":
        hint = "Save the template as a file NAME.jinja, and write chat_template_path: NAME.jinja."
        draft.lack((key,), hint)
    else:
        draft.lack((key,), "DPO uses the tokenizer's own chat template: put it there.")


def _environment(draft: Draft, key: str, value: Any) -> None:
    if not isinstance(value, dict):
        draft.give((key,), {key: value})
        draft.lack((key,), "Write `env: {OMP_NUM_THREADS: 8}`.")
        return
    for name in value:
        if name in ALLOWED_VARIABLES:
            draft.tell((key, name), f"env.{name}")
        else:
            draft.lack((key, name), "Set it in the shell that starts the run.")
    allowed = {name: text for name, text in value.items() if name in ALLOWED_VARIABLES}
    if allowed:
        draft.give((key,), {key: allowed})


def _mixer(draft: Draft, key: str, value: Any) -> None:
    """The handbook's first form: a share of each data set by its name, and splits for all."""
    if not isinstance(value, dict) or not value:
        draft.lack((key,), "Write dataset_name: with a hub id or a folder.")
        return
    splits = _texts(draft.value("dataset_splits")) or ["train", "test"]
    train = [split for split in splits if "train" in split]
    test = [split for split in splits if "test" in split and split not in train]
    configs = _texts(draft.value("dataset_configs"))
    parts = []
    for index, (name, share) in enumerate(value.items()):
        if not is_number(share) or not 0 < share <= 1:
            draft.lack((key, name), "Write it into datasets: with a share above 0, at most 1.")
            continue
        config = configs[index] if index < len(configs) else None
        for split in train:
            part = split if share == 1 else sliced(split, share)
            parts.append({"path": name, "name": config, "split": part})
        of_rows = "all rows" if share == 1 else f"{share:.0%} of its rows"
        draft.tell((key, name), f"{'dataset_name' if len(value) == 1 else 'path'}: {name}", of_rows)
    settings = data_settings(parts)
    draft.give((key,), {k: v for k, v in settings.items() if k != "dataset_train_split"})
    _mixer_splits(draft, settings, test)
    if draft.stage == "dpo":
        hint = (
            "The handbook took the prompt out of chosen. Where the data has a text column prompt "
            "beside lists of messages, write datasets: [{path: ..., split: ..., "
            "columns: [chosen, rejected]}] and test_split_size."
        )
        draft.lack((key,), hint)


def _mixer_splits(draft: Draft, settings: dict[str, Any], test: list[str]) -> None:
    key = "dataset_splits"
    if key in draft.data:
        if "datasets" not in settings:
            train = settings.get("dataset_train_split", "train")
            splits = {"dataset_train_split": train, "dataset_test_split": test[0] if test else None}
            draft.take((key,), {name: split for name, split in splits.items() if split})
        elif test:
            hint = f"A mixture has no test split of its own ({', '.join(test)}): "
            draft.lack((key,), hint + 'set test_split_size: 0.1, or eval_strategy: "no".')
        else:
            draft.tell((key,), "the split of each data set")
    if "dataset_configs" in draft.data:
        draft.tell(("dataset_configs",), "the name of each data set")


def _mixture(draft: Draft, key: str, value: Any) -> None:
    """The handbook's second form: a list of sources with weights."""
    entries = value.get("datasets") if isinstance(value, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        draft.lack((key,), "Write datasets: with a path for each entry.")
        return
    parts = [_mixture_part(draft, (key, "datasets", i), e) for i, e in enumerate(entries)]
    test_size = value.get("test_split_size")
    settings: dict[str, Any] = {"datasets": parts}
    if test_size is not None:
        settings["test_split_size"] = test_size
        draft.tell((key, "test_split_size"), f"test_split_size: {test_size}")
    if value.get("seed") is not None:
        draft.drop((key, "seed"), "the training's seed shuffles the rows and draws the test split")
    draft.give((key,), settings)


def _mixture_part(draft: Draft, path: Path, entry: dict[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = {}
    for name, value in entry.items():
        if name in PARTS and value is not None:
            part[PARTS[name]] = value
            draft.tell((*path, name), f"datasets[{path[-1]}].{PARTS[name]}: {value}")
    part.setdefault("split", "train")
    share = entry.get("weight")
    if share is None or share == 1:
        if "weight" in entry:
            draft.drop((*path, "weight"), "all rows are read anyway")
    elif is_number(share) and 0 < share < 1:
        part["split"] = sliced(part["split"], share)
        note = "a share of this data set's rows; TRL's fraction is one of the whole mixture"
        draft.tell((*path, "weight"), f"datasets[{path[-1]}].split: {part['split']}", note)
    else:
        draft.lack((*path, "weight"), "It is not between 0 and 1; all rows are read.")
    return part


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _with_mixer(draft: Draft, key: str, value: Any) -> None:
    """Splits and configs of a `dataset_mixer`, which tells of them itself."""
    if not isinstance(draft.value("dataset_mixer"), dict):
        _read_gone(draft, key, value)


READERS: dict[str, Reader] = {
    "chat_template": _chat_template,
    "dataset_configs": _with_mixer,
    "dataset_mixer": _mixer,
    "dataset_mixture": _mixture,
    "dataset_splits": _with_mixer,
    "dispatch_batches": _accelerator,
    "env": _environment,
    "group_by_length": _group_by_length,
    "loss_type": _losses,
    "loss_weights": _losses,
    "rpo_alpha": _rpo_alpha,
    "split_batches": _accelerator,
    "use_flash_attention_2": _flash_attention,
    "warmup_ratio": _warmup_ratio,
    "warmup_steps": _warmup_steps,
}
