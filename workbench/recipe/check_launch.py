"""What can be known to be wrong with a recipe's launch keys on any machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from workbench.base.paths import existing
from workbench.base.problems import Problem, ProblemError
from workbench.recipe.check_values import check_option
from workbench.recipe.launch_files import PRESETS, WHERE, read_launch_file
from workbench.recipe.launch_options import (
    HARMLESS,
    UNSUPPORTED,
    UNSUPPORTED_PREFIXES,
    ZERO_OPTIONS,
)
from workbench.recipe.launching import SHARDED, ZERO, LaunchWish, launch_kind, launch_wish
from workbench.recipe.recipe import Recipe
from workbench.recipe.schema import load_schema

Where = Callable[[str], str]
EXAMPLES = {"num_processes": 2, "num_machines": 2, "machine_rank": 1, "main_process_port": 29500}
"""Accelerate has no defaults that a hint could name."""


def misplaced(key: str, where: str) -> Problem:
    """A launch key in a stage's section."""
    what = f"{key} belongs to the top: a run has one launch config for all its stages"
    return Problem(what, where, "Move it out of the section.")


def check_launch(recipe: Recipe) -> list[Problem]:
    """The problems of the launch keys at the top of a recipe, errors and warnings."""
    known = load_schema().launch
    given = {key: value for key, value in recipe.data.items() if key in known}
    if not given:
        return []

    def where(key: str) -> str:
        return recipe.document.where((key,))

    problems: list[Problem] = []
    for key, value in given.items():
        field = replace(known[key], default=EXAMPLES.get(key, known[key].default))
        problems += check_option(key, value, field, where(key))
    if any(problem.severity == "error" for problem in problems):
        return problems
    for key, value in given.items():
        if value not in (None, False, known[key].default):
            problems += _without_effect(key, value, where)
    wish = launch_wish(recipe)
    problems += [*_check_files(recipe, wish, where), *_check_kinds(recipe, where)]
    return problems + list(_check_numbers(recipe, wish, where))


def _without_effect(key: str, value: Any, where: Where) -> Iterator[Problem]:
    if key in HARMLESS:
        what = f"{key} has no effect here: {HARMLESS[key]}"
        yield Problem(what, where(key), "Delete it, unless `trl` shall read it.", "warning")
    elif key in UNSUPPORTED and not (key == "gpu_ids" and value == "all"):
        reason, hint = UNSUPPORTED[key]
        yield Problem(f"{key} cannot be used: {reason}", where(key), hint)
    elif key.startswith(UNSUPPORTED_PREFIXES):
        reason, hint = UNSUPPORTED["use_megatron_lm"]
        yield Problem(f"{key} cannot be used: {reason}", where(key), "Remove it.")


def _check_files(recipe: Recipe, wish: LaunchWish, where: Where) -> Iterator[Problem]:
    name, other = recipe.data.get(WHERE), recipe.data.get("config_file")
    if name and other:
        what = f"config_file: {other} names a second launch config beside accelerate_config"
        yield Problem(what, where("config_file"), "Keep one of them.")
    if wish.accelerate_config:
        try:
            read_launch_file(wish.accelerate_config, recipe.path.parent)
        except ProblemError as error:
            key = WHERE if name else "config_file"
            for problem in error.problems:
                place = where(key) if key in recipe.data and problem.where == WHERE else ""
                yield replace(problem, where=place or problem.where)
    file = recipe.data.get("deepspeed_config_file")
    if file and existing(recipe.path.parent, str(file)) is None:
        what = f"there is no file {file}"
        yield Problem(what, where("deepspeed_config_file"), "Write the path of a DeepSpeed config.")


def _check_kinds(recipe: Recipe, where: Where) -> Iterator[Problem]:
    data = recipe.data
    named = str(data.get(WHERE) or "")
    kinds = {"use_fsdp": SHARDED, "use_deepspeed": ZERO}
    asked = [key for key in kinds if data.get(key) is True]
    if len(asked) > 1:
        what = "use_fsdp and use_deepspeed exclude each other"
        yield Problem(what, where(asked[1]), "Keep one of them.")
    for key in (*asked, *(["multi_gpu"] if data.get("multi_gpu") is True else [])):
        wanted = kinds.get(key, "")
        if named in PRESETS[2:] and not _is_of(named, wanted):
            what = f"{key}: true contradicts accelerate_config: {named}"
            yield Problem(what, where(key), f"Remove {key}.")
    kind = launch_kind(recipe)
    for key, value in data.items():
        if key.startswith("fsdp_") and key in load_schema().launch and kind != SHARDED:
            yield _needs(key, value, where, "FSDP", "accelerate_config: fsdp2")
        elif key in ZERO_OPTIONS and kind != ZERO:
            yield _needs(key, value, where, "DeepSpeed", "accelerate_config: zero2")


def _is_of(name: str, kind: str) -> bool:
    return (name.startswith("fsdp") and kind == SHARDED) or (
        name.startswith("zero") and kind == ZERO
    )


def _needs(key: str, value: Any, where: Where, engine: str, cure: str) -> Problem:
    what = f"{key}: {value} has no effect without {engine}"
    return Problem(what, where(key), f"Write {cure}, or delete it.", "warning")


def _check_numbers(recipe: Recipe, wish: LaunchWish, where: Where) -> Iterator[Problem]:
    processes, machines = wish.num_processes, wish.num_machines
    if wish.accelerate_config == "single_gpu" and (processes or 1) * machines > 1:
        what = f"accelerate_config: single_gpu is one process, num_processes says {processes}"
        if machines > 1:
            what = f"accelerate_config: single_gpu is one process on one of {machines} machines"
        yield Problem(what, where(WHERE), "Write accelerate_config: multi_gpu.")
    if not 0 <= wish.machine_rank < machines:
        what = f"machine_rank: {wish.machine_rank} of num_machines: {machines} is not there"
        hint = f"The machines are counted from 0: write 0 to {machines - 1}."
        if machines == 1:
            hint = "Write num_machines: with the number of machines, or remove machine_rank."
        yield Problem(what, where("machine_rank"), hint)
    if processes is not None and processes % machines:
        place = "num_processes" if "num_processes" in recipe.data else "num_machines"
        what = f"{processes} processes cannot be shared out evenly among {machines} machines"
        low = max(processes // machines, 1) * machines
        hint = f"num_processes counts those of all machines: write {low} or {low + machines}."
        yield Problem(what, where(place), hint)
