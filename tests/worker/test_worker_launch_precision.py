"""What accelerate's launcher says of precision and accumulation, and what a stage's config does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from workbench.recipe.launching import accelerate_settings, launch_wish
from workbench.recipe.recipe import Recipe

VARIABLE = "ACCELERATE_MIXED_PRECISION"
HEAD = "model_name_or_path: org/model\ndataset_name: org/pairs\nuse_peft: true\n"


def precision_of(said: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **stage: bool) -> str:
    from trl import DPOConfig

    monkeypatch.setenv(VARIABLE, said)
    config = DPOConfig(output_dir=str(folder), use_cpu=True, report_to="none", **stage)
    return str(config.mixed_precision)


def test_a_stage_without_mixed_precision_stays_so_with_several_processes(
    make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker writes bf16: false beside bf16 weights; TRL's own file would say otherwise."""
    recipe = make_recipe(f"{HEAD}accelerate_config: multi_gpu\nnum_processes: 2\n")
    folder = recipe.path.parent
    ours = accelerate_settings(launch_wish(recipe), devices=2, on_cpu=False, recipe_folder=folder)[
        "mixed_precision"
    ]
    assert precision_of(ours, tmp_path, monkeypatch, bf16=False) == "no"
    assert precision_of(ours, tmp_path, monkeypatch, bf16=True) == "bf16"
    trl = Path(pytest.importorskip("trl").__file__).parent / "accelerate_configs" / "multi_gpu.yaml"
    theirs = yaml.safe_load(trl.read_text())["mixed_precision"]
    assert precision_of(theirs, tmp_path, monkeypatch, bf16=False) == "bf16"
