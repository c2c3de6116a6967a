"""One look at a recipe's text: does it read, what is wrong with it, what does it add up to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.tui.render import count, join, plain, share, size

LOOK_SECONDS = 1.0
"""For a look at the GPUs while somebody types."""

if TYPE_CHECKING:
    from workbench.recipe.estimate import Totals
    from workbench.recipe.recipe import Recipe
    from workbench.run.directory import RunDirectory
    from workbench.run.similar import Similar


@dataclass(frozen=True)
class Checked:
    """What the check of a text says.

    Attributes:
        recipe: None where the text cannot be read.
        totals: Effective batch, steps and the like for each stage.
        paces: A past run for each stage that tells how long its steps take.
        start: Whose adapter the launch goes on with; empty for none.
    """

    recipe: Recipe | None
    problems: tuple[Problem, ...]
    totals: tuple[tuple[str, Totals], ...]
    paces: Mapping[str, Similar] = field(default_factory=dict)
    start: str = ""

    @property
    def code_of(self) -> str:
        """The model whose own Python code the recipe asks to run, empty for none."""
        from workbench.recipe.caution import wants_code

        recipe = self.recipe
        if recipe is None or not any(wants_code(recipe.values(s)) for s in recipe.stages):
            return ""
        return recipe.model

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that forbid a launch."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def check_text(path: Path, text: str | None, paths: Paths, device: str = "") -> Checked:
    """Read, check and add up a recipe. Slow parts run here, so call it from a thread.

    Args:
        path: The recipe's file, from whose folder relative paths count.
        text: Content to take instead of the file's.
        paths: The user's folders; converted models tell the number of parameters.
        device: The slot that a run would get; the first one if empty.
    """
    from workbench.recipe.checks import check, errors
    from workbench.recipe.estimate import totals
    from workbench.recipe.recipe import load_recipe
    from workbench.run.launch_check import launch_warnings
    from workbench.run.room import memory_problem, room_for
    from workbench.run.similar import find_similar

    try:
        recipe = load_recipe(path, text=text, for_check=True)
    except ProblemError as error:
        return Checked(None, error.problems, ())
    # A wish to run the model's code is a warning here: the launch asks, with the model's name.
    problems = tuple(check(recipe, paths, trusted_model=recipe.model))
    if not errors(list(problems)):
        problems += tuple(launch_warnings(recipe))
    room = room_for(recipe, device, seconds=LOOK_SECONDS)
    if (tight := memory_problem(recipe, paths, room)) is not None:
        problems = (*problems, tight)
    sums = []
    paces = {}
    for stage in recipe.stages:
        try:
            sums.append((stage, totals(recipe, stage, paths.models, room)))
            if similar := find_similar(recipe, stage, paths):
                paces[stage] = similar
        except (ProblemError, ValueError, TypeError, ArithmeticError):
            # A value that is wrong is reported as a problem; its sum is merely not known.
            continue
    return Checked(recipe, problems, tuple(sums), paces)


def with_start(checked: Checked, parent: RunDirectory) -> Checked:
    """The check of a launch that goes on from a run's adapter, which may be gone.

    Call it from a thread.
    """
    from workbench.run.lineage import find_origin
    from workbench.run.record import read_record

    try:
        origin = find_origin(parent)
    except ProblemError as error:
        return dataclasses.replace(checked, problems=(*checked.problems, *error.problems))
    name = read_record(parent).name or parent.id
    adapter = f"{origin.stage} step {origin.step}" if origin.step else "final adapter"
    return dataclasses.replace(checked, start=f"{name}'s {adapter}")


MEMORY_STYLES = {"tight": "$warning", "will not fit": "$error"}


def memory_line(sums: tuple[tuple[str, Totals], ...]) -> Content | None:
    """The parts of the stage that takes most: `peak weights 0.3, optimizer 0.0, ... GB`."""
    from workbench.run.room import split_line

    known = [totals.memory for _, totals in sums if totals.memory]
    if not known:
        return None
    told = split_line(max(known, key=lambda memory: memory.total))
    return join(("peak ", "$muted"), plain(told))


def time_line(checked: Checked) -> Content | None:
    """`time sft about 3 min (0.66 s a step in run X)`."""
    told = [
        f"{stage} {checked.paces[stage].sentence(sums.steps)}"
        for stage, sums in checked.totals
        if stage in checked.paces
    ]
    return join(("time ", "$muted"), plain(" · ".join(told))) if told else None


def totals_lines(checked: Checked) -> list[Content]:
    """What each stage adds up to."""
    return [_totals_line(stage, sums, checked.paces.get(stage)) for stage, sums in checked.totals]


def _shares(totals: Totals) -> str:
    """How several processes make up a batch: ` (2x8)`."""
    count = totals.processes
    return f" ({count}x{totals.effective_batch // count})" if count > 1 else ""


def _totals_line(stage: str, totals: Totals, similar: Similar | None) -> Content:
    """`dpo  batch 16 (2x8) · 40 steps · trains 0.34 % (460 k) · about 1.2 GB · 3 min`."""
    dot = ("  ·  ", "$faint")
    steps = f"{totals.steps:,}" if totals.steps is not None else "?"
    parts: list[Content | str | tuple[str, str]] = [
        plain(f"{stage:<4}", style="bold $accent"),
        ("batch ", "$muted"),
        str(totals.effective_batch),
        (_shares(totals), "$muted"),
        dot,
        steps,
        (" steps", "$muted"),
        dot,
        ("trains ", "$muted"),
        share(totals.trainable, totals.total),
    ]
    if totals.trainable:
        parts.append((f" ({count(totals.trainable)})", "$muted"))
    if totals.memory is not None:
        style = MEMORY_STYLES.get(totals.memory.verdict, "")
        parts += [dot, plain(f"about {size(totals.memory.total)}", style=style)]
    if similar is not None and (duration := similar.duration(totals.steps)):
        parts += [dot, plain(duration)]
    return join(*parts)
