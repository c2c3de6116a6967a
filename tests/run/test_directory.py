from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.recipe import Recipe
from workbench.run.directory import RunDirectory, create_run, find_run, list_runs

Make = Callable[..., Recipe]


def test_a_new_run_holds_recipe_configs_and_record(make_recipe: Make, paths: Paths) -> None:
    text = "title: Two\nmodel_name_or_path: org/m\nsft: {dataset_name: a}\ndpo: {dataset_name: b}\n"
    run = create_run(paths, make_recipe(text))
    assert run.recipe.read_text() == text
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(run.record.stat().st_mode) == 0o600
    config = yaml.safe_load(run.config("dpo").read_text())
    assert config["dataset_name"] == "b"
    assert config["output_dir"] == str(run.output("dpo"))
    record = json.loads(run.record.read_text())
    assert record["state"] == "queued"
    assert record["stages"] == ["sft", "dpo"]
    assert record["name"] == "trial"


def test_runs_are_found_by_id_prefix_name_and_last(make_recipe: Make, paths: Paths) -> None:
    first = create_run(paths, make_recipe(), name="alpha")
    second = create_run(paths, make_recipe(), name="beta")
    assert {run.id for run in list_runs(paths)} == {first.id, second.id}
    assert find_run(paths, first.id) == first
    assert find_run(paths, "beta") == second
    assert find_run(paths, "last") == list_runs(paths)[0]
    assert find_run(paths, first.id[:-2]) == first
    with pytest.raises(ProblemError, match="several runs begin so"):
        find_run(paths, first.id[:8])
    with pytest.raises(ProblemError, match="no such run"):
        find_run(paths, "gamma")


def test_no_runs_yet(paths: Paths) -> None:
    assert list_runs(paths) == []
    with pytest.raises(ProblemError, match="no runs yet"):
        find_run(paths, "last")


def test_a_home_that_cannot_be_written(make_recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    paths = Paths(data=tmp_path / "file", config=tmp_path, cache=tmp_path)
    with pytest.raises(ProblemError, match="DPO_WORKBENCH_HOME"):
        create_run(paths, make_recipe())


def make_checkpoint(run: RunDirectory, step: int, stage: str = "dpo") -> Path:
    folder = run.output(stage) / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    weights = ("adapter_config.json", "adapter_model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", *weights):
        (folder / name).write_bytes(b"x")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return folder


def test_checkpoints_in_order_of_steps(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    folders = [make_checkpoint(run, step) for step in (10, 9, 100)]
    assert run.checkpoints("dpo") == [folders[1], folders[0], folders[2]]
    assert run.checkpoints("sft") == []


@pytest.mark.parametrize(
    "damage",
    [
        *[f"missing {name}" for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth")],
        *[f"empty {name}" for name in ("optimizer.pt", "adapter_model.safetensors")],
        "missing trainer_state.json",
        "torn state",
        "other step",
        "marked incomplete",
    ],
)
def test_half_written_checkpoints_do_not_count(damage: str, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    good, bad = make_checkpoint(run, 4), make_checkpoint(run, 8)
    kind, _, name = damage.partition(" ")
    match kind:
        case "missing":
            (bad / name).unlink()
        case "empty":
            (bad / name).write_bytes(b"")
        case "torn":
            (bad / "trainer_state.json").write_text('{"global_st')
        case "other":
            (bad / "trainer_state.json").write_text('{"global_step": 7}')
        case _:
            (bad / "checkpoint-is-incomplete.txt").write_text("")
    assert run.checkpoints("dpo") == [good]
