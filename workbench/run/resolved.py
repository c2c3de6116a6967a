"""Every setting of a stage as it will be, and where each value comes from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.base.secrets import redact
from workbench.recipe.recipe import Recipe
from workbench.recipe.schema import load_schema

FORCED = ("disable_tqdm", "enable_jit_checkpoint", "logging_nan_inf_filter", "model_init_kwargs")
"""What the worker sets for its own sake, whatever the recipe says."""
ADDED = ("output_dir", "report_to")
"""What `recipe.resolve` adds where the recipe says nothing."""


@dataclass(frozen=True)
class Setting:
    """One setting of a stage.

    Attributes:
        default: TRL's.
        origin: Where the value comes from: a place in the recipe, `--set`, `this machine`,
            `the workbench`, `TRL` (made of other settings), or empty for TRL's default.
    """

    key: str
    value: Any
    default: Any
    origin: str


def settings_of(
    recipe: Recipe,
    stage: str,
    values: Mapping[str, Any],
    hardware: Mapping[str, Any],
    overridden: Collection[str] = (),
) -> list[Setting]:
    """A stage's settings in TRL's order.

    Args:
        values: What TRL holds, by name.
        hardware: What this machine has added to the stage's config.
        overridden: Keys that `--set` named, such as `beta` or `dpo.beta`.
    """
    schema, found = load_schema(), []
    for key in schema.names(stage):
        if key not in values:
            continue
        field = schema.field(key, stage)
        default = field.default if field else None
        value = redact(values[key]) if isinstance(values[key], str) else values[key]
        origin = _origin(recipe, stage, key, hardware, overridden)
        if not origin and value != default:
            origin = "TRL"
        found.append(Setting(key, value, default, origin))
    return found


def _origin(
    recipe: Recipe,
    stage: str,
    key: str,
    hardware: Mapping[str, Any],
    overridden: Collection[str],
) -> str:
    if key in FORCED:
        return "the workbench"
    if key in hardware:
        return "this machine"
    if key not in recipe.values(stage):
        return "the workbench" if key in ADDED else ""
    if {key, f"{stage}.{key}"} & set(overridden):
        return "--set"
    return recipe.document.where(recipe.path_of(key, stage))
