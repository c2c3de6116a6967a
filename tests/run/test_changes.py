"""Settings and data that changed between a checkpoint and its resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkpoint_files import write_checkpoint

from workbench.base.files import write_atomic
from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.launching import launch_record
from workbench.recipe.recipe import Recipe, load_recipe
from workbench.run import launch
from workbench.run.changes import changed_settings
from workbench.run.checkpoints import file_hash
from workbench.run.directory import RunDirectory, create_run
from workbench.run.record import read_record, update_record

RECIPE = "model_name_or_path: org/m\ndataset_name: a\nlearning_rate: 5.0e-5\nlora_r: 16\n"


@pytest.fixture
def run(make_recipe: Callable[..., Recipe], paths: Paths) -> RunDirectory:
    """A stopped run with a checkpoint that knows its settings."""
    run = create_run(paths, make_recipe(RECIPE))
    facts = {
        "config": yaml.safe_load(run.config("dpo").read_text()),
        "recipe": load_recipe(run.recipe).values("dpo"),
    }
    write_checkpoint(run.output("dpo"), 8, **facts)
    update_record(run, state="stopped")
    return run


def set_value(file: Path, key: str, value: Any) -> None:
    config = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**config, key: value}))


def launched(monkeypatch: pytest.MonkeyPatch) -> list[RunDirectory]:
    runs: list[RunDirectory] = []
    monkeypatch.setattr(launch, "launch", runs.append)
    return runs


def test_nothing_has_changed(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    started = launched(monkeypatch)
    set_value(run.config("dpo"), "logging_steps", 3)
    set_value(run.config("dpo"), "save_total_limit", 1)
    assert changed_settings(run) == []
    launch.resume(run)
    assert started == [run]


def test_a_changed_rate_must_be_accepted(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 36."""
    started = launched(monkeypatch)
    set_value(run.config("dpo"), "learning_rate", 1e-4)
    with pytest.raises(ProblemError) as caught:
        launch.resume(run)
    assert "dpo.learning_rate: 5e-05 -> 0.0001 (has no effect" in str(caught.value)
    assert "--accept-changes" in str(caught.value)
    assert started == []
    launch.resume(run, accept_changes=True)
    assert started == [run]
    assert "learning_rate" in read_record(run).notes[0]


@pytest.mark.parametrize(("key", "value"), [("seed", 7), ("per_device_train_batch_size", 3)])
def test_another_order_of_the_rows_is_told(key: str, value: int, run: RunDirectory) -> None:
    """Row 36."""
    set_value(run.config("dpo"), key, value)
    (change,) = changed_settings(run)
    assert (change.key, change.before, change.after) == (key, "(not set)", str(value))
    assert "another order" in change.effect


def test_another_rank_is_refused(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 37."""
    started = launched(monkeypatch)
    set_value(run.config("dpo"), "lora_r", 8)
    with pytest.raises(ProblemError, match="the checkpoint has r 16, the config says 8"):
        launch.resume(run, accept_changes=True)
    assert started == []


def test_without_a_manifest_the_adapter_tells_its_rank(run: RunDirectory) -> None:
    """Row 37."""
    (run.output("dpo") / "checkpoint-8" / "manifest.json").unlink()
    assert changed_settings(run) == []
    set_value(run.config("dpo"), "lora_r", 8)
    (change,) = changed_settings(run)
    assert change.refused
    assert "r 16" in change.effect


def test_an_edited_recipe_does_not_reach_a_resume(run: RunDirectory) -> None:
    run.recipe.write_text(RECIPE.replace("5.0e-5", "1.0e-6"))
    (change,) = changed_settings(run)
    assert change.after == "1e-06"
    assert "a resume takes dpo.yaml" in change.effect


def test_a_damaged_config_is_named(run: RunDirectory) -> None:
    run.config("dpo").write_text("a: [1")
    with pytest.raises(ProblemError, match=r"dpo\.yaml"):
        changed_settings(run)


def test_a_changed_data_file(run: RunDirectory, tmp_path: Path) -> None:
    """Row 36."""
    data = tmp_path / "prefs.jsonl"
    data.write_text("one\n")
    entry = {"path": str(data), "bytes": 4, "sha256": file_hash(data)}
    environment = {"datasets": {"dpo": {"files": [entry]}}}
    write_atomic(run.environment, json.dumps(environment))
    assert changed_settings(run) == []
    data.write_text("two\n")
    assert [change.after for change in changed_settings(run)] == ["4 other bytes"]
    data.write_text("three\n")
    assert [change.after for change in changed_settings(run)] == ["6 bytes"]
    data.unlink()
    assert [change.after for change in changed_settings(run)] == ["missing"]


def test_a_finished_run_says_so(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 35."""
    started = launched(monkeypatch)
    update_record(run, state="finished", results={"dpo": {"steps": 8}})
    with pytest.raises(ProblemError, match="finished already"):
        launch.resume(run)
    assert started == []


def add_lines(run: RunDirectory, lines: str) -> None:
    with run.recipe.open("a") as recipe:
        recipe.write(lines)


def test_another_number_of_processes_must_be_accepted(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest that tells nothing of the launch was written by one process."""
    started = launched(monkeypatch)
    add_lines(run, "num_processes: 2\n")
    with pytest.raises(ProblemError, match=r"dpo.num_processes: 1 -> 2 \(each step takes another"):
        launch.resume(run)
    assert started == []
    launch.resume(run, accept_changes=True)
    assert started == [run]


def test_the_launch_of_the_checkpoint_is_compared(
    make_recipe: Callable[..., Recipe], paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    run = create_run(paths, make_recipe(f"{RECIPE}accelerate_config: fsdp2\n"))
    recipe = load_recipe(run.recipe)
    facts = {
        "config": yaml.safe_load(run.config("dpo").read_text()),
        "recipe": recipe.values("dpo"),
        "launch": launch_record(recipe, 2),
    }
    write_checkpoint(run.output("dpo"), 8, **facts)
    update_record(run, state="stopped", processes=2)
    assert changed_settings(run) == []
    update_record(run, device="cuda:1")
    assert [str(change)[:28] for change in changed_settings(run)] == [
        "dpo.num_processes: 2 -> 1 (e"
    ]
    # In a cluster's queue nobody on the login node knows how many there will be.
    update_record(run, slurm_job="17")
    assert changed_settings(run) == []
    update_record(run, device="", slurm_job="")
    run.recipe.write_text(run.recipe.read_text().replace("fsdp2", "multi_gpu"))
    (change,) = changed_settings(run)
    assert str(change) == (
        "dpo.accelerate_config: fsdp2 -> multi_gpu "
        "(the optimizer's state was saved by another way of sharing the work)"
    )
    assert not change.refused
