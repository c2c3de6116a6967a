"""Everything that can be known to be wrong with a recipe before a model is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from workbench.base.paths import Paths
from workbench.base.problems import Problem
from workbench.recipe.caution import (
    TOKEN_HINT,
    faults,
    refuse_code,
    secrets,
    wants_code,
)
from workbench.recipe.check_data import check_data, check_shape
from workbench.recipe.check_launch import check_launch, misplaced
from workbench.recipe.check_model import check_model
from workbench.recipe.check_values import check_value
from workbench.recipe.old_keys import old_key
from workbench.recipe.recipe import Recipe
from workbench.recipe.rules import check_rules
from workbench.recipe.schema import OWN_KEYS, SHAPE_KEYS, STAGES, load_schema
from workbench.recipe.slurm_section import SECTION, section_problems, section_warnings

SHARED_ADAPTER_KEYS = (
    "model_name_or_path",
    "use_peft",
    "lora_r",
    "lora_alpha",
    "lora_target_modules",
    "lora_modules_to_save",
    "use_rslora",
    "use_dora",
    "load_in_4bit",
    "load_in_8bit",
)
SECRET_KEYS = ("hub_token", "push_to_hub_token")


def check(recipe: Recipe, paths: Paths | None = None, *, trusted_model: str = "") -> list[Problem]:
    """All problems of a recipe at once, in the order of the file, errors and warnings.

    Uses local files only: data files and, where they are on this machine, model configs.

    Args:
        trusted_model: The model, as the recipe names it, whose own code may run.
    """
    models = (paths or Paths.from_environment()).models
    document = recipe.document
    problems = [*document.problems, *document.oddities]
    problems += [*_check_keys(recipe), *_check_environment(recipe), *check_launch(recipe)]
    problems += secrets(recipe.text, recipe.document.source)
    for stage in recipe.stages:
        problems += _check_caution(recipe, stage, trusted_model)
        problems += check_rules(recipe, stage, models)
        problems += check_data(recipe, stage)
    problems += _check_stages_together(recipe)
    problems += check_model(recipe, models)
    return in_order(recipe, list(dict.fromkeys(problems)))


def in_order(recipe: Recipe, problems: list[Problem]) -> list[Problem]:
    """Problems in the order of the recipe's lines, those without a line first."""
    return sorted(problems, key=lambda found: _line(found, recipe.document.source))


def _line(problem: Problem, source: str) -> int:
    """The line of a recipe that a problem stands in; 0 without one, and for other files."""
    name, _, place = problem.where.partition(":")
    line = place.partition(":")[0]
    return int(line) if name == source and line.isdigit() else 0


def errors(problems: list[Problem]) -> list[Problem]:
    """Those of the problems that forbid a launch."""
    return [problem for problem in problems if problem.severity == "error"]


def _check_keys(recipe: Recipe) -> Iterator[Problem]:
    for key, value in recipe.data.items():
        if key in STAGES:
            if not isinstance(value, dict):
                where = recipe.document.where((key,))
                yield Problem(f"{key} is not a section", where, "Indent its settings below it.")
                continue
            for inner, inner_value in value.items():
                if inner in SHAPE_KEYS:
                    where = recipe.document.where((key, inner))
                    yield from check_shape(inner, inner_value, where)
                else:
                    yield from _check_key(recipe, (key, inner), inner_value, key)
        elif key == SECTION:
            yield from (*section_problems(recipe), *section_warnings(recipe))
        elif key == "probe_prompts":
            yield from _check_probe_prompts(recipe, value)
        elif key == "shared_prefix" and value not in ("auto", "off", False):
            where = recipe.document.where((key,))
            yield Problem(f"shared_prefix: {value!r} is not known", where, "Write auto or off.")
        elif key in SHAPE_KEYS:
            yield from check_shape(key, value, recipe.document.where((key,)))
        elif key not in OWN_KEYS and key not in load_schema().launch:
            stage = None if recipe.staged else recipe.stages[0]
            yield from _check_key(recipe, (key,), value, stage)


