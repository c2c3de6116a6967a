"""Axolotl's lists of data sets, whose `type` says which columns the data has."""

from __future__ import annotations

from typing import Any

from workbench.base.files import is_number
from workbench.recipe.exchange.common import column_hint, data_settings
from workbench.recipe.exchange.draft import Draft

PREFERENCES = {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
ROWS = "Its rows hold"
DPO_TYPES: dict[str, tuple[dict[str, str], str]] = {
    "passthrough": (PREFERENCES, ""),
    "chatml": (PREFERENCES, ""),
    "llama3": (PREFERENCES, ""),
    "intel": ({**PREFERENCES, "question": "prompt"}, "system"),
    "icr": ({**PREFERENCES, "input": "prompt"}, "system"),
    "prompt_pairs": (PREFERENCES, "system"),
    "argilla": (
        {"instruction": "prompt", "chosen_response": "chosen", "rejected_response": "rejected"},
        "system",
    ),
    "argilla_chat": ({"chosen": "chosen", "rejected": "rejected"}, "messages"),
    "ultra": (PREFERENCES, "messages and a text prompt"),
    "nectar": (PREFERENCES, ""),
}
"""The columns of a DPO type (the part behind the dot), TRL's by the data's, and what is odd."""

SFT_TYPES = {
    "alpaca": "instruction, input and output: join instruction and input to prompt, rename output "
    "to completion",
    "sharegpt": "conversations of from and value: rewrite them as messages of role and content",
    "completion": "text",
    "chat_template": "messages",
}
FIELDS = {"path": "path", "name": "name", "split": "split", "data_files": "data_files"}


def read_datasets(draft: Draft) -> None:
    """Read `datasets`, `test_datasets` and `val_set_size` together."""
    entries = draft.value("datasets")
    parts = []
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict):
            parts.append(_part(draft, ("datasets", index), entry))
    held_out = draft.value("val_set_size")
    settings = data_settings(parts, held_out if is_number(held_out) and held_out else None)
    draft.give(("datasets",), settings)
    _held_out(draft, held_out, settings)
    _test_datasets(draft, settings, parts)


def _part(draft: Draft, path: tuple[str | int, ...], entry: dict[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = {}
    for name, value in entry.items():
        if value is None:
            continue
        if name in FIELDS:
            part[name] = value
            draft.tell((*path, name), f"{name} of the data: {value}")
        elif name == "ds_type":
            draft.tell((*path, name), f"path of the data: {value}", "where it is a file")
        elif name == "type":
            _type(draft, (*path, name), value)
        elif name in ("field_messages", "field_chosen", "field_rejected", "field"):
            wanted = {"field": "text"}.get(name, name.removeprefix("field_"))
            _columns(draft, (*path, name), {str(value): wanted})
        elif name.startswith("field_"):
            hint = f"The data has its {name.removeprefix('field_')} in {value}: "
            draft.lack((*path, name), f"{hint}rewrite it into prompt, or into messages.")
    kind, files = entry.get("ds_type"), part.get("data_files")
    if isinstance(kind, str) and files is None and draft_is_file(part.get("path")):
        part = {**part, "path": kind.replace("jsonl", "json"), "data_files": part["path"]}
    return part


def draft_is_file(path: Any) -> bool:
    """Whether a data path has a suffix, as files do and hub ids do not."""
    return isinstance(path, str) and "." in path.rsplit("/", 1)[-1]


def _type(draft: Draft, path: tuple[str | int, ...], value: Any) -> None:
    if isinstance(value, dict):
        columns = {
            str(column): wanted
            for name, wanted in (
                *(("field_prompt", "prompt"), ("field_instruction", "prompt")),
                *(("field_chosen", "chosen"), ("field_rejected", "rejected")),
                ("field_output", "completion"),
            )
            if (column := value.get(name))
        }
        _columns(draft, path, columns)
        return
    family, _, kind = str(value).partition(".")
    if draft.stage == "dpo":
        _dpo_type(draft, path, family, kind)
    elif family in ("completion", "chat_template"):
        draft.drop(path, f"TRL reads the column {SFT_TYPES[family]} as it is")
    elif family in SFT_TYPES:
        draft.lack(path, f"{ROWS} {SFT_TYPES[family]}; or messages.")
    else:
        draft.lack(path, f"TRL reads messages, prompt and completion, or text, not {value}.")


def _dpo_type(draft: Draft, path: tuple[str | int, ...], family: str, kind: str) -> None:
    if family == "chat_template":
        hint = "Rename the column messages to prompt; chosen and rejected must be lists of messages"
        draft.lack(path, f"{hint} ([{{role: assistant, content: ...}}]), not single ones.")
        return
    known = DPO_TYPES.get(kind or family)
    if known is None:
        draft.lack(path, "TRL reads the columns prompt, chosen and rejected: rename the data's.")
        return
    columns, odd = known
    hints = []
    if renamed := column_hint(columns):
        hints.append(renamed)
    if odd == "messages and a text prompt":
        hints.append(
            "Its rows hold a text prompt beside lists of messages, which TRL does not take: write "
            "columns: [chosen, rejected] into the entry of datasets."
        )
    elif odd == "system" and kind != "prompt_pairs":
        hints.append("A column system is not read: put it in front of prompt, or use messages.")
    if hints:
        draft.lack(path, " ".join(hints))
    else:
        draft.drop(path, "the columns have TRL's names; the tokenizer's chat template is used")


def _columns(draft: Draft, path: tuple[str | int, ...], columns: dict[str, str]) -> None:
    hint = column_hint(columns)
    if hint:
        draft.lack(path, hint)
    else:
        draft.drop(path, "the columns have TRL's names")


def _held_out(draft: Draft, value: Any, settings: dict[str, Any]) -> None:
    if value is None:
        return
    if not value:
        draft.drop(("val_set_size",), "no rows are held out")
    elif "test_split_size" in settings:
        draft.tell(("val_set_size",), f"test_split_size: {value}")
    else:
        draft.lack(("val_set_size",), "Write datasets: and test_split_size.")


def _test_datasets(draft: Draft, settings: dict[str, Any], parts: list[dict[str, Any]]) -> None:
    entries = draft.value("test_datasets")
    if not entries:
        return
    first = entries[0] if isinstance(entries, list) and isinstance(entries[0], dict) else {}
    plain = "dataset_name" in settings and len(entries) == 1
    if plain and first.get("path") == parts[0].get("path"):
        split = first.get("split") or "test"
        draft.give(("test_datasets",), {"dataset_test_split": split})
        draft.tell(("test_datasets",), f"dataset_test_split: {split}")
    else:
        hint = "TRL evaluates on another split of the same data, or on test_split_size of it."
        draft.lack(("test_datasets",), hint)
