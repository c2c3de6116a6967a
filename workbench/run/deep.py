"""What a recipe comes to on this machine, asked of the libraries in a process of their own.

`deep_check` looks at model, tokenizer and data without loading weights or training; `resolve_all`
tells every setting as TRL will hold it. Both start `python -m workbench.worker.deep_check` and read
its JSON lines, so that nothing heavy is imported here. Both take seconds: call them from a thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from workbench.base.files import json_safe
from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError, Severity
from workbench.base.text import clean
from workbench.recipe.caution import allowed_variables
from workbench.recipe.checks import check, errors, in_order
from workbench.recipe.recipe import Recipe, resolve
from workbench.recipe.rules.base import Settings
from workbench.recipe.rules.packages import missing_packages
from workbench.run.worker_events import Event, last_words, read_events

WORKER = "workbench.worker.deep_check"
TEACH_NOTHING = ("have equal answers", "have an empty answer")
"""What `check` says of local files, in one sentence, and the worker of any data."""

Events = Generator[Event, None, None]
Say = Callable[[str], None]
Begun = Callable[[Callable[[], None]], None]


@dataclass
class DeepReport:
    """What was found.

    Attributes:
        problems: Those of `check` and the deeper ones, in the order of the file.
        stages: Per stage its figures: `rows`, `held_out`, `sample` (rows measured), `tokens` (per
            part p50, p95 and max), `truncated`, `dropped`, `same` and `empty` (rows of the
            sample), `modules` (with an adapter), `trainable` and `total` parameters. What could
            not be found is missing.
        configs: Per stage `values`, every setting as TRL holds it, and `hardware`, those which
            this machine has added.
        looked: Whether the libraries were asked; with errors in the recipe itself they are not.
    """

    problems: list[Problem] = field(default_factory=list)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    looked: bool = False


def deep_check(
    recipe: Recipe,
    paths: Paths,
    *,
    trusted_model: str = "",
    say: Say = lambda _: None,
    begun: Begun = lambda _: None,
) -> DeepReport:
    """All that can be known to be wrong with a recipe before it is trained on this machine.

    Args:
        trusted_model: The model, as the recipe names it, whose own code may run.
        say: Called with a sentence about what takes time.
        begun: Called with a function that ends the look early, from whatever thread.
    """
    found = check(recipe, paths, trusted_model=trusted_model)
    missing = {
        problem
        for stage in recipe.stages
        for problem in missing_packages(Settings(recipe, stage, paths.models))
    }
    found = [replace(one, severity="error") if one in missing else one for one in found]
    report = DeepReport(found)
    if [one for one in errors(found) if one.what not in {m.what for m in missing}]:
        return report
    asked = events(recipe, paths, trusted_model=trusted_model, begun=begun)
    _collect(report, recipe, asked, say)
    report.problems = in_order(recipe, list(dict.fromkeys(report.problems)))
    return report


def resolve_all(
    recipe: Recipe, paths: Paths, *, trusted_model: str = "", say: Say = lambda _: None
) -> DeepReport:
    """Every setting of every stage as it will be on this machine (`configs`).

    Raises:
        ProblemError: The recipe has errors, or TRL refuses it.
    """
    if fatal := errors(check(recipe, paths, trusted_model=trusted_model)):
        raise ProblemError(*fatal)
    report = DeepReport()
    asked = events(recipe, paths, trusted_model=trusted_model, resolve_only=True)
    _collect(report, recipe, asked, say)
    if fatal := errors(report.problems):
        raise ProblemError(*fatal)
    return report


def _collect(report: DeepReport, recipe: Recipe, asked: Events, say: Say) -> None:
    report.looked = True
    told = any(TEACH_NOTHING[0] in one.what for one in report.problems)
    with contextlib.closing(asked):
        for event in asked:
            stage = str(event.get("stage") or "")
            match event["event"]:
                case "progress":
                    say(clean(str(event.get("message")), newlines=False))
                case "problem":
                    problem = _problem(recipe, stage, event)
                    if not (told and any(words in problem.what for words in TEACH_NOTHING)):
                        report.problems.append(problem)
                case "config":
                    report.configs[stage] = {k: event[k] for k in ("values", "hardware")}
                case "stage":
                    hidden = ("event", "stage")
                    report.stages[stage] = {k: v for k, v in event.items() if k not in hidden}


def _problem(recipe: Recipe, stage: str, event: Mapping[str, Any]) -> Problem:
    """A problem of the worker with the place of the setting that it is about."""
    words = {key: clean(str(event.get(key) or "")) for key in ("what", "where", "next_step")}
    where = place_of(recipe, stage, words["where"])
    severity: Severity = "warning" if event.get("severity") == "warning" else "error"
    return Problem(words["what"], where, words["next_step"], severity)


def place_of(recipe: Recipe, stage: str, key: str) -> str:
    """Where in the recipe a setting stands; the key itself where it is none."""
    if not stage:
        return key or recipe.path.name
    values = recipe.values(stage)
    if key in ("datasets", "dataset_name", ""):
        key = next((name for name in ("datasets", "dataset_name") if name in values), key)
    if "/" in key:
        return key
    return recipe.document.where(recipe.path_of(key, stage))


def events(
    recipe: Recipe,
    paths: Paths,
    *,
    trusted_model: str = "",
    resolve_only: bool = False,
    begun: Begun = lambda _: None,
) -> Events:
    """The worker's events one by one; closing the iterator ends the worker.

    A worker that dies gives one last event `problem` with its last words.
    """
    with tempfile.TemporaryDirectory(prefix="dpo-workbench-") as name:
        folder = Path(name)
        _write_job(folder, recipe, paths, trusted_model, resolve_only)
        ended = False
        with contextlib.closing(_ask(folder, recipe, begun)) as asked:
            for event in asked:
                if event["event"] == "end":
                    ended = True
                else:
                    yield event
        if not ended:
            yield {"event": "problem", **_obituary(folder / "stderr.log")}


def _write_job(
    folder: Path, recipe: Recipe, paths: Paths, trusted_model: str, resolve_only: bool
) -> None:
    for stage in recipe.stages:
        output = paths.runs / "RUN" / stage
        config = resolve(recipe, stage, output_dir=output, models=paths.models)
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
        (folder / f"{stage}.yaml").write_text(text, encoding="utf-8")
    job = {
        "stages": list(recipe.stages),
        "model": recipe.model,
        "models": str(paths.models),
        "trusted_model": trusted_model,
        "resolve_only": resolve_only,
        "wishes": {stage: asdict(recipe.wish(stage)) for stage in recipe.stages},
    }
    (folder / "job.json").write_text(json.dumps(json_safe(job)), encoding="utf-8")


def _ask(folder: Path, recipe: Recipe, begun: Begun) -> Events:
    variables = allowed_variables(recipe.values(recipe.stages[0]).get("env"))
    with (folder / "stderr.log").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", WORKER, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **variables},
        )
    begun(process.terminate)
    yield from read_events(process)


def _obituary(log: Path) -> dict[str, str]:
    cause = last_words(log) or "it said nothing"
    hint = "Run `dpo-workbench doctor`; `check` without --deep needs none of the libraries."
    return {"what": f"the deeper look has failed: {cause}", "next_step": hint}
