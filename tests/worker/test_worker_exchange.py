"""TRL itself takes what is imported and exported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_model import write_tiny_recipe

from workbench.recipe.exchange.exporting import export_recipe
from workbench.recipe.exchange.importing import import_file
from workbench.recipe.recipe import load_recipe, resolve

SHARED = Path(__file__).parents[3] / "shared" / "data" / "configs"
OLD = """\
model_name_or_path: org/base
torch_dtype: bfloat16
dataset_mixer: {org/one: 1.0, org/two: 0.5}
dataset_splits: [train, test]
evaluation_strategy: no
learning_rate: "5e-6"
rpo_alpha: 0.5
max_prompt_length: 512
warmup_ratio: 0.1
overwrite_output_dir: true
unknown_to_all: 1
"""
AXOLOTL = """\
base_model: org/base
adapter: qlora
load_in_4bit: true
datasets: [{path: org/chats, type: chat_template}]
val_set_size: 0.1
evals_per_epoch: 2
num_epochs: 2
learning_rate: 0.0002
bf16: auto
sample_packing: true
fsdp: [full_shard, auto_wrap]
wandb_project: mine
special_tokens: {eos_token: "<end>"}
"""


def parse_with_trl(config: dict[str, Any], stage: str, folder: Path) -> tuple[list[Any], Any]:
    """The dataclasses that `trl sft` or `trl dpo` would see, and what is left over."""
    from trl import (
        DatasetMixtureConfig,
        DPOConfig,
        ModelConfig,
        ScriptArguments,
        SFTConfig,
        TrlParser,
    )

    kind = DPOConfig if stage == "dpo" else SFTConfig
    file = folder / f"{stage}.yaml"
    # This machine may have no GPU: what needs one is out of this test's scope.
    gpu = {"fp16": False, "use_cpu": True, "tf32": None, "fsdp": "", "fsdp_config": None}
    file.write_text(yaml.safe_dump({**config, **gpu, "report_to": "none"}))
    parser = TrlParser((ScriptArguments, kind, ModelConfig, DatasetMixtureConfig))
    *parsed, left = parser.parse_args_and_config(
        ["--config", str(file)], return_remaining_strings=True
    )
    return parsed, left


def check_import(source: Path, folder: Path) -> None:
    found = import_file(source)
    recipe = load_recipe(folder / "new.yaml", text=found.text)
    for stage in recipe.stages:
        config = resolve(recipe, stage, output_dir=folder / "out", models=folder)
        (script, training, model, mixture), left = parse_with_trl(config, stage, folder)
        assert left == [], source
        assert model.model_name_or_path
        assert script.dataset_name or mixture.datasets
        assert isinstance(training.learning_rate, float)


@pytest.mark.parametrize("text", [OLD, AXOLOTL], ids=["old", "axolotl"])
def test_trl_takes_an_imported_recipe_with_nothing_left_over(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "")  # TRL's parser sets it
    source = tmp_path / "source.yaml"
    source.write_text(text)
    check_import(source, tmp_path)


def test_trl_takes_the_configs_that_people_have(tmp_path: Path) -> None:
    files = sorted(SHARED.glob("*.yaml"))
    if not files:
        pytest.skip(f"no configurations in {SHARED}")
    for file in files:
        check_import(file, tmp_path)


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_an_exported_file_trains_with_trl(stage: str, tiny: Path, tmp_path: Path) -> None:
    path = write_tiny_recipe(tmp_path / "tiny.yaml", tiny, steps=2, more="use_cpu: true\n")
    exported = export_recipe(load_recipe(path), stage, "trl", models=tmp_path)
    file = tmp_path / "out" / f"{stage}.yaml"
    file.parent.mkdir()
    file.write_text(exported.text())
    # What the console script `trl` does, wherever it is installed.
    code = "import sys; from trl.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, stage, "--config", str(file)]
    result = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    trained = file.parent / f"tiny-{stage}"
    assert (trained / "adapter_model.safetensors").is_file()
    assert (trained / "checkpoint-2").is_dir()
