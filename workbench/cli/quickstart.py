"""`quickstart`: train the shipped recipe, then show what it changed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from workbench.base.paths import Paths
from workbench.cli.app import show_app
from workbench.cli.compare import ask
from workbench.cli.compare_text import print_comparison
from workbench.cli.output import duration, interactive, one_line
from workbench.cli.recipes import total_lines
from workbench.cli.runs import read_scores, result_parts
from workbench.cli.train import follow_to_end, start
from workbench.judge.answers import Sampling
from workbench.judge.measures import measure
from workbench.recipe.estimate import totals
from workbench.recipe.recipe import SHIPPED, Recipe, load_recipe
from workbench.run.directory import RunDirectory
from workbench.run.record import read_record

RECIPE = "quickstart.yaml"
SAMPLING = Sampling(max_new_tokens=100)
LABEL_CELLS = 20


def quickstart(arguments: argparse.Namespace, paths: Paths) -> int:
    """Launch the quickstart recipe: in a terminal inside the app, else with printed results."""
    recipe = load_recipe(SHIPPED / RECIPE)
    if interactive() and not arguments.headless:
        return show_app(paths, open_run=start(paths, recipe).id)
    print_plan(recipe, paths)
    run = start(paths, recipe)
    code = follow_to_end(run)
    if code:
        return code
    print("\nThe same prompts, none of them trained on, for the base model and the tuned one:\n")
    comparisons = []
    for comparison in ask(run, recipe.probe_prompts, SAMPLING, say=_say):
        comparisons.append(comparison)
        print_comparison(comparison)
    print("\n".join(score_lines(run, comparisons)))
    print("\n".join(["", *next_lines(run)]))
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


def print_plan(recipe: Recipe, paths: Paths) -> None:
    """Say what is going to be trained, before anything is."""
    print(one_line(recipe.title))
    if recipe.description:
        print(one_line(recipe.description))
    print(f"base model: {one_line(recipe.model)}")
    for stage in recipe.stages:
        print(f"{stage}: {', '.join(total_lines(totals(recipe, stage, paths.models)))}")
    print(flush=True)


def score_lines(run: RunDirectory, comparisons: Sequence[dict[str, Any]]) -> list[str]:
    """The score block: held-out preference, answer lengths and loops, time and memory."""
    scores, record = read_scores(run), read_record(run)
    rows = []
    accuracy, pairs = scores.get("eval_rewards/accuracies"), scores.get("pairs")
    if isinstance(accuracy, int | float):
        of = f" of {pairs} pairs" if pairs else ""
        rows.append(("held-out accuracy", f"{accuracy:.2f}{of} rank the chosen answer first"))
    margin = scores.get("eval_rewards/margins")
    if isinstance(margin, int | float):
        rows.append(("reward margin", f"{margin:.2f}"))
    if comparisons:
        base, tuned = measure(comparisons, "base"), measure(comparisons, "tuned")
        rows.append(("mean answer", f"{base.words:.0f} words base, {tuned.words:.0f} tuned"))
        rows.append(
            ("repetition", f"{base.repetition:.1%} of four-word runs base, "
             f"{tuned.repetition:.1%} tuned")
        )  # fmt: skip
    rows += [(stage, ", ".join(result_parts(r))) for stage, r in record.results.items()]
    if record.started and record.finished:
        rows.append(("whole run", duration(record.finished - record.started)))
    return ["Scores", *(f"  {one_line(label):<{LABEL_CELLS}} {value}" for label, value in rows)]


def next_lines(run: RunDirectory) -> list[str]:
    """Where the run lies and what a person can do with it."""
    return [
        f"Run directory: {one_line(run.path)}",
        "Next:",
        "  dpo-workbench                                       the app, with this run in it",
        '  dpo-workbench compare last --prompt "Your question"   ask both models',
        "  dpo-workbench merge last my-model                   a full model for transformers",
    ]
