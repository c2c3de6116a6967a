"""Each rule between settings: a recipe that breaks it, and one like it that does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rule_cases import CASES, FURTHER, MODEL, said, stage_of, write_surroundings
from rule_table import table

from workbench.base.paths import Paths
from workbench.recipe.checks import check
from workbench.recipe.old_keys import GONE, RENAMED
from workbench.recipe.recipe import Recipe, load_recipe
from workbench.recipe.rules import DPO_RULES, RULES, SFT_RULES
from workbench.recipe.rules.data import context_length
from workbench.recipe.schema import OWN_KEYS, load_schema

Make = Callable[..., Recipe]
LORA = "use_peft: true\nlearning_rate: 1e-5\n"
LLAMA_3 = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}


def test_each_rule_has_its_case() -> None:
    assert CASES.keys() == {*RULES, *DPO_RULES, *SFT_RULES}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the cases' recipes lie."""
    write_surroundings(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", CASES)
def test_a_rule_fires_where_it_must_and_only_there(name: str, folder: Path) -> None:
    broken, message, right = CASES[name]
    (found,) = said(name, folder, broken, stage_of(name))
    assert message in found
    assert found.startswith("trial.yaml")
    assert said(name, folder, right, stage_of(name)) == []


@pytest.mark.parametrize(("name", "stage", "message", "text"), FURTHER)
def test_a_rule_knows_other_ways_to_break_it(
    name: str, stage: str, message: str, text: str, folder: Path
) -> None:
    (found,) = said(name, folder, text, stage)
    assert message in found


@pytest.mark.parametrize("name", [name for name in CASES if "_package" in name])
def test_a_package_that_is_there_is_not_missed(name: str, folder: Path) -> None:
    assert said(name, folder, CASES[name][0], stage_of(name), installed=True) == []


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({}, None),
        ({"n_positions": 1024}, 1024),
        ({"max_position_embeddings": 131072, "rope_scaling": LLAMA_3}, 131072),
        ({"max_position_embeddings": 2048, "rope_scaling": {"type": "linear", "factor": 2}}, 4096),
        ({"max_position_embeddings": 2048, "rope_scaling": {"factor": "x"}}, 2048),
    ],
)
def test_a_stretched_context_counts(config: dict[str, Any], length: int | None) -> None:
    assert context_length(config) == length


def test_the_table_of_the_rules_has_a_line_for_each(tmp_path: Path) -> None:
    assert len(table(tmp_path)) == len(CASES) + 2


def test_rules_take_values_of_the_wrong_kind_calmly(make_recipe: Make, paths: Paths) -> None:
    names = load_schema().names("dpo")
    for value in ("[]", "{}", "x", "-1", "true", ".nan", "1e400", "'1'", "null"):
        text = "".join(f"{name}: {value}\n" for name in names if name != "env")
        assert check(make_recipe(text, stage="dpo"), paths)


@pytest.mark.parametrize("key", [*RENAMED, *GONE, "rpo_alpha"])
def test_outdated_keys_are_told_with_what_replaces_them(
    key: str, make_recipe: Make, paths: Paths
) -> None:
    recipe = make_recipe(f"{MODEL}{LORA}dataset_name: a/b\n{key}: 0.5\n", stage="dpo")
    (problem,) = check(recipe, paths)
    assert problem.severity == "error"
    assert problem.where == "trial.yaml:5:1"
    assert key in problem.what
    assert problem.next_step
    assert load_schema().field(key) is None
    if key in RENAMED:
        assert load_schema().field(RENAMED[key]) is not None
        assert f"Write {RENAMED[key]}: 0.5" in problem.next_step


def test_the_keys_that_hints_name_exist() -> None:
    for old, hint in GONE.items():
        named = [word.strip(",") for word in hint.split() if "_" in word and word[0] != "{"]
        for name in (word.rstrip(":.") for word in named if word.rstrip(":.") != old):
            known = load_schema().field(name) is not None
            assert known or name in OWN_KEYS or name == "flash_attention_2", hint


def test_all_cures_come_at_once_in_the_order_of_the_file(tmp_path: Path, paths: Paths) -> None:
    text = MODEL + LORA + "dataset_name: a/b\nmax_prompt_length: 512\nwarmup_ratio: 0.1\n"
    recipe = tmp_path / "old.yaml"
    recipe.write_text(text + "rpo_alpha: 0.3\nlabel_smoothing: 0.1\nlora_r: 0\n")
    found = [str(problem) for problem in check(load_recipe(recipe), paths)]
    assert found == [
        "old.yaml:5:1: max_prompt_length is gone from TRL. Delete it: max_length and "
        "truncation_mode cut the whole row.",
        "old.yaml:6:1: warmup_ratio is called warmup_steps now. Write warmup_steps: 0.1; below 1 "
        "it is a share of all steps.",
        "old.yaml:7:1: rpo_alpha is gone from TRL. Write loss_type: [sigmoid, sft] and "
        "loss_weights: [1.0, 0.3].",
        "old.yaml:8:1: label_smoothing has no effect on sigmoid. It acts on exo_pair, robust, aot, "
        "aot_unpaired.",
        "old.yaml:9:1: lora_r: 0 is not above 0. Write a number such as 16.",
    ]
