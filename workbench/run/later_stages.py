"""How long the stages behind the present one will take, by past runs with the same settings."""

from __future__ import annotations

from pathlib import Path

from workbench.base.files import amount
from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.estimate import totals
from workbench.recipe.memory import Room
from workbench.recipe.recipe import Recipe, load_recipe
from workbench.run.directory import RunDirectory
from workbench.run.record import RunRecord, read_record
from workbench.run.similar import find_similar


def later_seconds(
    run: RunDirectory, record: RunRecord, paths: Paths | None
) -> tuple[float | None, ...]:
    """Seconds of each stage behind the present one; None where nothing tells it.

    Args:
        paths: Where past runs are looked for; None for nowhere.
    """
    if record.stage not in record.stages:
        return ()
    behind = record.stages[record.stages.index(record.stage) + 1 :]
    left = [stage for stage in behind if stage not in record.results]
    if not left or paths is None:
        return (None,) * len(left)
    try:
        # Relative paths count from where the recipe lay.
        path = Path(record.recipe_path) if record.recipe_path else run.recipe
        recipe = load_recipe(path, text=load_recipe(run.recipe).text)
    except (ProblemError, OSError):
        return (None,) * len(left)
    room = Room(devices=max(record.processes // max(len(record.hosts), 1), 1))
    return tuple(_seconds(recipe, stage, paths, room) for stage in left)


def _seconds(recipe: Recipe, stage: str, paths: Paths, room: Room) -> float | None:
    """A whole stage as the similar run has had it, loading and evaluations included."""
    try:
        counted = totals(recipe, stage, paths.models, room) if stage in recipe.stages else None
        steps = counted.steps if counted else None
        similar = find_similar(recipe, stage, paths, room.devices) if steps else None
    except (ProblemError, OSError, ValueError, TypeError, KeyError, ArithmeticError):
        return None
    if not steps or similar is None:
        return None
    result = read_record(RunDirectory(paths.runs / similar.run)).results.get(stage, {})
    pace, done = similar.seconds, amount(result, "steps")
    if done:
        # Of a resumed run only the time since then was kept.
        pace = max(pace, amount(result, "seconds") / done)
    return steps * pace
