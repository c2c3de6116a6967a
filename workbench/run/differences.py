"""What differs between two recipes or runs: settings, and for runs what came of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.base.files import json_safe
from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.base.tail import read_small
from workbench.recipe.catalog import Catalog
from workbench.recipe.check_data import count_rows
from workbench.recipe.recipe import Recipe, load_recipe
from workbench.recipe.schema import SHAPE_KEYS, STAGES, load_schema
from workbench.run.changes import show_value
from workbench.run.directory import RunDirectory, find_run
from workbench.run.record import read_record

OWN_FOLDER = ("output_dir", "run_name")
RESULTS = ("last_loss", "train_loss", "steps", "seconds", "peak_rss_bytes", "peak_gpu_bytes")
HELD_OUT = ("eval_loss", "eval_rewards/accuracies", "eval_rewards/margins")


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    Attributes:
        name: As it was asked for, or the run's id.
        run: The run; None of a recipe.
        other: What else has the name, for a sentence.
    """

    name: str
    recipe: Recipe
    run: RunDirectory | None = None
    other: str = ""

    @property
    def kind(self) -> str:
        return "run" if self.run else "recipe"

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that are or were trained; `run --stage` leaves some of the recipe's out."""
        ran = tuple(read_record(self.run).stages) if self.run else ()
        return ran or self.recipe.stages


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same.

    Attributes:
        group: A stage, `recipe`, `results STAGE` or `versions`.
    """

    group: str
    key: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.key}: {show_value(self.before)} -> {show_value(self.after)}"


@dataclass
class Comparison:
    """Two sides and what differs between them."""

    sides: tuple[Side, Side]
    differences: list[Difference] = field(default_factory=list)


def find_side(paths: Paths, folder: Path, key: str) -> Side:
    """A recipe by name or path, else a run by id, the start of one, name or `last`.

    Raises:
        ProblemError: There is neither (exit code 2), or the recipe cannot be read.
    """
    run = _run(paths, key)
    if run is not None and (key == "last" or run.id.startswith(key)):
        return _side_of(run)
    try:
        path = Catalog(paths, folder).find(key)
    except ProblemError:
        if run is None:
            raise
        return _side_of(run)
    other = f"the run {run.id} has this name too" if run else ""
    return Side(key, load_recipe(path), None, other)


def _run(paths: Paths, key: str) -> RunDirectory | None:
    try:
        return find_run(paths, key)
    except ProblemError:
        return None


def _side_of(run: RunDirectory) -> Side:
    return Side(run.id, load_recipe(run.recipe), run)


def compare(first: Side, second: Side) -> Comparison:
    """What differs, setting by setting, by stage; TRL's default stands for what is not set."""
    found = Comparison((first, second))
    stages = (first.stages, second.stages)
    if stages[0] != stages[1]:
        names = [" and ".join(one) for one in stages]
        found.differences.append(Difference("recipe", "stages", *names))
    found.differences += _own(first.recipe, second.recipe)
    for stage in STAGES:
        if stage in stages[0] and stage in stages[1]:
            found.differences += _shapes(stage, first.recipe, second.recipe)
            found.differences += _settings(stage, first, second)
    if first.run and second.run:
        found.differences += _outcomes(first.run, second.run)
    return found


def _own(first: Recipe, second: Recipe) -> Iterator[Difference]:
    for key in ("probe_prompts", "shared_prefix"):
        before, after = first.data.get(key), second.data.get(key)
        if before != after:
            yield Difference("recipe", key, before, after)


def _shapes(stage: str, first: Recipe, second: Recipe) -> Iterator[Difference]:
    wishes = [asdict(recipe.wish(stage)) for recipe in (first, second)]
    for key in SHAPE_KEYS:
        before, after = (wish[key] for wish in wishes)
        if before != after:
            yield Difference(stage, key, before, after)


def _settings(stage: str, first: Side, second: Side) -> Iterator[Difference]:
    both_ran = first.run is not None and second.run is not None
    values = [_values(side, stage, both_ran) for side in (first, second)]
    keys = [key for key in load_schema().names(stage) if any(key in one for one in values)]
    for key in keys:
        if key in OWN_FOLDER:
            continue
        default = getattr(load_schema().field(key, stage), "default", None)
        before, after = (json_safe(one.get(key, default)) for one in values)
        if before != after:
            yield Difference(stage, key, before, after)
    rows = [_rows(side, stage) for side in (first, second)]
    if rows[0] != rows[1] and None not in rows:
        yield Difference(stage, "rows", *rows)


def _values(side: Side, stage: str, as_run: bool) -> Mapping[str, Any]:
    """A stage's settings as typed; of two runs those that TRL got."""
    if as_run and side.run is not None and side.run.config(stage).is_file():
        return load_recipe(side.run.config(stage), stage=stage).values(stage)
    return side.recipe.values(stage)


def _rows(side: Side, stage: str) -> int | None:
    """Training rows, of a run as its environment.json counted them."""
    if side.run is None:
        return count_rows(side.recipe, stage)
    data = _environment(side.run).get("datasets")
    entry = data.get(stage) if isinstance(data, dict) else None
    train = entry.get("train") if isinstance(entry, dict) else None
    rows = train.get("rows") if isinstance(train, dict) else None
    return rows if isinstance(rows, int) else None


def _environment(run: RunDirectory) -> dict[str, Any]:
    try:
        known = json.loads(read_small(run.environment))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _outcomes(first: RunDirectory, second: RunDirectory) -> Iterator[Difference]:
    records = [read_record(run) for run in (first, second)]
    if records[0].state != records[1].state:
        yield Difference("results", "state", records[0].state, records[1].state)
    for stage in STAGES:
        results = [_result(record.results.get(stage)) for record in records]
        for key in (*RESULTS, *HELD_OUT):
            before, after = (one.get(key) for one in results)
            if before != after:
                yield Difference(f"results {stage}", key, before, after)
    versions = [_environment(run).get("versions") for run in (first, second)]
    tables = [one if isinstance(one, dict) else {} for one in versions]
    for name in sorted({*tables[0], *tables[1]}):
        if tables[0].get(name) != tables[1].get(name):
            yield Difference("versions", name, tables[0].get(name), tables[1].get(name))


def _result(result: Any) -> dict[str, Any]:
    """A stage's results as one flat table."""
    if not isinstance(result, dict):
        return {}
    held_out = result.get("eval")
    return {**result, **(held_out if isinstance(held_out, dict) else {})}
