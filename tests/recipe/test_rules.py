"""Each rule between settings: a recipe that breaks it, and one like it that does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.base.paths import Paths
from workbench.recipe.checks import check
from workbench.recipe.old_keys import GONE, RENAMED
from workbench.recipe.recipe import Recipe, load_recipe
from workbench.recipe.rules import DPO_RULES, RULES, SFT_RULES, Settings
from workbench.recipe.schema import OWN_KEYS, load_schema

Make = Callable[..., Recipe]
MODEL = "model_name_or_path: org/model\n"
LORA = "use_peft: true\nlearning_rate: 1e-5\n"
CASES = {
    # rule: (settings that break it, what is said, settings that do not)
    "no_model": ("title: x", "the recipe names no model", MODEL),
    "two_quantizations": (
        "load_in_4bit: true\nload_in_8bit: true",
        "load_in_4bit and load_in_8bit exclude each other",
        "load_in_4bit: true",
    ),
    "quantized_without_lora": (
        "load_in_8bit: true",
        "a quantized model cannot be trained without LoRA. Set use_peft: true.",
        "load_in_8bit: true\nuse_peft: true",
    ),
    "two_precisions": ("bf16: true\nfp16: true", "Keep bf16.", "fp16: true"),
    "half_precision_on_a_cpu": (
        "fp16: true\nuse_cpu: true",
        "fp16 needs a GPU",
        "bf16: true\nuse_cpu: true",
    ),
    "best_model_without_evaluation": (
        "load_best_model_at_end: true",
        "Set eval_strategy: steps.",
        "load_best_model_at_end: true\neval_strategy: steps",
    ),
    "best_model_without_its_checkpoint": (
        "load_best_model_at_end: true\neval_strategy: steps\neval_steps: 20\nsave_steps: 50",
        "save_steps 50 is no multiple of eval_steps 20",
        "load_best_model_at_end: true\neval_strategy: steps\neval_steps: 25\nsave_steps: 50",
    ),
    "lora_settings_without_lora": (
        "lora_alpha: 8",
        "the lora_ settings have no effect",
        "lora_alpha: 8\nuse_peft: true",
    ),
    "learning_rate_far_off": (
        "use_peft: true\nlearning_rate: 1e-7",
        "learning_rate 1e-07 is very small for LoRA: it will hardly learn. Usual are 5e-6 to 5e-5.",
        "use_peft: true\nlearning_rate: 5e-5",
    ),
    "scale_far_off": (
        "use_peft: true\nlora_r: 8\nlora_alpha: 512",
        "lora_alpha / lora_r is 64",
        "use_peft: true\nlora_r: 8\nlora_alpha: 16",
    ),
    "steps_and_epochs": (
        "max_steps: 10\nnum_train_epochs: 2",
        "num_train_epochs has no effect",
        "max_steps: -1\nnum_train_epochs: 2",
    ),
    "warmup_without_end": (
        "max_steps: 10\nwarmup_steps: 100",
        "warmup_steps 100 leaves none of the 10 steps",
        "max_steps: 10\nwarmup_steps: 0.1",
    ),
    "nothing_logged": (
        "max_steps: 5",
        "logging_steps 10 is more than max_steps 5",
        "max_steps: 5\nlogging_steps: 1",
    ),
    "nothing_saved": ('save_strategy: "no"', "cannot go on", "save_strategy: epoch"),
    "evaluation_settings_without_evaluation": (
        "eval_steps: 5",
        "eval_steps has no effect",
        "eval_steps: 5\neval_strategy: steps",
    ),
    "two_data_sets": (
        "dataset_name: a/b\ndatasets: [{path: a/c}]",
        "datasets wins",
        "datasets: [{path: a/c}]",
    ),
    "split_size_without_mixture": (
        "dataset_name: a/b\ntest_split_size: 0.1",
        "test_split_size has no effect",
        "datasets: [{path: a/c}]\ntest_split_size: 0.1",
    ),
    "stream_without_end": (
        "dataset_streaming: true",
        "Set max_steps.",
        "dataset_streaming: true\nmax_steps: 50",
    ),
    "deprecated_truncation": (
        "truncation_mode: keep_end",
        "Use keep_start.",
        "truncation_mode: keep_start",
    ),
    "idle_settings": (
        "ref_model_sync_steps: 5",
        "ref_model_sync_steps has no effect without sync_ref_model: true",
        "ref_model_sync_steps: 5\nsync_ref_model: true",
    ),
    "weights_for_other_losses": (
        "loss_type: [sigmoid]\nloss_weights: [1, 2]",
        "2 loss_weights for 1 loss_type entries",
        "loss_type: [sigmoid, sft]\nloss_weights: [1, 2]",
    ),
    "losses_twice": (
        "loss_type: [sigmoid, sft, sft]",
        "loss_type names sft more than once",
        "loss_type: [sigmoid, sft]",
    ),
    "no_preference_loss": (
        "loss_type: sft",
        "learns no preference",
        "loss_type: [sigmoid, sft]",
    ),
    "exo_without_smoothing": (
        "loss_type: exo_pair",
        "exo_pair needs label smoothing",
        "loss_type: exo_pair\nlabel_smoothing: 0.001",
    ),
    "robust_smoothing": (
        "loss_type: robust\nlabel_smoothing: 0.5",
        "robust cannot have label_smoothing 0.5",
        "loss_type: robust\nlabel_smoothing: 0.2",
    ),
    "smoothing_without_use": (
        "label_smoothing: 0.1",
        "label_smoothing has no effect on sigmoid",
        "label_smoothing: 0.1\nloss_type: aot",
    ),
    "divergence_without_sense": (
        "loss_type: [sigmoid, apo_zero]\nf_divergence_type: forward_kl",
        "f_divergence_type: forward_kl is not defined for apo_zero",
        "loss_type: [sigmoid, sft]\nf_divergence_type: forward_kl",
    ),
    "weighting_of_sorted_pairs": (
        "loss_type: aot\nuse_weighting: true",
        "use_weighting is not there for aot",
        "loss_type: ipo\nuse_weighting: true",
    ),
    "moving_reference": (
        "use_peft: true\nsync_ref_model: true",
        "sync_ref_model does not work with LoRA",
        "sync_ref_model: true",
    ),
    "no_padding_free_pairs": ("padding_free: true", "ignores it", "padding_free: false"),
    "padding_free_rows_are_not_cut": (
        "padding_free: true",
        "does not cut rows to max_length",
        "padding_free: true\npacking: true",
    ),
}
BEST = "load_best_model_at_end: true\n"
FURTHER = [
    # rule, stage, what is said, settings
    (
        "best_model_without_its_checkpoint",
        "dpo",
        "often as evaluations (epoch)",
        BEST + "eval_strategy: epoch",
    ),
    ("learning_rate_far_off", "dpo", "TRL's 1e-06 is for training all", "use_peft: true"),
    (
        "learning_rate_far_off",
        "dpo",
        "large for LoRA: it may diverge",
        "use_peft: true\nlearning_rate: 0.01",
    ),
    ("learning_rate_far_off", "sft", "very small for LoRA", "use_peft: true\nlearning_rate: 1e-6"),
    ("learning_rate_far_off", "dpo", "large for training all weights", "learning_rate: 1e-4"),
    (
        "weights_for_other_losses",
        "dpo",
        "trains against its loss",
        "loss_type: [sigmoid, sft]\nloss_weights: [1, -1]",
    ),
    ("robust_smoothing", "dpo", "is the sigmoid loss", "loss_type: robust"),
    (
        "moving_reference",
        "dpo",
        "exclude each other",
        "sync_ref_model: true\nprecompute_ref_log_probs: true",
    ),
    ("idle_settings", "dpo", "without loss_type: discopop", "discopop_tau: 0.1"),
    ("idle_settings", "sft", "without packing: true", "packing_strategy: wrapped"),
]


def said(name: str, make_recipe: Make, text: str, stage: str) -> list[str]:
    """What one rule says of a recipe."""
    rule = {**RULES, **DPO_RULES, **SFT_RULES}[name]
    return [str(problem) for problem in rule(Settings(make_recipe(text, stage=stage), stage))]


def test_each_rule_has_its_case() -> None:
    assert CASES.keys() == {*RULES, *DPO_RULES, *SFT_RULES}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_fires_where_it_must_and_only_there(name: str, make_recipe: Make) -> None:
    broken, message, right = CASES[name]
    stage = "sft" if name in SFT_RULES else "dpo"
    (found,) = said(name, make_recipe, f"{broken}\n", stage)
    assert message in found
    assert found.startswith("trial.yaml")
    assert said(name, make_recipe, f"{right}\n", stage) == []


@pytest.mark.parametrize(("name", "stage", "message", "text"), FURTHER)
def test_a_rule_knows_other_ways_to_break_it(
    name: str, stage: str, message: str, text: str, make_recipe: Make
) -> None:
    (found,) = said(name, make_recipe, text, stage)
    assert message in found


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
