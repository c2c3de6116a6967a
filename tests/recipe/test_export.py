"""Recipes for other trainers: what they mean there, and that they come back as they went."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.recipe.exchange.exporting import NAMES, export_recipe
from workbench.recipe.exchange.importing import import_file
from workbench.recipe.exchange.outgoing import Exported
from workbench.recipe.exchange.write import write_recipe
from workbench.recipe.recipe import Recipe, load_recipe
from workbench.recipe.yaml_file import parse

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
BASE = {"model_name_or_path": "org/base", "dataset_name": "org/pairs", "learning_rate": 1e-5}
CHOICES: dict[str, list[Any]] = {
    "max_length": [256, 4096],
    "per_device_train_batch_size": [1, 8],
    "gradient_accumulation_steps": [1, 16],
    "num_train_epochs": [1, 2.5],
    "lr_scheduler_type": ["cosine", "constant"],
    "optim": ["adamw_torch", "paged_adamw_8bit"],
    "weight_decay": [0.0, 0.1],
    "max_grad_norm": [0.3, 1.0],
    "warmup_steps": [0, 0.1, 30],
    "logging_steps": [1, 10],
    "save_steps": [50, 0.2],
    "save_total_limit": [1, 3],
    "seed": [1, 42],
    "attn_implementation": ["sdpa", "flash_attention_2"],
    "neftune_noise_alpha": [5.0],
    "lora_modules_to_save": [["embed_tokens", "lm_head"]],
    "use_dora": [True],
    "use_rslora": [True],
}
"""Values that every trainer here can express."""
DPO = {
    "beta": [0.05, 0.3],
    "loss_type": [["hinge"], ["sigmoid"]],
}
LOSSES = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.25]}
PRECISIONS: list[dict[str, Any]] = [
    {"bf16": True, "dtype": "bfloat16"},
    {"bf16": False, "dtype": "bfloat16"},
    {},
]
DATA: list[dict[str, Any]] = [
    {"dataset_name": "org/pairs", "dataset_train_split": "half"},
    {"dataset_name": "org/pairs", "dataset_config": "small"},
    {
        "dataset_name": None,
        "datasets": [{"path": "org/pairs", "split": "train"}, {"path": "org/more"}],
        "test_split_size": 0.1,
        "eval_strategy": "steps",
        "eval_steps": 20,
    },
]
MakeRecipe = Callable[..., Recipe]


def export(recipe: Recipe, kind: str, folder: Path) -> Exported:
    return export_recipe(recipe, recipe.stages[0], kind, models=folder / "models")


def plain(value: Any) -> Any:
    """Data sets without the split that is read anyway."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return value
    return [{k: v for k, v in item.items() if (k, v) != ("split", "train")} for item in value]


def random_settings(draw: random.Random, stage: str) -> dict[str, Any]:
    chosen = {k: draw.choice(v) for k, v in CHOICES.items() if draw.random() < 0.6}
    adapter = draw.choice(
        [
            {"lora_target_modules": "all-linear", "load_in_4bit": True},
            {"lora_target_modules": ["q_proj", "v_proj"], "lora_r": 4, "lora_alpha": 16},
        ]
    )
    method = {k: draw.choice(v) for k, v in DPO.items()} if stage == "dpo" else {"packing": True}
    if stage == "dpo" and draw.random() < 0.3:
        method.update(LOSSES)
    found = {**BASE, "use_peft": True, **adapter, **chosen, **method}
    found.update(draw.choice(PRECISIONS))
    found.update(draw.choice(DATA))
    return {key: value for key, value in found.items() if value is not None}


@pytest.mark.parametrize("stage", ["sft", "dpo"])
@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("seed", range(12))
def test_what_a_trainer_can_express_comes_back(
    kind: str, stage: str, seed: int, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    settings = random_settings(random.Random(seed), stage)
    recipe = make_recipe(write_recipe("Trial", settings))
    exported = export(recipe, kind, tmp_path)
    lost = [remark for remark in exported.remarks if remark.startswith("no equal")]
    assert lost == []
    (tmp_path / "out").mkdir()
    file = tmp_path / "out" / "there.yaml"
    file.write_text(exported.text())
    for name, text in exported.files.items():
        file.with_name(name).write_text(text)
    found = import_file(file)
    assert found.kind == kind
    back = load_recipe(tmp_path / "back.yaml", text=found.text)
    assert back.stages == (stage,)
    differing = {
        key: (value, back.get(key, stage))
        for key, value in settings.items()
        if plain(back.get(key, stage)) != plain(value)
    }
    assert differing == {}
    implied = {"lora_r", "lora_alpha", "lora_dropout", "max_length", "learning_rate"}
    for key in implied - {"lora_alpha"} | {"warmup_steps", "num_train_epochs", "save_steps"}:
        assert back.get(key, stage) == recipe.get(key, stage), key


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.stem))
def test_shipped_recipes_export_as_valid_yaml(file: Path, kind: str, tmp_path: Path) -> None:
    recipe = load_recipe(file)
    for stage in recipe.stages:
        exported = export_recipe(recipe, stage, kind, models=tmp_path)
        text = exported.text(with_files=True)
        assert yaml.safe_load(text) == exported.settings
        assert parse(text, "x").data == exported.settings
        assert text.startswith(f"# {recipe.title}: stage {stage}")
        assert exported.settings["output_dir"]


