"""`import` and `export`: recipes from and for other trainers, and runs from them."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.base.text import clean
from workbench.cli.import_run import import_run
from workbench.cli.output import one_line, print_json
from workbench.cli.recipes import load, problem_line
from workbench.recipe.catalog import Catalog
from workbench.recipe.checks import check, errors
from workbench.recipe.exchange.draft import Entry
from workbench.recipe.exchange.exporting import export_recipe
from workbench.recipe.exchange.importing import KINDS, Imported, import_file
from workbench.recipe.exchange.outgoing import Exported
from workbench.recipe.recipe import load_recipe

HEADINGS = {
    "converted": "converted",
    "default": "set, because TRL has another default",
    "dropped": "left out, needless here",
    "no equal": "no equal, for you to decide",
}


def import_config(arguments: argparse.Namespace, paths: Paths) -> int:
    """Save a foreign configuration as a recipe, and tell what became of each setting.

    Where the path is that of a run, it is imported as a run.
    """
    source = Path(arguments.file).expanduser()
    if (code := import_run(arguments, paths, source)) is not None:
        return code
    found = import_file(source, kind=arguments.kind, stage=arguments.stage)
    if arguments.print_only:
        target = source.absolute().with_suffix(".yaml")
    else:
        target = _save(paths, found, arguments.name or _name(source), source)
    problems = check(load_recipe(target, text=found.text), paths)
    if arguments.json:
        print_json(_record(found, None if arguments.print_only else target, problems))
        return 0
    report = sys.stderr if arguments.print_only else sys.stdout
    if arguments.print_only:
        sys.stdout.write(clean(found.text))
    for line in _report(source.name, found, problems):
        print(line, file=report)
    if not arguments.print_only:
        print(f"Saved {one_line(target)}. Next: dpo-workbench check {one_line(target.stem)}")
    return 0


def _save(paths: Paths, found: Imported, name: str, source: Path) -> Path:
    try:
        return Catalog(paths, Path.cwd()).save_as(found.text, name, source=source.absolute())
    except ProblemError as error:
        (problem,) = error.problems
        hint = "Choose a name with --name NAME, or see it with --print."
        raise ProblemError(Problem(problem.what, problem.where, hint)) from error


def _name(source: Path) -> str:
    """A recipe's name made of a file's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", source.stem).strip("-._") or "imported"


def _record(found: Imported, target: Path | None, problems: list[Problem]) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "stages": list(found.stages),
        "saved": str(target) if target else None,
        "recipe": found.text,
        "entries": [
            {name: value for name, value in asdict(entry).items() if name != "path"}
            for entry in found.entries
        ],
        "ok": not errors(problems),
        "problems": [asdict(problem) for problem in problems],
    }


def _report(name: str, found: Imported, problems: list[Problem]) -> Iterator[str]:
    kept = len(found.of("same"))
    yield f"{one_line(name)} is a configuration of {KINDS[found.kind]} for {_stages(found)}; "\
          f"{kept} settings stay as they are."  # fmt: skip
    for outcome, heading in HEADINGS.items():
        entries = found.of(outcome)
        if entries:
            yield f"\n{heading}:"
            yield from (f"  {one_line(_entry_line(entry))}" for entry in entries)
    if problems:
        yield "\nstill to mend or to know:"
        yield from (f"  {problem_line(problem)}" for problem in problems)
    yield ""


def _stages(found: Imported) -> str:
    return " and ".join(stage.upper() for stage in found.stages)


def _entry_line(entry: Entry) -> str:
    if entry.outcome == "default":
        return f"{entry.becomes} ({entry.note})"
    arrow = f" -> {entry.becomes}" if entry.becomes else ""
    note = f" ({entry.note})" if entry.becomes and entry.note else f": {entry.note}"
    return f"{entry.where}: {entry.key}{arrow}{note if entry.note else ''}"


def export_config(arguments: argparse.Namespace, paths: Paths) -> int:
    """Write a recipe as the configuration of another trainer."""
    recipe = load(paths, arguments.recipe, stage=arguments.stage)
    fatal = errors(check(recipe, paths, trusted_model=recipe.model))
    if fatal:
        raise ProblemError(*fatal)
    out = Path(arguments.out).expanduser() if arguments.out else None
    folder = out is not None and (out.is_dir() or not out.suffix)
    if len(recipe.stages) > 1 and not folder:
        what = f"the recipe has the stages {' and '.join(recipe.stages)}, one file each"
        hint = f"Use --stage {recipe.stages[-1]}, or --out DIR for all files."
        raise ProblemError(Problem(what, one_line(recipe.path.name), hint), exit_code=2)
    exported = [
        export_recipe(recipe, stage, arguments.to, models=paths.models) for stage in recipe.stages
    ]
    if out is None:
        sys.stdout.write(clean(exported[0].text(with_files=True)))
    elif folder:
        _write_folder(out, exported)
    else:
        _write_new(out, exported[0].text(with_files=True))
    _tell_lost(exported, sys.stderr)
    return 0


def _write_folder(folder: Path, exported: list[Exported]) -> None:
    files = {f"{one.stage}.yaml": one.text() for one in exported}
    for one in exported:
        files.update(one.files)
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        _refuse_existing(folder / name)
    for name, text in files.items():
        _write_new(folder / name, text)


def _refuse_existing(path: Path) -> None:
    if path.exists():
        what = "there is such a file already, and nothing is overwritten"
        raise ProblemError(Problem(what, str(path), "Choose another place with --out."))


def _write_new(path: Path, text: str) -> None:
    _refuse_existing(path)
    path.write_text(clean(text), encoding="utf-8")
    print(f"Wrote {one_line(path)}")


def _tell_lost(exported: list[Exported], stream: TextIO) -> None:
    for one in exported:
        for remark in one.remarks:
            print(one_line(f"{one.stage}: {remark}"), file=stream)
