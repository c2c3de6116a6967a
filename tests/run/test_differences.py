"""What differs between two recipes or runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.recipe import load_recipe
from workbench.run.differences import compare, find_side
from workbench.run.directory import RunDirectory, create_run
from workbench.run.record import update_record

RECIPE = """\
title: One
model_name_or_path: org/model
dataset_name: org/pairs
beta: 0.1
loss_type: [sigmoid]
"""


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)
    return folder / f"{name}.yaml"


def lines(paths: Paths, folder: Path, first: str, second: str) -> list[str]:
    sides = (find_side(paths, folder, first), find_side(paths, folder, second))
    return [f"{one.group}: {one}" for one in compare(*sides).differences]


def test_settings_differ_by_stage_and_defaults_count(paths: Paths, tmp_path: Path) -> None:
    write(paths.recipes, "one", RECIPE)
    write(paths.recipes, "two", RECIPE.replace("0.1", "0.2") + "lora_r: 16\nmax_steps: 5\n")
    assert lines(paths, tmp_path, "one", "two") == [
        "dpo: max_steps: -1 -> 5",
        "dpo: beta: 0.1 -> 0.2",
    ]
    assert lines(paths, tmp_path, "one", "one") == []


def test_stages_and_own_keys(paths: Paths, tmp_path: Path) -> None:
    write(paths.recipes, "one", RECIPE)
    staged = "model_name_or_path: org/other\nsft:\n  dataset_name: a/b\ndpo:\n  dataset_name: c/d\n"
    write(paths.recipes, "two", f"{staged}probe_prompts: [Why?]\n")
    assert lines(paths, tmp_path, "one", "two") == [
        "recipe: stages: dpo -> sft and dpo",
        'recipe: probe_prompts: (not set) -> ["Why?"]',
        "dpo: dataset_name: org/pairs -> c/d",
        "dpo: model_name_or_path: org/model -> org/other",
    ]


def test_launches_differ_for_all_stages(paths: Paths, tmp_path: Path) -> None:
    write(paths.recipes, "one", RECIPE)
    two = write(paths.recipes, "two", f"{RECIPE}num_processes: 2\naccelerate_config: fsdp2\n")
    assert lines(paths, tmp_path, "one", "two") == [
        "launch: accelerate_config: (not set) -> fsdp2",
        "launch: num_processes: (not set) -> 2",
    ]
    first, second = (create_run(paths, load_recipe(two)) for _ in range(2))
    update_record(second, processes=4)
    assert lines(paths, tmp_path, first.id, second.id) == ["launch: processes: 1 -> 4"]


def finished(paths: Paths, path: Path, name: str, loss: float, torch: str) -> RunDirectory:
    run = create_run(paths, load_recipe(path), name=name)
    held_out = {"eval_loss": loss, "eval_rewards/accuracies": 0.75, "eval_rewards/margins": loss}
    results = {"dpo": {"last_loss": loss, "seconds": 12.5, "steps": 4, "eval": held_out}}
    update_record(run, state="finished", results=results)
    environment = {"versions": {"torch": torch, "trl": "1"}}
    rows = {"datasets": {"dpo": {"train": {"rows": round(10 * loss)}}}}
    run.environment.write_text(json.dumps({**environment, **rows}))
    return run


def test_runs_differ_in_their_results_and_versions_too(paths: Paths, tmp_path: Path) -> None:
    first = finished(paths, write(tmp_path, "a", RECIPE), "first", 0.5, "2.1")
    second = write(tmp_path, "b", f"{RECIPE}save_steps: 7\n")
    finished(paths, second, "second", 0.25, "2.2")
    assert lines(paths, tmp_path, first.id, "second") == [
        "dpo: save_steps: 500 -> 7",
        "dpo: rows: 5 -> 2",
        "results dpo: last_loss: 0.5 -> 0.25",
        "results dpo: eval_loss: 0.5 -> 0.25",
        "results dpo: eval_rewards/margins: 0.5 -> 0.25",
        "versions: torch: 2.1 -> 2.2",
    ]


def test_a_run_of_one_stage_of_two(paths: Paths, tmp_path: Path) -> None:
    staged = "model_name_or_path: org/m\nsft:\n  dataset_name: a/b\ndpo:\n  dataset_name: c/d\n"
    path = write(paths.recipes, "two", staged)
    run = create_run(paths, load_recipe(path, stage="dpo"), name="half")
    assert lines(paths, tmp_path, "two", run.id) == ["recipe: stages: sft and dpo -> dpo"]
    other = create_run(paths, load_recipe(path), name="whole")
    other.config("dpo").unlink()
    assert lines(paths, tmp_path, run.id, "whole")[0] == "recipe: stages: dpo -> sft and dpo"


def test_a_damaged_run_is_compared_as_far_as_it_goes(paths: Paths, tmp_path: Path) -> None:
    path = write(tmp_path, "a", RECIPE)
    first = finished(paths, path, "first", 0.5, "2.1")
    second = finished(paths, path, "second", 0.5, "2.1")
    second.environment.write_text("[1,")
    update_record(second, results={"dpo": [1]})
    assert "versions: torch: 2.1 -> (not set)" in lines(paths, tmp_path, first.id, second.id)


def test_a_name_of_both_is_read_as_the_recipe_and_said(paths: Paths, tmp_path: Path) -> None:
    path = write(paths.recipes, "both", RECIPE)
    run = finished(paths, path, "both", 0.5, "2.1")
    side = find_side(paths, tmp_path, "both")
    assert (side.kind, side.other) == ("recipe", f"the run {run.id} has this name too")
    assert find_side(paths, tmp_path, "last").name == run.id
    assert find_side(paths, tmp_path, run.id[:18]).kind == "run"
    with pytest.raises(ProblemError, match="no such recipe"):
        find_side(paths, tmp_path, "neither")
