"""Weights that lie in parts on several processes, as FSDP2 keeps them.

FSDP2 (`fully_shard`) makes each parameter a DTensor and gathers those of a layer while the layer
computes. What is read beside a layer's own forward must be gathered by hand, and as gathering takes
all processes, all must do it or none.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with the parts of all processes; all of them must call it."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def is_part(tensor: torch.Tensor) -> bool:
    """Whether a tensor is at this moment only this process's part."""
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def is_sharded(model: Any) -> bool:
    """Whether layers of a model are gathered while they compute."""
    from torch.distributed.fsdp import FSDPModule

    return any(isinstance(module, FSDPModule) for module in model.modules())


def engine_reason(trainer: Any) -> str:
    """Why a trainer's way to spread weights leaves its batches to TRL; empty where it does not.

    FSDP2 keeps each weight apart, so that a layer can be computed in another way.
    """
    if trainer.is_deepspeed_enabled:
        return "its weights are spread over processes by DeepSpeed"
    if trainer.is_fsdp_enabled and not getattr(trainer.accelerator, "is_fsdp2", False):
        return "its weights are spread over processes by FSDP1 (fsdp2 keeps each of them apart)"
    return ""


def adapter_state(model: Any) -> dict[str, torch.Tensor]:
    """The weights of a PEFT model's adapters and whatever else is trained, whole and on the CPU.

    All processes must call it. The base's weights are never gathered: at 70 billion of them that
    would be 140 GB in the memory of one host.
    """
    adapters = [f".{name}." for name in model.peft_config]
    found = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad or any(part in f"{name}." for part in adapters):
            found[name] = whole(weight.detach()).cpu()
    return found


def save_adapters_alone(trainer: Any) -> None:
    """Let a trainer whose weights FSDP2 spreads save its adapters, and nothing of the base.

    transformers gathers the base too, or, with `fsdp_state_dict_type: SHARDED_STATE_DICT`, writes
    no adapter that could be compared or merged. Any other trainer is left as it is.
    """
    sharded = trainer.is_fsdp_enabled and getattr(trainer.accelerator, "is_fsdp2", False)
    if not sharded or not hasattr(trainer.model, "peft_config"):
        return

    def save_model(output_dir: str | None = None, _internal_call: bool = False) -> None:
        state = adapter_state(trainer.model)
        trainer._save(output_dir or trainer.args.output_dir, state_dict=state)

    trainer.save_model = save_model


DEEPSPEED_STATES = (
    ("deepspeed.runtime.fp16.loss_scaler", ("LossScaler", "DynamicLossScaler")),
    ("deepspeed.runtime.zero.config", ("ZeroStageEnum",)),
    ("deepspeed.utils.tensor_fragment", ("fragment_address",)),
)
"""The classes in DeepSpeed's states of the optimizer: they hold numbers and run nothing."""


def allow_deepspeed_states(trainer: Any) -> None:
    """Let torch read DeepSpeed's checkpoints, though it refuses all other objects in files."""
    if not trainer.is_deepspeed_enabled:
        return
    found = [
        getattr(importlib.import_module(module), name)
        for module, names in DEEPSPEED_STATES
        for name in names
    ]
    torch.serialization.add_safe_globals(found)
