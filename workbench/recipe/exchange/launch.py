"""How other trainers share a training among processes, as options of `accelerate launch`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workbench.recipe.exchange.draft import Draft
from workbench.recipe.launching import launch_values
from workbench.recipe.recipe import Recipe
from workbench.recipe.schema import load_schema
from workbench.recipe.yaml_edit import dump

SHIPPED_ZERO = (
    re.compile(r"(?:^|/)deepspeed_configs/zero(?P<stage>[123])(?:_bf16)?\.json$"),
    re.compile(
        r"(?:^|/)examples/deepspeed/ds_z(?P<stage>[023])(?P<offload>_offload)?_config\.json$"
    ),
)
"""Axolotl's and LLaMA-Factory's own files, which TRL has its own of."""
EVERY_DEVICE = "on all visible GPUs; num_processes sets another number"
OWN_ROWS = "Every process of a run trains on rows of its own: accelerate_config: fsdp2 or zero3."
WRAPPED = ("full_shard", "auto_wrap")
"""What TRL's own configs of FSDP do anyway."""


def deepspeed(draft: Draft, key: str, value: Any) -> None:
    """DeepSpeed's config: a file of the trainer's own is TRL's of that stage, another one stays."""
    if not value:
        draft.drop((key,), "it is empty or off")
        return
    if not isinstance(value, str):
        hint = "Write it into a file, with use_deepspeed: true and deepspeed_config_file: FILE."
        draft.lack((key,), hint)
        return
    for pattern in SHIPPED_ZERO:
        if found := pattern.search(value):
            stage, parts = found["stage"], found.groupdict()
            settings = {"accelerate_config": f"zero{stage}" if stage != "0" else "multi_gpu"}
            if parts.get("offload"):
                settings["offload_optimizer_device"] = "cpu"
                settings |= {"offload_param_device": "cpu"} if stage == "3" else {}
            draft.take((key,), settings, EVERY_DEVICE)
            return
    own = {
        "accelerate_config": "multi_gpu",
        "use_deepspeed": True,
        "deepspeed_config_file": value,
    }
    draft.take((key,), own, EVERY_DEVICE)


def fsdp(draft: Draft, key: str, value: Any) -> None:
    """`fsdp`: words such as full_shard, auto_wrap and offload."""
    if not value:
        draft.drop((key,), "it is empty or off")
        return
    words = [str(word) for word in (value if isinstance(value, list) else str(value).split())]
    settings: dict[str, Any] = {"accelerate_config": _preset(draft)}
    for word in words:
        if word == "offload":
            settings["fsdp_offload_params"] = True
        elif word == "shard_grad_op":
            version = settings["accelerate_config"]
            settings["fsdp_reshard_after_forward"] = (
                "SHARD_GRAD_OP" if version == "fsdp1" else False
            )
        elif word not in WRAPPED:
            draft.lack((key,), f"{word} has no equal: write accelerate_config: with a file.")
            return
    draft.take((key,), settings, EVERY_DEVICE)


def fsdp_config(draft: Draft, key: str, value: Any) -> None:
    """`fsdp_config`: a mapping of accelerate's options, with or without `fsdp_` before them."""
    if not isinstance(value, Mapping):
        draft.lack((key,), "Write accelerate_config: fsdp2.")
        return
    if "accelerate_config" not in draft.settings and not draft.value("fsdp"):
        draft.give((key,), {"accelerate_config": _preset(draft)})
    for name, option in value.items():
        own = f"fsdp_{str(name).removeprefix('fsdp_')}"
        path = (key, str(name))
        if own == "fsdp_version":
            draft.tell(path, f"accelerate_config: {_preset(draft)}")
        elif own in load_schema().launch:
            draft.take(path, {own: option})
        else:
            draft.lack(path, "accelerate has no such option.")


def fsdp_version(draft: Draft, key: str, value: Any) -> None:
    """`fsdp_version`: it chooses the config of TRL's."""
    if draft.value("fsdp") or draft.value("fsdp_config"):
        draft.tell((key,), f"accelerate_config: {_preset(draft)}")
    else:
        draft.drop((key,), "there is no fsdp or fsdp_config beside it")


def _preset(draft: Draft) -> str:
    said = draft.value("fsdp_version")
    inner = draft.value("fsdp_config")
    if said is None and isinstance(inner, Mapping):
        said = inner.get("fsdp_version", inner.get("version"))
    return "fsdp2" if str(said) == "2" else "fsdp1"


def division(draft: Draft, key: str, value: Any) -> None:
    """How many processes share one row, or the layers of one model."""
    if value == 1:
        draft.drop((key,), "1 is no division")
    else:
        draft.lack((key,), OWN_ROWS)


def launch_remarks(recipe: Recipe, name: str) -> list[str]:
    """What an exported file cannot say of the launch, a line for each key."""
    told = (f"{key}: {dump(value)}" for key, value in launch_values(recipe).items())
    return [f"no equal in a config of {name}: {line}; its launcher is told" for line in told]
