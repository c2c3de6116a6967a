"""One look at a recipe's text: does it read, what is wrong with it, what does it add up to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.tui.render import count, join, plain, share, size

if TYPE_CHECKING:
    from workbench.recipe.estimate import Totals
    from workbench.recipe.recipe import Recipe


@dataclass(frozen=True)
class Checked:
    """What the check of a text says.

    Attributes:
        recipe: None where the text cannot be read.
        totals: Effective batch, steps and the like for each stage.
    """

    recipe: Recipe | None
    problems: tuple[Problem, ...]
    totals: tuple[tuple[str, Totals], ...]

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


def check_text(path: Path, text: str | None, paths: Paths) -> Checked:
    """Read, check and add up a recipe. Slow parts run here, so call it from a thread.

    Args:
        path: The recipe's file, from whose folder relative paths count.
        text: Content to take instead of the file's.
        paths: The user's folders; converted models tell the number of parameters.
    """
    from workbench.recipe.checks import check
    from workbench.recipe.estimate import totals
    from workbench.recipe.recipe import load_recipe

    try:
        recipe = load_recipe(path, text=text)
    except ProblemError as error:
        return Checked(None, error.problems, ())
    # A wish to run the model's code is a warning here: the launch asks, with the model's name.
    problems = tuple(check(recipe, paths, trusted_model=recipe.model))
    sums = []
    for stage in recipe.stages:
        try:
            sums.append((stage, totals(recipe, stage, paths.models)))
        except (ProblemError, ValueError, TypeError, ArithmeticError):
            # A value that is wrong is reported as a problem; its sum is merely not known.
            continue
    return Checked(recipe, problems, tuple(sums))


def totals_line(stage: str, totals: Totals) -> Content:
    """`dpo  batch 16 · 40 steps · trains 0.34 % (460 k) · up to 1.2 GB`."""
    dot = ("  ·  ", "$faint")
    steps = f"{totals.steps:,}" if totals.steps is not None else "?"
    parts: list[Content | str | tuple[str, str]] = [
        plain(f"{stage:<4}", style="bold $accent"),
        ("batch ", "$muted"),
        str(totals.effective_batch),
        dot,
        steps,
        (" steps", "$muted"),
        dot,
        ("trains ", "$muted"),
        share(totals.trainable, totals.total),
    ]
    if totals.trainable:
        parts.append((f" ({count(totals.trainable)})", "$muted"))
    if totals.memory_bytes:
        parts += [dot, ("up to ", "$muted"), size(totals.memory_bytes)]
    return join(*parts)
