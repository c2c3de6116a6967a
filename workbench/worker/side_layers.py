"""LoRA of several sides in one batch: each row goes through the base weights and its own adapter.

PEFT can mix adapters in a batch too (`adapter_names`), at the price of a gather and a scatter in
each layer. Here rows of one adapter lie beside each other, so that a slice does.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator, Sequence
from typing import Any

import torch

BASE_ADAPTER = ""
"""Rows without an adapter: they get the base layer's output, bit for bit."""


class RowPlan:
    """Which rows of the present batch belong to which adapter; shared by all layers of a model."""

    def __init__(self) -> None:
        self.rows = 0
        self.slices: list[tuple[str, int, int]] = []

    @contextlib.contextmanager
    def using(self, adapters: Sequence[str]) -> Iterator[None]:
        """Give row k the adapter `adapters[k]`; rows of one adapter must be neighbours."""
        before = self.rows, self.slices
        self.rows, self.slices = len(adapters), slices(adapters)
        try:
            yield
        finally:
            self.rows, self.slices = before


def slices(adapters: Sequence[str]) -> list[tuple[str, int, int]]:
    """(adapter, first row, row behind the last) of each run of rows that has an adapter.

    Raises:
        ValueError: rows of one adapter lie apart, which would be slow.
    """
    found: list[tuple[str, int, int]] = []
    for row, adapter in enumerate(adapters):
        if found and found[-1][0] == adapter:
            found[-1] = (adapter, found[-1][1], row + 1)
        else:
            found.append((adapter, row, row + 1))
    if len({name for name, _, _ in found}) < len(found):
        raise ValueError("rows of one adapter must lie beside each other")
    return [entry for entry in found if entry[0] != BASE_ADAPTER]


def mixes(model: Any) -> bool:
    """Whether each row of a batch can have its own adapter: plain LoRA on linear layers only."""
    from peft.tuners.lora.layer import Linear, LoraLayer

    configs = list(getattr(model, "peft_config", {}).values())
    plain = all(
        getattr(config, "peft_type", "") == "LORA"
        and not config.use_dora
        and not config.target_parameters
        and not config.modules_to_save
        and not config.trainable_token_indices
        for config in configs
    )
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    return plain and all(
        (isinstance(layer, Linear) or type(layer).__name__ in ("Linear4bit", "Linear8bitLt"))
        and not getattr(layer, "lora_variant", None)
        and not getattr(layer, "fan_in_fan_out", False)
        and not any(layer.lora_bias.values())
        for layer in layers
    )


def install(model: Any, plan: RowPlan) -> None:
    """Let the LoRA layers of a model that `mixes` follow a plan; again after a new adapter."""
    from peft.tuners.lora.layer import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.row_plan = plan
            module.forward = types.MethodType(_forward, module)


def _forward(self: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """(rows, tokens, in) -> (rows, tokens, out): base, and s (x A^T) B^T for rows with an adapter.

    A and B are rounded to the type of x, as in training (`frozen_layers`).
    """
    result: torch.Tensor = self.base_layer(x, *args, **kwargs)
    plan: RowPlan = self.row_plan
    if plan.slices and x.shape[0] != plan.rows:
        # Experts get tokens without their row.
        raise RowsLostError
    for name, first, end in plan.slices:
        if name not in self.lora_A:
            continue
        down, up = self.lora_A[name].weight, self.lora_B[name].weight
        part = x[first:end].reshape(-1, x.shape[-1])
        low = part @ down.to(x.dtype).T
        out = result[first:end].view(-1, result.shape[-1])
        out.addmm_(low.to(out.dtype), up.to(out.dtype).T, alpha=self.scaling[name])
    return result


class RowsLostError(RuntimeError):
    """A layer gets tokens from which the row cannot be told, such as an expert's."""


def changes_nothing(model: Any, adapter: str) -> bool:
    """Whether an adapter is zero: every B, so that base and tuned are the same model."""
    found = [
        module.lora_B[adapter].weight
        for module in model.modules()
        if adapter in getattr(module, "lora_B", {})
    ]
    return bool(found) and not any(bool(weight.any()) for weight in found)
