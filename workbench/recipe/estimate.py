"""What a recipe amounts to: effective batch, steps, trainable parameters, memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.base.problems import ProblemError
from workbench.recipe.base_model import model_config, model_location
from workbench.recipe.check_data import count_rows
from workbench.recipe.launching import launch_wish, process_count, way_of_sharing
from workbench.recipe.memory import MANY_STEPS, Memory, Plan, Room, memory
from workbench.recipe.recipe import Recipe, flat_recipe
from workbench.recipe.weights import sizes_of

ADAM_STATES_BYTES = 8
"""Two fp32 moments per trained parameter."""
NOT_KNOWN = (ProblemError, ValueError, TypeError, KeyError, ArithmeticError)
"""What a wrong value raises here; a check reports it, its sum is merely not known."""


@dataclass(frozen=True)
class Totals:
    """Figures of one stage; None where this machine cannot know.

    Attributes:
        effective_batch: Rows (or pairs) per optimizer step, of all processes together.
        rows: Training rows before any is dropped.
        steps: Optimizer steps.
        trainable, total: Parameters that are trained, and of the whole model with adapter.
        memory: What a process takes at its peak, in parts, and whether that fits.
        processes: How many train together.
    """

    effective_batch: int
    rows: int | None
    steps: int | None
    trainable: int | None
    total: int | None
    memory: Memory | None = None
    processes: int = 1

    @property
    def memory_bytes(self) -> int | None:
        """The peak as one number."""
        return self.memory.total if self.memory else None


def totals(recipe: Recipe, stage: str, models: Path, room: Room | None = None) -> Totals:
    """Figures of a stage from the recipe, local data files and the model's files.

    Args:
        room: The memory that the run would use; without it there is no verdict, and a recipe that
            leaves the number of processes to the machine counts as one.
    """
    room = room or Room()
    processes = process_count(launch_wish(recipe), devices=room.devices)
    effective = _effective(recipe, stage, processes)
    rows = count_rows(recipe, stage)
    steps = _steps(recipe, stage, rows, effective)
    folder = recipe.path.parent
    config = model_config(recipe.model, folder, models)
    sizes = sizes_of(config, model_location(recipe.model, folder, models)) if config else None
    if config is None or sizes is None:
        return Totals(effective, rows, steps, None, None, processes=processes)
    plan = Plan(recipe, stage, sizes, config, room)
    so_far = _steps_so_far(recipe, stage, processes)
    whole = memory(recipe, stage, sizes, config, room, so_far)
    if processes > 1:
        whole = _share_of(whole, way_of_sharing(recipe), processes)
    total = sizes.parameters + plan.adapter
    return Totals(effective, rows, steps, plan.trainable, total, whole, processes)


def _share_of(whole: Memory, way: str, processes: int) -> Memory:
    """What is left to each process where FSDP or DeepSpeed divides the model or the optimizer."""
    if way == "multi_gpu":
        return whole
    training = whole.training // processes
    if way in ("zero1", "zero2"):
        return replace(whole, training=training)
    return replace(whole, training=training, weights=whole.weights // processes)


def memory_of(
    settings: Mapping[str, Any], stage: str, model: Mapping[str, Any], room: Room | None = None
) -> int | None:
    """Peak memory in bytes of a resolved config; None for an architecture unknown here.

    Args:
        settings: The flat TRL config, its paths absolute; what it leaves out counts with TRL's
            default. It may have the workbench's own `shared_prefix` too.
        model: The base model's config.json.
    """
    recipe = flat_recipe(settings, stage)
    try:
        place = model_location(recipe.model, Path("/"), Path("/")) if recipe.model else None
        sizes = sizes_of(model, place)
        if sizes is None:
            return None
        steps = _steps_so_far(recipe, stage, 1)
        return memory(recipe, stage, sizes, model, room or Room(), steps).total
    except (*NOT_KNOWN, OSError):
        return None


def _number(recipe: Recipe, key: str, stage: str) -> int:
    value = recipe.get(key, stage)
    return int(value) if isinstance(value, int | float) and value >= 1 else 1


def _effective(recipe: Recipe, stage: str, processes: int) -> int:
    batch = _number(recipe, "per_device_train_batch_size", stage)
    return batch * _number(recipe, "gradient_accumulation_steps", stage) * processes


def _steps_so_far(recipe: Recipe, stage: str, processes: int) -> int:
    """Steps that one process has trained when a stage ends; many where that is not known."""
    stages = recipe.stages[: recipe.stages.index(stage) + 1]
    total = 0
    for name in stages:
        effective = _effective(recipe, name, processes)
        steps = _steps(recipe, name, count_rows(recipe, name), effective)
        passes = _number(recipe, "gradient_accumulation_steps", name)
        total += MANY_STEPS if steps is None else steps * passes
    return total


def _steps(recipe: Recipe, stage: str, rows: int | None, effective: int) -> int | None:
    limit = recipe.get("max_steps", stage)
    if isinstance(limit, int) and limit > 0:
        return limit
    epochs = recipe.get("num_train_epochs", stage)
    if rows is None or not isinstance(epochs, int | float):
        return None
    # As transformers counts: the last, smaller batch of an epoch is a step of its own.
    return math.ceil(epochs * max(math.ceil(rows / effective), 1))
