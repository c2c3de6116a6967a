"""What `check` and `--set` say of the launch keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.check_launch import check_launch
from workbench.recipe.checks import check, errors
from workbench.recipe.recipe import Recipe, apply_overrides, load_recipe

Make = Callable[..., Recipe]
HEAD = (
    "model_name_or_path: org/model\ndataset_name: org/pairs\nlearning_rate: 1e-5\nuse_peft: true\n"
)


@pytest.mark.parametrize(
    "lines",
    [
        "num_processes: 2",
        "num_processes: 4\nnum_machines: 2\nmachine_rank: 1\nmain_process_ip: 10.0.0.1",
        "accelerate_config: fsdp2\nfsdp_offload_params: true",
        "accelerate_config: zero3\nzero3_init_flag: 'true'",
        "use_fsdp: true\nfsdp_version: 2",
        "mixed_precision: no\ngpu_ids: all\nmain_process_port: 0",
        "num_cpu_threads_per_process: 2\nrdzv_backend: c10d\nsame_network: true",
        "multi_gpu: true\naccelerate_config: multi_gpu",
    ],
)
def test_right_keys_have_no_problem(make_recipe: Make, paths: Paths, lines: str) -> None:
    assert check(make_recipe(f"{HEAD}{lines}\n"), paths) == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("num_processes: 0", "trial.yaml:5:1: num_processes: 0 is not above 0. Write a number"),
        ("num_processes: two", "num_processes: 'two' is not a whole number. Write a whole"),
        ("num_processes: 1.5", "num_processes: 1.5 is not a whole number"),
        ("num_machines: 0", "num_machines: 0 is not above 0. Write a number such as 2."),
        ("num_machines: 2\nmachine_rank: -1", "machine_rank: -1 is below 0"),
        ("num_machines: 2\nmachine_rank: 2", "machine_rank: 2 of num_machines: 2 is not there"),
        ("machine_rank: 1", "machine_rank: 1 of num_machines: 1 is not there. Write num_machines:"),
        ("main_process_port: 65536", "main_process_port: 65536 is above 65535. Write a number"),
        (
            "num_processes: 3\nnum_machines: 2",
            "3 processes cannot be shared out evenly among 2 machines. num_processes counts those "
            "of all machines: write 2 or 4.",
        ),
        (
            "mixed_precision: bf32",
            "mixed_precision: there is no bf32. Allowed: no, fp16, bf16, fp8.",
        ),
        (
            "accelerate_config: fsdp3",
            "trial.yaml:5:1: there is no launch config fsdp3. Write one of single_gpu, multi_gpu",
        ),
        ("config_file: a.yaml\naccelerate_config: fsdp2", "names a second launch config"),
        ("accelerate_config: single_gpu\nnum_processes: 2", "single_gpu is one process"),
        ("use_fsdp: true\nuse_deepspeed: true", "exclude each other"),
        ("use_deepspeed: true\naccelerate_config: fsdp2", "contradicts accelerate_config: fsdp2"),
        ("multi_gpu: true\naccelerate_config: zero2", "contradicts accelerate_config: zero2"),
        ("use_deepspeed: true\ndeepspeed_config_file: ds.json", "there is no file ds.json"),
        ("cpu: true", "cpu cannot be used: it would start a single process. Write use_cpu: true"),
        ("gpu_ids: '0,1'", "gpu_ids cannot be used: a run gets its devices when it starts"),
        ("max_restarts: 2", "max_restarts cannot be used: a run whose process ends, ends"),
        ("use_megatron_lm: true", "every process of a run trains on rows of its own"),
        ("parallelism_config_tp_size: 2", "parallelism_config_tp_size cannot be used"),
        ("tpu: true", "tpu cannot be used: a run trains on GPUs or CPUs"),
        ("num_proceses: 2", "there is no setting num_proceses. Did you mean num_processes?"),
        ("acelerate_config: fsdp2", "Did you mean accelerate_config?"),
    ],
)
def test_wrong_keys_are_one_clear_message(
    make_recipe: Make, paths: Paths, lines: str, message: str
) -> None:
    (problem,) = errors(check(make_recipe(f"{HEAD}{lines}\n"), paths))
    assert message in str(problem)
    assert problem.where.startswith("trial.yaml:")
    assert problem.next_step


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("quiet: true", "quiet has no effect here: what goes wrong is told in any case"),
        ("tee: 3", "tee has no effect here: the output of every process is kept"),
        ("module: true", "module has no effect here: the run's own program is started"),
        ("fsdp_version: 2", "fsdp_version: 2 has no effect without FSDP"),
        ("zero_stage: 3", "zero_stage: 3 has no effect without DeepSpeed"),
    ],
)
def test_needless_keys_are_warned_of(
    make_recipe: Make, paths: Paths, lines: str, message: str
) -> None:
    (problem,) = check(make_recipe(f"{HEAD}{lines}\n"), paths)
    assert message in problem.what
    assert problem.severity == "warning"


def test_a_section_is_no_place_for_them(make_recipe: Make, paths: Paths) -> None:
    text = f"{HEAD}sft:\n  max_length: 64\n  num_processes: 2\ndpo:\n  beta: 0.1\n"
    (problem,) = check_launch_of(make_recipe(text), paths)
    assert str(problem) == (
        "trial.yaml:7:3: num_processes belongs to the top: a run has one launch config for all "
        "its stages. Move it out of the section."
    )


def check_launch_of(recipe: Recipe, paths: Paths) -> list[object]:
    return [found for found in check(recipe, paths) if "num_processes" in found.what]


def test_a_file_is_found_beside_the_recipe(make_recipe: Make) -> None:
    recipe = make_recipe(f"{HEAD}accelerate_config: own.yaml\n")
    own = recipe.path.parent / "own.yaml"
    own.write_text("distributed_type: XLA\n")
    (problem,) = check_launch(recipe)
    assert str(problem).startswith("own.yaml: distributed_type: XLA cannot be started here")
    own.write_text("distributed_type: MULTI_GPU\nnum_processes: 2\n")
    assert check_launch(recipe) == []


def test_set_writes_launch_keys_at_the_top() -> None:
    staged = f"{HEAD}sft:\n  max_length: 64\ndpo:\n  beta: 0.1\n"
    text = apply_overrides(staged, ["num_processes=2", "accelerate_config=fsdp2"])
    assert "\nnum_processes: 2\n" in text
    assert "\naccelerate_config: fsdp2" in text
    with pytest.raises(ProblemError, match="num_processes belongs to the top") as caught:
        apply_overrides(staged, ["dpo.num_processes=2"])
    assert caught.value.exit_code == 2
    with pytest.raises(ProblemError, match="Did you mean num_machines"):
        apply_overrides(staged, ["num_machine=2"])


def test_a_bare_no_is_the_text(make_recipe: Make) -> None:
    recipe = make_recipe(f"{HEAD}mixed_precision: no\n")
    assert recipe.data["mixed_precision"] == "no"
    assert load_recipe(recipe.path).data["mixed_precision"] == "no"
