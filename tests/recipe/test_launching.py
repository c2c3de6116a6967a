"""The launch keys of a recipe, and the accelerate config that follows from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.base.problems import ProblemError
from workbench.recipe.launch_files import PRESETS, keep_launch_files, read_launch_file
from workbench.recipe.launching import (
    LaunchWish,
    accelerate_settings,
    launch_record,
    launch_wish,
    launcher_flags,
    process_count,
)
from workbench.recipe.recipe import Recipe, load_recipe

Make = Callable[..., Recipe]
HEAD = "model_name_or_path: org/model\ndataset_name: org/pairs\nuse_peft: true\n"


def settings(recipe: Recipe, *, devices: int = 4, on_cpu: bool = False) -> dict[str, Any]:
    folder = recipe.path.parent
    wish = launch_wish(recipe)
    return accelerate_settings(wish, devices=devices, on_cpu=on_cpu, recipe_folder=folder)


def test_a_recipe_without_launch_keys_is_one_process(make_recipe: Make) -> None:
    wish = launch_wish(make_recipe(HEAD))
    assert wish == LaunchWish()
    assert wish.is_one_process
    assert process_count(wish, devices=8) == 1


@pytest.mark.parametrize(
    ("lines", "one"),
    [
        ("num_processes: 1", True),
        ("accelerate_config: single_gpu", True),
        ("num_machines: 1\nmain_process_port: 5000", True),
        ("quiet: true\ntee: 3", True),
        ("use_fsdp: false", True),
        ("num_processes: 2", False),
        ("num_processes: 1\naccelerate_config: fsdp2", False),
        ("accelerate_config: multi_gpu", False),
        ("num_machines: 2", False),
        ("use_fsdp: true", False),
        ("multi_gpu: true", False),
    ],
)
def test_which_recipes_need_a_launcher(make_recipe: Make, lines: str, one: bool) -> None:
    assert launch_wish(make_recipe(f"{HEAD}{lines}\n")).is_one_process is one


def test_the_wish_holds_the_keys_and_leaves_wrong_kinds_out(make_recipe: Make) -> None:
    recipe = make_recipe(
        f"{HEAD}num_processes: 4\nnum_machines: 2\nmachine_rank: 1\nmain_process_ip: 10.0.0.1\n"
        "main_process_port: 29501\nenable_cpu_affinity: true\ngpu_ids: '0,1'\nquiet: true\n"
    )
    options = {"enable_cpu_affinity": True}
    assert launch_wish(recipe) == LaunchWish(4, "", 2, 1, "10.0.0.1", 29501, options)
    assert launch_wish(make_recipe(f"{HEAD}num_processes: many\n")) == LaunchWish()
    assert "num_processes" not in recipe.values("dpo")


@pytest.mark.parametrize("name", PRESETS)
def test_every_config_of_trl_resolves(make_recipe: Make, name: str) -> None:
    found = settings(make_recipe(f"{HEAD}accelerate_config: {name}\n"), devices=3)
    kind = {"f": "FSDP", "z": "DEEPSPEED"}.get(name[0], "MULTI_GPU")
    assert found["distributed_type"] == kind
    assert found["num_processes"] == (1 if name == "single_gpu" else 3)
    assert found["mixed_precision"] == "no"
    assert found["main_process_port"] == 0
    assert "gradient_accumulation_steps" not in found.get("deepspeed_config", {})


def test_accelerate_reads_what_is_written(make_recipe: Make, tmp_path: Path) -> None:
    """Its own class knows every key, so that nothing fails in front of the training."""
    config_args = pytest.importorskip("accelerate.commands.config.config_args")
    recipe = make_recipe(
        f"{HEAD}accelerate_config: fsdp2\nfsdp_offload_params: 'true'\ndynamo_backend: no\n"
        "num_cpu_threads_per_process: 2\nfp8_backend: ao\n"
    )
    file = tmp_path / "accelerate.yaml"
    file.write_text(yaml.safe_dump(settings(recipe)))
    read = config_args.load_config_from_file(str(file))
    assert read.distributed_type.value == "FSDP"
    assert read.fsdp_config["fsdp_offload_params"] is True
    assert read.fp8_config == {"fp8_backend": "ao"}
    assert read.dynamo_config == {"dynamo_backend": "no"}


def test_the_recipes_options_win_over_the_file(make_recipe: Make, tmp_path: Path) -> None:
    own = {
        "distributed_type": "MULTI_GPU",
        "num_processes": 6,
        "num_machines": 2,
        "machine_rank": 1,
        "main_process_ip": "10.0.0.9",
        "mixed_precision": "bf16",
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    recipe = make_recipe(f"{HEAD}accelerate_config: own.yaml\nmachine_rank: 0\n")
    found = settings(recipe)
    assert (found["num_processes"], found["num_machines"], found["machine_rank"]) == (6, 2, 0)
    assert (found["main_process_ip"], found["main_process_port"]) == ("10.0.0.9", 29500)
    # Bf16 is a stage's to say: TRL's own default for it goes over what this file says, too.
    assert found["mixed_precision"] == "no"
    named = make_recipe(f"{HEAD}accelerate_config: own.yaml\nmixed_precision: bf16\n")
    assert settings(named)["mixed_precision"] == "bf16"


def test_a_file_of_one_process_starts_one(make_recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("distributed_type: NO\nnum_processes: -1\n")
    found = settings(make_recipe(f"{HEAD}accelerate_config: one.yaml\n"), devices=8)
    assert (found["num_processes"], found["distributed_type"]) == (1, "MULTI_GPU")


def test_deepspeeds_own_file_stands_alone(make_recipe: Make) -> None:
    """Accelerate refuses to start where a precision stands beside it."""
    recipe = make_recipe(f"{HEAD}use_deepspeed: true\ndeepspeed_config_file: ds.json\n")
    found = settings(recipe)
    assert found["distributed_type"] == "DEEPSPEED"
    assert found["deepspeed_config"]["deepspeed_config_file"] == str(recipe.path.parent / "ds.json")
    assert "mixed_precision" not in found


@pytest.mark.parametrize("name", ["fsdp1", "fsdp2"])
def test_what_needs_gpus_says_so_on_a_cpu(make_recipe: Make, name: str) -> None:
    recipe = make_recipe(f"{HEAD}accelerate_config: {name}\nnum_processes: 2\n")
    with pytest.raises(ProblemError, match="trains on GPUs only") as caught:
        settings(recipe, devices=1, on_cpu=True)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1", "the launch config is no YAML"),
        ("- 1", "the launch config is no mapping"),
        ("num_processes: 2", "the launch config has no distributed_type"),
        ("distributed_type: XLA", "distributed_type: XLA cannot be started here"),
        ("distributed_type: [1]", "cannot be started here"),
        (
            "compute_environment: AMAZON_SAGEMAKER\ndistributed_type: NO",
            "the launch config is for AMAZON_SAGEMAKER",
        ),
        ("distributed_type: MULTI_GPU\nuse_cpu: true", "use_cpu belongs into the recipe"),
        (
            "distributed_type: FSDP\nparallelism_config: {parallelism_config_tp_size: 2}",
            "parallelism_config cannot be used",
        ),
    ],
)
def test_a_wrong_file_is_one_clear_message(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "own.yaml").write_text(content)
    with pytest.raises(ProblemError) as caught:
        read_launch_file("own.yaml", tmp_path)
    (problem,) = caught.value.problems
    assert message in problem.what
    assert "own.yaml" in problem.where
    assert problem.next_step


def test_a_missing_or_unreadable_file_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"there is no launch config none\.yaml.* fsdp2"):
        read_launch_file("none.yaml", tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00distributed_type")
    with pytest.raises(ProblemError, match="is no YAML"):
        read_launch_file("bytes.yaml", tmp_path)
    with pytest.raises(ProblemError, match="there is no launch config"):
        read_launch_file("x" * 5000, tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ProblemError, match="cannot read the launch config"):
        read_launch_file("folder", tmp_path)


def test_cores_are_shared_among_the_processes_of_a_cpu(make_recipe: Make) -> None:
    wish = launch_wish(make_recipe(f"{HEAD}num_processes: 2\n"))
    threads = "--num_cpu_threads_per_process"
    assert launcher_flags(wish, processes_here=2, cores=9, on_cpu=True) == [threads, "4"]
    assert launcher_flags(wish, processes_here=2, cores=1, on_cpu=True) == [threads, "1"]
    assert launcher_flags(wish, processes_here=2, cores=9, on_cpu=False) == []
    own = launch_wish(make_recipe(f"{HEAD}num_processes: 2\nnum_cpu_threads_per_process: 3\n"))
    assert launcher_flags(own, processes_here=2, cores=9, on_cpu=True) == [threads, "3"]


def test_a_run_keeps_the_files_that_its_recipe_names(make_recipe: Make, tmp_path: Path) -> None:
    """Its recipe is a copy in another folder, and the files may change meanwhile."""
    folder = tmp_path / "recipes" / "launch"
    folder.mkdir(parents=True)
    own = {
        "distributed_type": "DEEPSPEED",
        "num_processes": 3,
        "deepspeed_config": {"deepspeed_config_file": "zero.json"},
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(own))
    (folder / "zero.json").write_text('{"zero_optimization": {"stage": 2}}')
    text = f"{HEAD}accelerate_config: launch/own.yaml\n"
    recipe = load_recipe(folder.parent / "trial.yaml", text=text)
    run = tmp_path / "run"
    run.mkdir()
    keep_launch_files("launch/own.yaml", None, folder.parent, run)
    (folder / "own.yaml").unlink()
    (folder / "zero.json").unlink()
    kept = load_recipe(run / "recipe.yaml", text=recipe.text)
    assert launch_wish(kept).num_processes == 3
    found = settings(kept)
    named = found["deepspeed_config"]["deepspeed_config_file"]
    assert Path(named).read_text() == '{"zero_optimization": {"stage": 2}}'
    assert Path(named).parent == run


@pytest.mark.parametrize(
    ("lines", "processes", "name"),
    [
        ("beta: 0.1", 1, "multi_gpu"),
        ("num_processes: 2", 2, "multi_gpu"),
        ("accelerate_config: multi_gpu", 4, "multi_gpu"),
        ("accelerate_config: fsdp1", 1, "fsdp1"),
        ("accelerate_config: fsdp2", 4, "fsdp2"),
        ("accelerate_config: zero3", 2, "zero3"),
        ("use_fsdp: true\nfsdp_version: 2", 2, "fsdp2"),
        ("use_deepspeed: true", 2, "zero2"),
    ],
)
def test_what_a_checkpoint_remembers(
    make_recipe: Make, lines: str, processes: int, name: str
) -> None:
    """By what it does, so that another spelling of the same launch is no change."""
    assert launch_record(make_recipe(f"{HEAD}{lines}\n"), processes) == {
        "num_processes": processes,
        "accelerate_config": name,
        "mixed_precision": "no",
    }