def test_axolotl_s_words(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(
        "model_name_or_path: org/base\nuse_peft: true\nload_in_4bit: true\nbeta: 0.2\n"
        "lora_target_modules: all-linear\ndataset_name: org/pairs\neval_strategy: epoch\n"
        "warmup_steps: 0.1\nfp16: true\nbf16: false\nuse_bnb_nested_quant: true\n"
        "report_to: [wandb]\nenv: {WANDB_PROJECT: mine}\n"
    )
    exported = export(recipe, "axolotl", tmp_path)
    expected = {
        "rl": "dpo",
        "adapter": "qlora",
        "lora_target_linear": True,
        "lora_r": 16,
        "rl_beta": 0.2,
        "sequence_len": 1024,
        "warmup_ratio": 0.1,
        "fp16": True,
        "eval_strategy": "epoch",
        "datasets": [{"path": "org/pairs", "split": "train", "type": "passthrough"}],
        "test_datasets": [{"path": "org/pairs", "split": "test", "type": "passthrough"}],
        "use_wandb": True,
        "wandb_project": "mine",
    }
    assert expected.items() <= exported.settings.items()
    assert exported.remarks == ["no equal in Axolotl: use_bnb_nested_quant: true"]


def test_llama_factory_s_words(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(
        "model_name_or_path: org/base\nload_in_8bit: true\nuse_peft: true\nbeta: 0.2\n"
        "datasets: [{path: org/pairs, split: 'train[:50]'}]\nloss_type: [ipo, nca_pair]\n"
        "gradient_checkpointing: false\nbf16: false\n"
    )
    exported = export(recipe, "llama-factory", tmp_path)
    expected = {
        "stage": "dpo",
        "finetuning_type": "lora",
        "quantization_bit": 8,
        "max_samples": 50,
        "dataset": "pairs",
        "disable_gradient_checkpointing": True,
        "bf16": False,
    }
    assert expected.items() <= exported.settings.items()
    assert exported.remarks == ["no equal in LLaMA-Factory: loss_type: [ipo, nca_pair]"]
    assert '"hf_hub_url": "org/pairs"' in exported.files["dataset_info.json"]


def test_data_that_trl_alone_cannot_read_are_told(tmp_path: Path) -> None:
    for name, row in (("mapped", '{"question": "q"'), ("plain", '{"prompt": "q"')):
        (tmp_path / f"{name}.jsonl").write_text(row + ', "chosen": "a", "rejected": "b"}\n')
    text = "model_name_or_path: org/base\ndatasets:\n"
    text += "".join(f"- {{path: json, data_files: {n}.jsonl}}\n" for n in ("mapped", "plain"))
    recipe = load_recipe(tmp_path / "r.yaml", text=text, stage="dpo")
    remarks = export_recipe(recipe, "dpo", "trl", models=tmp_path).remarks
    assert [("mapped" in one, "--convert" in one) for one in remarks] == [(True, True)]


def test_the_launch_is_told(make_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    """TRL reads these keys of the file, the others' launchers are told."""
    (tmp_path / "own.yaml").write_text("distributed_type: MULTI_GPU\nnum_processes: 2\n")
    text = yaml.safe_dump({**BASE, "use_peft": True, "num_processes": 2})
    recipe = make_recipe(f"{text}accelerate_config: own.yaml\n")
    trl = export_recipe(recipe, "dpo", "trl", models=tmp_path)
    assert trl.settings["num_processes"] == 2
    assert trl.settings["accelerate_config"] == str(tmp_path / "own.yaml")
    for kind in ("axolotl", "llama-factory"):
        other = export_recipe(recipe, "dpo", kind, models=tmp_path)
        assert "num_processes" not in other.settings
        said = f"no equal in a config of {NAMES[kind]}: num_processes: 2; its launcher is told"
        assert said in other.remarks
