"""`recipes`, `check` and `show`: what can be trained, what is wrong with it, what it means."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.base.text import clean
from workbench.cli import deep
from workbench.cli.diff import show_diff
from workbench.cli.output import one_line, print_json, size, table
from workbench.cli.settings import know_installed_settings
from workbench.recipe.catalog import Catalog
from workbench.recipe.checks import check, errors
from workbench.recipe.estimate import Totals, totals
from workbench.recipe.launching import launch_values
from workbench.recipe.memory import Room
from workbench.recipe.recipe import Recipe, apply_overrides, load_recipe, resolve
from workbench.run.deep import DeepReport
from workbench.run.deep_lines import deep_lines
from workbench.run.launch_check import launch_settings, launch_warnings
from workbench.run.room import memory_problem, room_for, split_line
from workbench.run.similar import find_similar


def recipes(arguments: argparse.Namespace, paths: Paths) -> int:
    """List the shipped recipes, the user's, and those in ./recipes."""
    entries = Catalog(paths, Path.cwd()).entries()
    if arguments.json:
        print_json([asdict(entry) for entry in entries])
        return 0
    rows = [
        (
            entry.name,
            entry.origin,
            "+".join(entry.stages),
            entry.needs,
            entry.problem or entry.title,
        )
        for entry in entries
    ]
    print("\n".join(table(("NAME", "FROM", "STAGES", "NEEDS", "TITLE"), rows)))
    return 0


def check_recipes(arguments: argparse.Namespace, paths: Paths) -> int:
    """Print all problems of all recipes; 1 when one of them could not be trained."""
    found = [(key, _look(arguments, paths, key)) for key in arguments.recipes]
    if arguments.json:
        print_json([_check_record(key, report, arguments.deep) for key, report in found])
    else:
        for key, report in found:
            for problem in report.problems:
                print(problem_line(problem))
            for line in deep_lines(report) if arguments.deep else ():
                print(line)
            count = len(errors(report.problems))
            print(f"{one_line(key)}: {f'{count} to mend' if count else 'ready to train'}")
    return int(any(errors(report.problems) for _, report in found))


def _look(arguments: argparse.Namespace, paths: Paths, key: str) -> DeepReport:
    """What is wrong with a recipe, and with --deep what it comes to."""
    trusted = arguments.trusted_model
    try:
        recipe = load(paths, key, settings=arguments.settings, for_check=True)
        if arguments.deep:
            report = deep.look(recipe, paths, trusted)
        else:
            report = DeepReport(check(recipe, paths, trusted_model=trusted))
        if not errors(report.problems):
            report.problems += launch_warnings(recipe)
        tight = memory_problem(recipe, paths, room_for(recipe))
        if tight is not None and not errors(report.problems):
            report.problems.append(tight)
        return report
    except ProblemError as error:
        return DeepReport(list(error.problems))


def _check_record(key: str, report: DeepReport, is_deep: bool) -> dict[str, Any]:
    record = {
        "recipe": key,
        "ok": not errors(report.problems),
        "problems": [asdict(problem) for problem in report.problems],
    }
    return {**record, "deep": report.stages if report.looked else None} if is_deep else record


def problem_line(problem: Problem) -> str:
    """A problem on one line, warnings marked."""
    prefix = "warning: " if problem.severity == "warning" else ""
    return prefix + one_line(problem)


def show(arguments: argparse.Namespace, paths: Paths) -> int:
    """Print what a recipe comes to, as the options say; the flat TRL configs without any."""
    if arguments.diff:
        return show_diff(paths, arguments.diff, as_json=arguments.json)
    if not arguments.recipe:
        hint = "Give a RECIPE, or two with --diff A B."
        raise ProblemError(Problem("nothing to show is named", "show", hint), exit_code=2)
    recipe = load(paths, arguments.recipe, settings=arguments.settings, stage=arguments.stage)
    if arguments.text:
        print(clean(recipe.text), end="")
        return 0
    fatal = errors(check(recipe, paths, trusted_model=recipe.model))
    if fatal:
        raise ProblemError(*fatal)
    if arguments.resolved:
        _show_resolved(recipe, arguments, paths)
        return 0
    room = room_for(recipe)
    if arguments.json:
        print_json([_stage_record(recipe, stage, paths, room) for stage in recipe.stages])
    else:
        documents = [_stage_document(recipe, stage, paths, room) for stage in recipe.stages]
        print("\n---\n".join(documents))
    return 0


