"""Print the names, types, defaults, choices and help of every field that TRL's configs accept.

``python -m workbench.worker.schema_dump`` writes one JSON object to stdout. The recipe room keeps
it as a snapshot, so that forms, checks and error messages never need to import TRL.
"""

import argparse
import dataclasses
import enum
import json
import re
import sys
import types
import typing
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Literal, Union

PACKAGES = ("trl", "transformers", "peft", "torch", "datasets", "accelerate")
KINDS: tuple[tuple[type, str], ...] = ((bool, "bool"), (int, "int"), (float, "float"), (str, "str"))

NOT_FOR_FILES = {"help", "env", "aws_access_key_id", "aws_secret_access_key"}
"""Options of `accelerate launch` that a recipe cannot hold: `env` is TRL's own there."""

# Fields whose type is a plain string or a list of strings although the help names a closed set.
_QUOTED = r"[`'\"]+[\w-]+[`'\"]+"
_HELP_LISTS = re.compile(rf"[Pp]ossible values are:((?:\s*{_QUOTED}(?:\s*\(default\))?,?)+)")
_NAMED = re.compile(r"[`'\"]+([\w-]+)[`'\"]+")


def field_kind(annotation: Any) -> tuple[str, bool, tuple[str, ...]]:
    """The contract's kind of a type annotation.

    Returns the kind ("int", "float", "bool", "str", "list" or "dict"), whether None is allowed, and
    the values of an enum or a Literal. A union of several kinds takes the most structured one that
    can be written in YAML (`dict` before `list` before `str` before the numbers).
    """
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return _union_kind(arguments)
    if origin is Literal:
        return "str", False, tuple(str(value) for value in arguments)
    if origin is not None:
        annotation = origin
    if isinstance(annotation, type):
        if issubclass(annotation, enum.Enum):
            return "str", False, tuple(str(member.value) for member in annotation)
        if issubclass(annotation, dict) or dataclasses.is_dataclass(annotation):
            return "dict", False, ()
        if issubclass(annotation, (list, tuple)):
            return "list", False, ()
        for python_type, kind in KINDS:
            if issubclass(annotation, python_type):
                return kind, False, ()
    return "str", False, ()


def _union_kind(arguments: tuple[Any, ...]) -> tuple[str, bool, tuple[str, ...]]:
    parts = [field_kind(part) for part in arguments if part is not type(None)]
    optional = type(None) in arguments or any(part[1] for part in parts)
    by_kind = {kind: choices for kind, _, choices in reversed(parts)}
    for kind in ("dict", "list", "str", "float", "int", "bool"):
        if kind in by_kind:
            return kind, optional, by_kind[kind]
    return "str", optional, ()


def help_choices(text: str) -> tuple[str, ...]:
    """The closed set of values that a help text spells out after "Possible values are:"."""
    listed = _HELP_LISTS.search(text)
    return tuple(_NAMED.findall(listed.group(1))) if listed else ()


def plain(value: Any) -> Any:
    """A default value as JSON can carry it; what JSON cannot carry becomes its text."""
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def describe_class(config: type) -> list[dict[str, Any]]:
    """One record per constructor field of a config dataclass, in the order of its definition."""
    hints = typing.get_type_hints(config)
    records = []
    for field in dataclasses.fields(config):
        if not field.init:
            continue
        kind, optional, choices = field_kind(hints[field.name])
        default: Any = None
        if field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        help_text = " ".join(str(field.metadata.get("help", "")).replace("%%", "%").split())
        listed = tuple(str(choice) for choice in field.metadata.get("choices", ()))
        records.append(
            {
                "name": field.name,
                "kind": kind,
                "optional": optional or default is None,
                "default": plain(default),
                "choices": list(choices or listed or help_choices(help_text)),
                "help": help_text,
                "source": config.__name__,
            }
        )
    return records


def launch_kind(action: argparse.Action) -> str:
    """The contract's kind of an argparse option."""
    if action.nargs == 0 or getattr(action.type, "__name__", "") == "str_to_bool":
        return "bool"
    return next((kind for python_type, kind in KINDS if action.type is python_type), "str")


def launch_fields(known: set[str]) -> list[dict[str, Any]]:
    """One record per option of `accelerate launch`, to which TRL hands what it does not know.

    Args:
        known: Names that are TRL's, and never reach accelerate.
    """
    from accelerate.commands.launch import launch_command_parser

    records = []
    for action in launch_command_parser()._actions:
        long = next((option for option in action.option_strings if option.startswith("--")), "")
        name = long.removeprefix("--").replace("-", "_")
        if not name or name in known or name in NOT_FOR_FILES:
            continue
        records.append(
            {
                "name": name,
                "kind": launch_kind(action),
                "optional": action.default is None,
                "default": plain(action.default),
                "choices": [str(choice) for choice in action.choices or ()],
                "help": " ".join((action.help or "").replace("%%", "%").split()),
                "source": "accelerate launch",
            }
        )
    return records


def launch_presets() -> dict[str, Any]:
    """`accelerate_config`, which `trl` itself turns into an option of `accelerate launch`."""
    folder = files("trl.accelerate_configs")
    names = sorted(file.name.removesuffix(".yaml") for file in folder.iterdir())
    return {
        "name": "accelerate_config",
        "kind": "str",
        "optional": True,
        "default": None,
        "choices": [],
        "help": "A configuration of accelerate: the path of a file, or one of TRL's own: "
        + ", ".join(name for name in names if not name.startswith("_")),
        "source": "trl",
    }


def schema() -> dict[str, Any]:
    """Versions of the packages, the fields of every dataclass of each stage's TRL script, and the
    options of the launcher (`launch`)."""
    from trl import DatasetMixtureConfig, DPOConfig, ModelConfig, ScriptArguments, SFTConfig

    shared = [ScriptArguments, DatasetMixtureConfig, ModelConfig]
    stages = {"sft": [*shared, SFTConfig], "dpo": [*shared, DPOConfig]}
    fields = {
        stage: [record for config in configs for record in describe_class(config)]
        for stage, configs in stages.items()
    }
    known = {record["name"] for records in fields.values() for record in records}
    return {
        "versions": {name: version(name) for name in PACKAGES},
        "fields": fields,
        "launch": [launch_presets(), *launch_fields(known)],
    }


def main() -> int:
    json.dump(schema(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
