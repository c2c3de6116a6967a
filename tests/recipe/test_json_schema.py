"""The JSON Schema against a validator that others wrote, and against the checks."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from workbench.recipe.json_schema import json_schema
from workbench.recipe.recipe import SHIPPED

HEAD = "model_name_or_path: org/model\n"


def faults(text: str) -> list[str]:
    """What a validator says of a recipe's text."""
    validator = jsonschema.Draft202012Validator(json_schema())
    return [error.message for error in validator.iter_errors(yaml.safe_load(text))]


def test_it_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.yaml")), ids=lambda file: file.stem)
def test_it_takes_the_shipped_recipes(file: Path) -> None:
    assert faults(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "eval_strategy: no",
        "loss_type: sigmoid",
        "loss_type: [sigmoid, sft]",
        "lora_target_modules: all-linear",
        'model_init_kwargs: \'{"attn_implementation": "sdpa"}\'',
        "env: {OMP_NUM_THREADS: 2}",
        "num_processes: 2",
        "max_length: null",
        "shared_prefix: off",
        "dpo:\n  beta: 0.2",
        "sft:",
    ],
)
def test_it_takes_what_the_checks_take(line: str) -> None:
    assert faults(f"{HEAD}{line}\n") == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lerning_rate: 1", "'lerning_rate' was unexpected"),
        ("sft: {beta: 1}", "'beta' was unexpected"),
        ("beta: -1", "-1 is less than or equal to the minimum of 0"),
        ("lora_dropout: 2", "2 is greater than the maximum of 1"),
        ("lora_r: 1.5", "1.5 is not of type 'integer'"),
        ("dpo: {loss_type: [sigmoidd]}", "is not valid under any of the given schemas"),
        ("dpo: {f_divergence_type: none}", "'none' is not one of"),
        ("loss_type: 1", "1 is not valid under any of the given schemas"),
        ("eval_strategy: sometimes", "'sometimes' is not one of"),
        ("use_peft: yes please", "is not of type 'boolean'"),
        ("probe_prompts: what", "'what' is not of type 'array'"),
        ("shared_prefix: on please", "is not one of"),
    ],
)
def test_it_names_what_is_wrong(line: str, message: str) -> None:
    found = faults(f"{HEAD}{line}\n")
    assert len(found) == 1
    assert message in found[0]


def test_editors_show_the_guide_before_the_words_of_trl() -> None:
    found = json_schema()["properties"]
    assert found["lora_r"]["title"] == "Rank"
    assert found["lora_r"]["description"].startswith("Width of the adapter's matrices.")
    assert found["lora_r"]["description"].endswith("LoRA R value.")
    assert found["title"]["title"] == "Title"
    assert found["loss_type"]["title"] == "Loss"
    assert all("title" not in kind for kind in found["loss_type"]["anyOf"])
