"""How other trainers share a training among processes, in accelerate's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from foreign_configs import AUTOTRAIN_DPO, AXOLOTL_SFT, LLAMA_FACTORY_DPO, Import, notes

from workbench.recipe.check_launch import check_launch
from workbench.recipe.launching import launch_values
from workbench.recipe.recipe import load_recipe


@pytest.mark.parametrize(
    ("source", "lines", "expected"),
    [
        (
            AXOLOTL_SFT,
            "deepspeed: deepspeed_configs/zero3_bf16.json",
            {"accelerate_config": "zero3"},
        ),
        (
            LLAMA_FACTORY_DPO,
            "deepspeed: examples/deepspeed/ds_z3_offload_config.json",
            {
                "accelerate_config": "zero3",
                "offload_optimizer_device": "cpu",
                "offload_param_device": "cpu",
            },
        ),
        (
            LLAMA_FACTORY_DPO,
            "deepspeed: examples/deepspeed/ds_z0_config.json",
            {"accelerate_config": "multi_gpu"},
        ),
        (
            AXOLOTL_SFT,
            "fsdp: [full_shard, auto_wrap, offload]\nfsdp_config:\n"
            "  fsdp_transformer_layer_cls_to_wrap: LlamaDecoderLayer",
            {
                "accelerate_config": "fsdp1",
                "fsdp_offload_params": True,
                "fsdp_transformer_layer_cls_to_wrap": "LlamaDecoderLayer",
            },
        ),
        (
            AXOLOTL_SFT,
            "fsdp_version: 2\nfsdp_config:\n  reshard_after_forward: true",
            {"accelerate_config": "fsdp2", "fsdp_reshard_after_forward": True},
        ),
        (LLAMA_FACTORY_DPO, "fsdp: full_shard auto_wrap", {"accelerate_config": "fsdp1"}),
        (AUTOTRAIN_DPO, "  distributed_backend: deepspeed", {"accelerate_config": "zero3"}),
        (AUTOTRAIN_DPO, "  distributed_backend: ddp", {"accelerate_config": "multi_gpu"}),
    ],
    ids=range(8),
)
def test_sharing_among_processes_is_converted(
    bring: Import, source: str, lines: str, expected: dict[str, Any], tmp_path: Path
) -> None:
    kept = [line for line in source.splitlines() if not line.startswith("deepspeed:")]
    place = kept.index("hub:") if "hub:" in kept else len(kept)
    found, _ = bring("\n".join([*kept[:place], lines, *kept[place:], ""]))
    recipe = load_recipe(tmp_path / "new.yaml", text=found.text)
    assert launch_values(recipe) == expected
    assert check_launch(recipe) == []
    assert not [key for key in notes(found, "no equal") if key.startswith(("fsdp", "deepspeed"))]


def test_what_cannot_be_shared_out_has_no_equal(bring: Import) -> None:
    text = AXOLOTL_SFT + "tensor_parallel_size: 2\nfsdp_config: {forward_guess: 1}\n"
    found, _ = bring(text.replace("deepspeed: zero2.json\n", ""))
    told = notes(found, "no equal")
    assert "Every process of a run trains on rows of its own" in told["tensor_parallel_size"]
    assert "accelerate has no such option" in told["fsdp_config.forward_guess"]


def test_a_deepspeed_file_beside_the_source_is_still_found(bring: Import, tmp_path: Path) -> None:
    (tmp_path / "zero2.json").write_text('{"zero_optimization": {"stage": 2}}')
    found, _ = bring(AXOLOTL_SFT)
    assert f"deepspeed_config_file: {tmp_path / 'zero2.json'}\n" in found.text
