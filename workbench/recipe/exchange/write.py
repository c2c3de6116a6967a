"""A recipe as text: written anew in a sensible order, or the source with its settings replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.base.problems import ProblemError
from workbench.base.text import clean
from workbench.recipe.exchange.draft import Draft
from workbench.recipe.exchange.names import training_arguments
from workbench.recipe.schema import STAGES, load_schema
from workbench.recipe.yaml_edit import REMOVE, dump, edit, rename
from workbench.recipe.yaml_file import Path, parse

MODEL = ("load_in_8bit", "load_in_4bit", "bnb_4bit_quant_type", "use_bnb_nested_quant",
         "bnb_4bit_quant_storage", "model_init_kwargs")  # fmt: skip
DATA = ("dataset_text_field", "dataset_kwargs", "dataset_num_proc", "chat_template_path",
        "max_length", "truncation_mode", "packing", "packing_strategy", "eval_packing")  # fmt: skip
MOST_KEYS = 400
GROUPS = ("Model", "Adapter", "Data", "Method", "Training")


def write_recipe(title: str, settings: Mapping[str, Any], remarks: Sequence[str] = ()) -> str:
    """A new recipe: a comment that is its title, settings by group, remarks as comments.

    Args:
        settings: A flat config, or one with stage sections.
        remarks: Lines for the end.
    """
    lines = [f"# {clean(title, newlines=False)}"]
    for group, keys in _grouped(settings):
        lines += ["", f"# {group}"]
        lines += [line for key in keys for line in lines_of(key, settings[key])]
    for stage in STAGES:
        if isinstance(settings.get(stage), Mapping):
            lines += ["", *lines_of(stage, settings[stage])]
    return add_remarks("\n".join(lines) + "\n", remarks)


def lines_of(key: str, value: Any, indent: str = "") -> list[str]:
    """A setting as lines of YAML: mappings, and lists of them, in blocks, all else on one line."""
    if isinstance(value, Mapping) and value:
        inner = [line for k, v in value.items() for line in lines_of(str(k), v, f"{indent}  ")]
        return [f"{indent}{dump(key)}:", *inner]
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        lines = [f"{indent}{dump(key)}:"]
        for item in value:
            inner = [x for k, v in item.items() for x in lines_of(str(k), v, f"{indent}    ")]
            if inner:
                inner[0] = f"{indent}  - {inner[0].strip()}"
            lines += inner or [f"{indent}  - {{}}"]
        return lines
    return [f"{indent}{dump(key)}: {dump(value)}"]


def add_remarks(text: str, remarks: Sequence[str]) -> str:
    """The text with a comment line for each remark at its end."""
    if not remarks:
        return text
    end = "" if text.endswith("\n") else "\n"
    lines = "\n".join(f"# {clean(remark, newlines=False)}" for remark in remarks)
    return f"{text}{end}\n{lines}\n"


def _grouped(settings: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    order = {name: index for index, name in enumerate(load_schema().names())}
    groups: dict[str, list[str]] = {group: [] for group in GROUPS}
    for key in sorted(settings, key=lambda key: order.get(key, len(order))):
        if key not in STAGES:
            groups[_group(key)].append(key)
    yield from ((group, keys) for group, keys in groups.items() if keys)


def _group(key: str) -> str:
    field = load_schema().field(key)
    source = field.source if field else ""
    if key in MODEL:
        return "Model"
    if source == "ModelConfig":
        return "Adapter" if key.startswith(("lora_", "use_")) else "Model"
    if key in DATA or source in ("ScriptArguments", "DatasetMixtureConfig"):
        return "Data"
    return "Training" if key in training_arguments() or not source else "Method"


def rewrite(text: str, drafts: Sequence[Draft]) -> str | None:
    """The source's text with its settings replaced; comments and order stay.

    Returns:
        None where it cannot be edited in place.
    """
    if sum(len(draft.data) for draft in drafts) > MOST_KEYS:
        return None  # each change reads the text again
    new = text
    try:
        for draft in drafts:
            new = _rewrite_section(new, draft)
    except ProblemError:
        return None
    for draft in drafts:
        new = _list_in_lines(text, new, draft)
    return new


def _rewrite_section(text: str, draft: Draft) -> str:
    """Rename keys where they stand, then remove, change and add what still differs."""
    used = set(draft.data)
    for key, given in draft.given.items():
        new = next((name for name in given if name not in used), None)
        if key not in given and new is not None:
            text = rename(text, (*draft.prefix, key), new)
            used.add(new)
    now = _section(text, draft)
    changes: dict[Path, Any] = {
        (*draft.prefix, key): REMOVE for key in now if key not in draft.settings
    }
    for key, value in draft.settings.items():
        if key not in now or type(now[key]) is not type(value) or now[key] != value:
            changes[(*draft.prefix, key)] = value
    return edit(text, changes)


def _list_in_lines(old: str, new: str, draft: Draft) -> str:
    """Data sets that were put on one long line, in a block."""
    value, indent = draft.settings.get("datasets"), "  " * len(draft.prefix)
    line = f"{indent}datasets: {dump(value)}"
    if not isinstance(value, list) or f"{line}\n" in old or new.count(f"{line}\n") != 1:
        return new
    return new.replace(line, "\n".join(lines_of("datasets", value, indent)))


def _section(text: str, draft: Draft) -> dict[str, Any]:
    """The draft's mapping as the text has it, without the sections in it."""
    found: Any = parse(text, "recipe").data
    for key in draft.prefix:
        found = found.get(key)
    mapping = found if isinstance(found, dict) else {}
    return {key: value for key, value in mapping.items() if not _is_section(draft, key, value)}


def _is_section(draft: Draft, key: str, value: Any) -> bool:
    return not draft.prefix and key in STAGES and isinstance(value, dict)
