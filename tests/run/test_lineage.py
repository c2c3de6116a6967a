"""Where a fork begins: the weights, the stages that are left, the reference."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from checkpoint_files import write_adapter, write_checkpoint

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.recipe import Recipe, load_recipe
from workbench.run.directory import BASE_REFERENCE, RunDirectory, create_run
from workbench.run.lineage import describe_lineage, find_origin, fit_recipe, fork_run
from workbench.run.record import read_record, update_record

RECIPE = """\
model_name_or_path: org/m
use_peft: true
sft: {datasets: [{path: json, data_files: a.jsonl}]}
dpo: {datasets: [{path: json, data_files: b.jsonl}], beta: 0.1}
"""
PAIR = '{"prompt": "a", "chosen": "b", "rejected": "c"}\n'


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    path = tmp_path / "recipes" / "two.yaml"
    path.parent.mkdir()
    path.write_text(RECIPE)
    (path.parent / "a.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 9)
    (path.parent / "b.jsonl").write_text(PAIR * 9)
    return load_recipe(path)


@pytest.fixture
def parent(recipe: Recipe, paths: Paths) -> RunDirectory:
    """A finished run of both stages."""
    run = create_run(paths, recipe, name="parent")
    write_checkpoint(run.output("sft"), 4)
    write_adapter(run.output("sft"))
    for step in (4, 8):
        write_checkpoint(run.output("dpo"), step, reference=True)
    write_adapter(run.output("dpo"))
    update_record(run, state="finished", results={"sft": {"steps": 4}, "dpo": {"steps": 8}})
    return run


def test_a_fork_at_a_step_of_dpo_keeps_the_parents_reference(
    parent: RunDirectory, paths: Paths
) -> None:
    run = fork_run(paths, parent, "8", ["dpo.beta=0.3"])
    record = read_record(run)
    assert record.stages == ["dpo"]
    assert (record.parent, record.parent_stage, record.parent_step) == (parent.id, "dpo", 8)
    assert record.name == "parent"
    assert describe_lineage(record) == f"forked from {parent.id} at dpo step 8"
    assert load_recipe(run.recipe).values("dpo")["beta"] == 0.3
    assert record.start_reference == str(run.start / "reference")
    assert not run.config("sft").exists()
    shutil.rmtree(parent.path)
    for folder in (run.start, run.start / "reference"):
        names = {file.name for file in folder.iterdir() if file.is_file()}
        assert names == {
            "adapter_config.json",
            "adapter_model.safetensors",
            "tokenizer_config.json",
        }


def test_dpo_that_began_at_the_base_has_the_base_for_its_reference(
    parent: RunDirectory, paths: Paths
) -> None:
    write_checkpoint(parent.output("dpo"), 12)
    assert find_origin(parent, "12").reference == BASE_REFERENCE
    assert read_record(fork_run(paths, parent, "12")).start_reference == "base"


def test_a_fork_at_a_step_of_sft_trains_both_stages(parent: RunDirectory, paths: Paths) -> None:
    record = read_record(fork_run(paths, parent, "sft:4"))
    assert record.stages == ["sft", "dpo"]
    assert (record.parent_stage, record.parent_step) == ("sft", 4)
    assert record.start_reference == ""


def test_a_fork_at_the_end_of_sft_trains_dpo(parent: RunDirectory, paths: Paths) -> None:
    record = read_record(fork_run(paths, parent, "sft"))
    assert (record.stages, record.parent_step, record.start_reference) == (["dpo"], 0, "")
    assert describe_lineage(record) == f"from {parent.id}, the final sft adapter"


def test_without_a_place_the_final_adapter_and_its_reference(
    parent: RunDirectory, paths: Paths
) -> None:
    origin = find_origin(parent)
    assert (origin.stage, origin.step) == ("dpo", 0)
    assert origin.reference == str(parent.output("dpo") / "checkpoint-8" / "ref")
    assert find_origin(parent, keep_reference=False).reference == ""
    shutil.rmtree(parent.output("dpo"))
    assert find_origin(parent).stage == "sft"


def test_another_rank_is_refused_with_both_values(parent: RunDirectory, paths: Paths) -> None:
    """Row 37."""
    with pytest.raises(ProblemError, match="the checkpoint has r 16, the config says 8"):
        fork_run(paths, parent, "8", ["lora_r=8"])
    with pytest.raises(ProblemError, match=r"target modules q_proj, v_proj.* says k_proj"):
        fork_run(paths, parent, "8", ["lora_target_modules=[k_proj]"])


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("6", "no checkpoint of step 6.*dpo:4, dpo:8"),
        ("sft:8", "no checkpoint of step 8.*sft:4"),
        ("rl:8", "cannot read the place"),
        ("../x", "cannot read the place"),
        ("8.5", "cannot read the place"),
    ],
)
def test_places_that_are_not_there(place: str, message: str, parent: RunDirectory) -> None:
    with pytest.raises(ProblemError, match=message):
        find_origin(parent, place)


def test_a_damaged_checkpoint_is_no_origin(parent: RunDirectory) -> None:
    """Row 31."""
    file = parent.output("dpo") / "checkpoint-8" / "optimizer.pt"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ProblemError, match=r"checkpoint-8 cannot be used: optimizer\.pt is 200"):
        find_origin(parent, "8")


def test_no_stage_is_left(parent: RunDirectory, recipe: Recipe) -> None:
    origin = find_origin(parent, "dpo", keep_reference=False)
    with pytest.raises(ProblemError, match="no stage is left"):
        fit_recipe(recipe, origin)
