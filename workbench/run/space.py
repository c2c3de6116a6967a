"""Disk space: what a run will take, and whether it is there."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.recipe.estimate import ADAM_STATES_BYTES, totals
from workbench.recipe.recipe import Recipe

FLOOR_BYTES = 200_000_000
"""Logs, metrics, tokenizers and the final weights of a small adapter."""
WEIGHT_BYTES = 4
UNKNOWN_CHECKPOINTS = 3
MANY_CHECKPOINTS = 20
"""More than that at once nobody has to have free before a run starts."""


def free_bytes(folder: Path) -> int:
    """Free space on the disk of a folder or of its nearest parent that is there."""
    for place in (folder, *folder.parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return 0


def folder_bytes(folder: Path) -> int:
    """Size of all files in a folder; a file that vanishes meanwhile counts as nothing."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:
            continue
    return total


def megabytes(count: int) -> str:
    """A number of bytes for people: `12.3 MB`, `4.0 GB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def estimated_bytes(trainable: int | None, checkpoints: int) -> int:
    """Disk space of a stage: weights and Adam's moments per checkpoint, and the final weights.

    Args:
        trainable: Trained parameters, None when this machine cannot know.
    """
    if trainable is None:
        return FLOOR_BYTES
    weights = WEIGHT_BYTES * trainable
    return FLOOR_BYTES + checkpoints * (weights + ADAM_STATES_BYTES * trainable) + weights


def kept_checkpoints(recipe: Recipe, stage: str, steps: int | None) -> int:
    """How many checkpoints of a stage lie on the disk at once, at most."""
    if recipe.get("save_strategy", stage) == "no":
        return 0
    limit, every = recipe.get("save_total_limit", stage), recipe.get("save_steps", stage)
    planned = UNKNOWN_CHECKPOINTS
    if steps and isinstance(every, int | float) and every > 0:
        planned = math.ceil(steps / every) if every >= 1 else math.ceil(1 / every)
    if isinstance(limit, int) and limit > 0:
        planned = min(planned, limit + 1)  # the oldest goes after the new one is whole
    return min(planned, MANY_CHECKPOINTS)


def check_space(recipe: Recipe, paths: Paths) -> None:
    """Refuse a run that the disk has no room for.

    Raises:
        ProblemError: With what it needs and what there is.
    """
    need = 0
    for stage in recipe.stages:
        figures = totals(recipe, stage, paths.models)
        kept = kept_checkpoints(recipe, stage, figures.steps)
        need = max(need, FLOOR_BYTES) + estimated_bytes(figures.trainable, kept) - FLOOR_BYTES
    have = free_bytes(paths.runs)
    if have < need:
        what = f"the disk is too full: the run needs {megabytes(need)}, it has {megabytes(have)}"
        hint = "Free space, set save_total_limit lower, or set DPO_WORKBENCH_HOME to another disk."
        raise ProblemError(Problem(what, str(paths.runs), hint))
