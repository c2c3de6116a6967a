"""The next round: a recipe that trains a run's adapter further on what people voted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.base.paths import Paths, safe_name
from workbench.base.problems import Problem, ProblemError
from workbench.judge.vote_export import Export, preference_rows, write_rows
from workbench.recipe.catalog import Catalog
from workbench.recipe.recipe import Recipe, load_recipe
from workbench.recipe.schema import OWN_KEYS, SHAPE_KEYS, STAGES, load_schema
from workbench.recipe.yaml_edit import REMOVE, edit, rename
from workbench.run.lineage import find_origin
from workbench.run.record import read_record

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory

FEWEST_PAIRS = 2
TEST_SPLIT_FROM = 20
"""Fewer pairs are all trained on: a tenth of them would measure nothing."""
EPOCHS = 3
LEARNING_RATE = 5.0e-5
DATA_KEYS = (
    "dataset_name", "dataset_config", "dataset_train_split", "dataset_test_split",
    "dataset_streaming", "datasets", "test_split_size", "max_steps", *SHAPE_KEYS,
)  # fmt: skip
EVALUATION_KEYS = ("eval_strategy", "eval_steps", "load_best_model_at_end")
Changes = dict[tuple[str | int, ...], Any]


@dataclass(frozen=True)
class VoteRecipe:
    """A recipe that was written, and the data beside it.

    Attributes:
        warning: What makes the training doubtful; empty for nothing.
    """

    name: str
    path: Path
    data: Path
    export: Export
    warning: str


def make_vote_recipe(
    paths: Paths, run: RunDirectory, name: str = "", *, voter: str = "", force: bool = False
) -> VoteRecipe:
    """Write the votes as data, and the run's recipe with its DPO stage alone, on that data.

    Everything else of the recipe stays, comments too. It goes among the user's recipes.

    Args:
        name: Of the recipe; made of the run's name when empty.
        voter: whose votes; everybody's where empty.
        force: Whether a recipe and data of this name may be replaced.

    Raises:
        ProblemError: there are too few pairs, the run has no adapter to go on from, or a file
            is there already or cannot be written.
    """
    export = preference_rows(run, voter)
    if len(export.rows) < FEWEST_PAIRS:
        what = f"the votes give too little to train on: {' '.join(export.sentences())}"
        hint = f"Vote on more; it takes {FEWEST_PAIRS} pairs at least."
        raise ProblemError(Problem(what, run.id, hint))
    find_origin(run)
    record = read_record(run)
    name = name or f"{record.name or run.id}-votes"
    data = paths.recipes / f"{safe_name(name)}.jsonl"
    for file in (data, data.with_suffix(".yaml")):
        if file.exists() and not force:
            hint = "Choose another name, or replace it with --force."
            raise ProblemError(Problem("the file exists already", str(file), hint))
    # Relative paths of the recipe count from where it lay.
    source = Path(record.recipe_path) if record.recipe_path else run.recipe
    recipe = load_recipe(source, text=load_recipe(run.recipe).text)
    text = vote_text(recipe, data, len(export.rows))
    path = Catalog(paths, Path.cwd()).save_as(text, name, source=source, overwrite=force)
    write_rows(export, data, force=force)
    return VoteRecipe(name, path, data, export, _warning(load_recipe(path), export))


def vote_text(recipe: Recipe, data: Path, pairs: int) -> str:
    """A recipe's text with one stage, DPO, that trains on a file of preference pairs."""
    text = recipe.text
    if recipe.staged and "dpo" not in recipe.stages:
        text = rename(text, ("sft",), "dpo")
    found = load_recipe(recipe.path, text=text).data
    changes: Changes = {}
    section = found.get("dpo") if isinstance(found.get("dpo"), dict) else None
    if "sft" in found:
        changes["sft",] = REMOVE
    trained_dpo = "dpo" in recipe.stages
    for prefix, values in (((), found), (("dpo",), section or {})):
        changes |= _clear(prefix, values, trained_dpo=trained_dpo)
    at: tuple[str, ...] = ("dpo",) if section is not None else ()
    changes[*at, "datasets"] = [{"path": "json", "data_files": str(data)}]
    if pairs >= TEST_SPLIT_FROM:
        changes[*at, "test_split_size"] = 0.1
    if recipe.get("max_steps", recipe.stages[-1]) not in (None, -1):
        changes[*at, "num_train_epochs"] = EPOCHS
    if not trained_dpo:
        changes[*at, "learning_rate"] = LEARNING_RATE
        changes[*at, "beta"] = 0.1
    changes["title",] = f"{recipe.title}, trained on votes"
    if recipe.description:
        changes["description",] = f"DPO on {pairs} pairs that people chose by blind votes."
    return edit(text, changes)


def _clear(prefix: tuple[str, ...], values: Mapping[str, Any], *, trained_dpo: bool) -> Changes:
    """Take away what belongs to other data, and what DPO does not know."""
    schema = load_schema()
    changes: Changes = {}
    for key in values:
        foreign = (
            not trained_dpo
            and key not in OWN_KEYS
            and key not in STAGES
            and key not in schema.launch
            and schema.field(key, "dpo") is None
        )
        if key in DATA_KEYS or key in EVALUATION_KEYS or foreign:
            changes[*prefix, key] = REMOVE
    return changes


def _warning(recipe: Recipe, export: Export) -> str:
    batch = 1
    for key in ("per_device_train_batch_size", "gradient_accumulation_steps"):
        value = recipe.get(key, "dpo")
        batch *= value if isinstance(value, int) else 1
    pairs = len(export.rows)
    if pairs >= batch:
        return ""
    return (
        f"{pairs} pairs are less than one batch of {batch}: each epoch is a single step. "
        "Vote on more, or make the batch smaller."
    )