def copy_recipe(arguments: argparse.Namespace, paths: Paths) -> int:
    """Save a recipe among the user's own, comments and order included."""
    recipe = load(paths, arguments.recipe, settings=arguments.settings)
    catalog = Catalog(paths, Path.cwd())
    target = catalog.save_as(recipe.text, arguments.name, source=recipe.path)
    print(f"Saved {one_line(target)}. Next: dpo-workbench check {one_line(target.stem)}")
    return 0


def _show_resolved(recipe: Recipe, arguments: argparse.Namespace, paths: Paths) -> None:
    launch = launch_settings(recipe)
    found = deep.resolved(recipe, arguments, paths)
    if arguments.json:
        records = [deep.launch_record(recipe, launch)] if launch else []
        records += [deep.resolved_record(stage, settings) for stage, settings in found.items()]
        print_json(records)
        return
    documents = [deep.launch_document(recipe, launch)] if launch else []
    documents += ["\n".join(deep.resolved_lines(recipe.title, *one)) for one in found.items()]
    print("\n---\n".join(documents))


def _stage_record(recipe: Recipe, stage: str, paths: Paths, room: Room) -> dict[str, Any]:
    config = resolve(recipe, stage, output_dir=paths.runs / "RUN" / stage, models=paths.models)
    counted = asdict(totals(recipe, stage, paths.models, room))
    return {"stage": stage, "config": config, "launch": launch_values(recipe), **counted}


def _stage_document(recipe: Recipe, stage: str, paths: Paths, room: Room) -> str:
    config = resolve(recipe, stage, output_dir=paths.runs / "RUN" / stage, models=paths.models)
    lines = [f"# {one_line(recipe.title)}: stage {stage}, as `trl {stage} --config` reads it"]
    counted = totals(recipe, stage, paths.models, room)
    if launch := launch_values(recipe):
        told = ", ".join(f"{key}: {value}" for key, value in launch.items())
        lines.append(f"# launch: {one_line(told)}")
    lines += [f"# {line}" for line in total_lines(counted)]
    if (similar := find_similar(recipe, stage, paths)) is not None:
        lines.append(f"# time: {similar.sentence(counted.steps)}")
    dumped = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
    return "\n".join([*lines, clean(dumped).rstrip()])


def total_lines(counted: Totals) -> list[str]:
    """What a stage adds up to, a line each; what is not known yet is left out."""
    by = f" ({counted.processes} processes together)" if counted.processes > 1 else ""
    lines = [f"effective batch size: {counted.effective_batch}{by}"]
    if counted.rows is not None:
        lines.append(f"rows: {counted.rows}")
    if counted.steps is not None:
        lines.append(f"steps: {counted.steps}")
    if counted.trainable is not None and counted.total:
        share = 100 * counted.trainable / counted.total
        lines.append(f"trainable: {counted.trainable:,} of {counted.total:,} ({share:.2f} %)")
    if (memory := counted.memory) is not None:
        told = f"about {size(memory.total)} at the peak ({split_line(memory)})"
        free = memory.room.free_bytes
        if memory.verdict and free is not None:
            told += f"; {memory.verdict}: {memory.room.name} has {size(free)} free"
        lines.append(f"memory: {told}")
    return lines


def load(
    paths: Paths,
    key: str,
    *,
    settings: Sequence[str] = (),
    stage: str | None = None,
    for_check: bool = False,
) -> Recipe:
    """Find and read a recipe by name or path, with `--set` settings written into its text."""
    know_installed_settings()
    path = Catalog(paths, Path.cwd()).find(key)
    recipe = load_recipe(path, stage=stage, for_check=for_check)
    if not settings:
        return recipe
    return load_recipe(path, text=apply_overrides(recipe.text, settings), stage=stage)