def _check_key(
    recipe: Recipe, path: tuple[str, ...], value: Any, stage: str | None
) -> Iterator[Problem]:
    schema, key, where = load_schema(), path[-1], recipe.document.where(path)
    if key == "env":
        return
    if key in SECRET_KEYS:
        yield Problem(f"{key} does not belong into a file", where, TOKEN_HINT)
        return
    field = schema.field(key, stage)
    if field is None:
        yield _unknown(path, value, stage, where)
    else:
        yield from check_value(".".join(path), value, field, where)


def _unknown(path: tuple[str, ...], value: Any, stage: str | None, where: str) -> Problem:
    """What to say of a key that is no setting of a stage."""
    schema, key = load_schema(), path[-1]
    other = schema.field(key)
    if other is not None:
        what = f"{key} is a setting of {other.stages[0]}, not of {stage}"
        return Problem(what, where, f"Move it to the section {other.stages[0]}.")
    if (outdated := old_key(key, value, where)) is not None:
        return outdated
    if key in schema.launch:
        return misplaced(key, where)
    near = schema.nearest(key, stage, in_section=len(path) > 1)
    hint = f"Did you mean {near}?" if near else "See `dpo-workbench schema` for the known keys."
    return Problem(f"there is no setting {key}", where, hint)


def _check_probe_prompts(recipe: Recipe, value: Any) -> Iterator[Problem]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        where = recipe.document.where(("probe_prompts",))
        yield Problem("probe_prompts is not a list of texts", where, "Begin each line with `- `.")


def _check_environment(recipe: Recipe) -> Iterator[Problem]:
    """`env` is a mapping, at the top of the file or in a section."""
    for path in (("env",), *((stage, "env") for stage in recipe.stages)):
        section = recipe.data if len(path) == 1 else recipe.data.get(path[0])
        variables = section.get("env") if isinstance(section, dict) else None
        if variables is not None and not isinstance(variables, dict):
            hint = "Write `env: {OMP_NUM_THREADS: 8}`."
            yield Problem("env is not a mapping", recipe.document.where(path), hint)


def _check_caution(recipe: Recipe, stage: str, trusted_model: str) -> Iterator[Problem]:
    """What a recipe from a stranger must not be able to do."""
    values = recipe.values(stage)
    for (key, *inner), problem in faults(values):
        where = recipe.document.where((*recipe.path_of(key, stage), *inner))
        yield replace(problem, where=where)
    if values.get("push_to_hub"):
        what = "push_to_hub uploads the result with your own hub login"
        where = recipe.document.where(recipe.path_of("push_to_hub", stage))
        yield Problem(what, where, "Remove it to keep the result here.", "warning")
    if not (wish := wants_code(values)):
        return
    where = recipe.document.where(recipe.path_of(wish.split(":")[0], stage))
    refusal = refuse_code(values, recipe.model, trusted_model)
    if refusal is not None:
        yield replace(refusal, where=where)
    else:
        what = f"{recipe.model} may run Python code of its own on this machine, with your rights"
        yield Problem(what, where, "", "warning")


def _check_stages_together(recipe: Recipe) -> Iterator[Problem]:
    """DPO trains the SFT stage's adapter further, so both must describe the same adapter."""
    if len(recipe.stages) < 2:
        return
    first, second = recipe.stages
    for key in SHARED_ADAPTER_KEYS:
        if recipe.get(key, first) != recipe.get(key, second):
            what = f"{key} differs between {first} and {second}, which train one adapter"
            where = recipe.document.where(recipe.path_of(key, second))
            yield Problem(what, where, "Move it out of the sections to the top of the file.")
    if not recipe.get("use_peft", first):
        where = recipe.document.where(recipe.path_of("use_peft", first))
        hint = "Set use_peft: true, or run the stages as two recipes."
        yield Problem("SFT followed by DPO needs LoRA", where, hint)
