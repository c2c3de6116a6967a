"""The recipe format as JSON Schema (2020-12), so that editors complete and check recipes."""

from __future__ import annotations

from typing import Any

from workbench.data.formats.catalogue import shapes
from workbench.data.formats.columns import ROLES
from workbench.data.formats.model import PAIRINGS
from workbench.recipe.check_values import RANGES
from workbench.recipe.guide import GUIDES
from workbench.recipe.schema import OWN_KEYS, SHAPE_KEYS, STAGES, Field, load_schema
from workbench.recipe.slurm_section import OPTIONS, SAVE, SAVE_RANGE, SETUP

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCALARS = ["string", "number"]
SAID = ("title", "description")
TYPES: dict[str, list[str]] = {
    "int": ["integer"],
    "float": ["number"],
    "bool": ["boolean"],
    "str": SCALARS,
    "list": ["array", *SCALARS],
    "dict": ["object", "string"],
}
"""What YAML may hold for each kind; a single value stands for a list of one, a text for a JSON
mapping."""


def json_schema() -> dict[str, Any]:
    """A schema of flat and of staged recipes; every setting with its help and default."""
    schema = load_schema()
    environment = {"type": "object", "description": "Environment variables of the run."}
    own: dict[str, Any] = {name: _told(name, text) for name, text in OWN_KEYS.items()}
    own["probe_prompts"] |= {"type": "array", "items": {"type": "string"}}
    # A bare `off` is false in YAML.
    own["shared_prefix"] |= {"enum": ["auto", "off", False]}
    own["data_format"] |= {"enum": list(shapes())}
    own["columns"] |= {
        "type": "object",
        "properties": {role: {"type": "string"} for role in ROLES},
        "additionalProperties": False,
    }
    one_value = {"type": ["string", "integer", "boolean"]}
    own["slurm"] |= {
        "type": ["object", "null"],
        "properties": {
            **dict.fromkeys(OPTIONS, one_value),
            SETUP: {"type": "array", "items": {"type": "string"}},
            SAVE: {"type": "integer", "minimum": SAVE_RANGE[0], "maximum": SAVE_RANGE[1]},
        },
        "additionalProperties": False,
    }
    own["pairs"] |= {"enum": list(PAIRINGS)}
    shape = {name: own[name] for name in SHAPE_KEYS}
    sections = {
        stage: {
            "type": ["object", "null"],
            "description": f"Settings of the {stage.upper()} stage alone.",
            "properties": _properties(stage) | shape | {"env": environment},
            "additionalProperties": False,
        }
        for stage in STAGES
    }
    launch = {name: _property(field) for name, field in schema.launch.items()}
    stages = [_properties(stage) for stage in STAGES]
    shared = {name: _either([p[name] for p in stages if name in p]) for name in schema.names()}
    return {
        "$schema": DIALECT,
        "title": "Recipe of dpo-workbench",
        "description": "Settings of TRL, flat for one stage, or with the sections sft and dpo.",
        "type": "object",
        "properties": {**own, **shared, "env": environment, **launch, **sections},
        "additionalProperties": False,
    }


def _properties(stage: str) -> dict[str, Any]:
    schema = load_schema()
    return {n: _property(field) for n in schema.names(stage) if (field := schema.field(n, stage))}


def _either(properties: list[dict[str, Any]]) -> dict[str, Any]:
    """One property for settings of the same name in both stages, such as loss_type."""
    first, last = properties[0], properties[-1]
    words: dict[str, Any] = {name: last[name] for name in SAID if name in last}
    kinds = [{n: v for n, v in p.items() if n not in words} for p in (first, last)]
    if kinds[0] == kinds[1]:
        return first
    return {**words, "anyOf": kinds}


def _property(field: Field) -> dict[str, Any]:
    result = _told(field.name, field.help)
    if field.choices:
        result |= _choices(field)
    else:
        result["type"] = [*TYPES[field.kind], *(["null"] if field.optional else [])]
    if field.default is not None:
        result["default"] = field.default
    low, low_allowed, high = RANGES.get(field.name, (None, True, None))
    if low is not None:
        result["minimum" if low_allowed else "exclusiveMinimum"] = low
    if high is not None:
        result["maximum"] = high
    return result


def _told(name: str, text: str) -> dict[str, Any]:
    """What an editor shows of a setting: the guide's words, then TRL's."""
    guide = GUIDES.get(name)
    if guide is None:
        return {"description": text}
    return {"title": guide.label, "description": f"{guide.effect}\n\n{text}"}


def _choices(field: Field) -> dict[str, Any]:
    allowed: list[Any] = list(field.choices)
    if "no" in allowed:
        allowed += [False, True]  # a bare `no` is false in YAML, and the workbench knows it
    one = {"enum": [*allowed, *([None] if field.optional else [])]}
    if field.kind != "list":
        return one
    return {"anyOf": [one, {"type": "array", "items": {"enum": allowed}}]}
