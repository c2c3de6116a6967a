"""Layers around frozen weights, with fewer passes over memory than the libraries' own modules.

LoRA trains two thin matrices beside frozen ones. PEFT computes them as four operations with casts
of the whole input between them, and transformers' RMSNorm is eight; each keeps what its backward
pass needs. `fuse` gives the modules of a model one operation each, which computes the same.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch.nn import functional

from workbench.worker.sharding import is_part
from workbench.worker.world import World

NORM_TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 0.02, torch.float16: 0.004}


def apply(function: type[torch.autograd.Function], *inputs: Any) -> torch.Tensor:
    """The one tensor that an autograd function returns."""
    result: torch.Tensor = function.apply(*inputs)  # type: ignore[no-untyped-call]
    return result


def fuse(model: Any, world: World | None = None, on: str = "") -> list[Any]:
    """Let the LoRA layers and RMSNorms of a model compute in one operation where they can.

    Args:
        world: The processes that train together; all do as rank 0 finds.
        on: The kind of device that the model will compute on, empty for the one it is on.

    Returns:
        The modules that do so now; `del module.forward` undoes it.
    """
    ways = {}
    for name, module in model.named_modules():
        if "forward" in vars(module):
            continue
        if _is_plain_lora(module):
            ways[name] = "lora"
        elif _is_plain_norm(module, on):
            ways[name] = "norm"
    if world is not None:
        ways = world.share(ways)
    changed = []
    for name, way in ways.items():
        module = model.get_submodule(name)
        module.forward = types.MethodType(_lora_forward if way == "lora" else _norm_forward, module)
        changed.append(module)
    return changed


def _is_plain_lora(module: Any) -> bool:
    from peft.tuners.lora.layer import Linear

    if type(module) is not Linear or type(module.base_layer) is not torch.nn.Linear:
        return False
    biased = any(getattr(part, "bias", None) is not None for part in module.lora_B.values())
    trained = any(weight.requires_grad for weight in module.base_layer.parameters())
    return not (biased or trained or module.lora_variant or module.fan_in_fan_out)


def _lora_forward(self: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    base = self.base_layer
    names = [name for name in self.active_adapters if name in self.lora_A]
    usual = args or kwargs or self.merged or len(names) > 1 or is_part(base.weight)
    usual = usual or any(is_part(self.lora_A[name].weight) for name in names)
    if usual or torch.is_autocast_enabled(x.device.type):
        result: torch.Tensor = type(self).forward(self, x, *args, **kwargs)
        return result
    if self.disable_adapters or not names:
        return functional.linear(x, base.weight, base.bias)
    down, up = self.lora_A[names[0]].weight, self.lora_B[names[0]].weight
    scale, dropout = self.scaling[names[0]], self.lora_dropout[names[0]]
    drops = isinstance(dropout, torch.nn.Dropout) and dropout.training and dropout.p > 0
    dropped = dropout(x) if drops else None
    return apply(LoraLinear, x, dropped, base.weight, base.bias, down, up, scale)


class LoraLinear(torch.autograd.Function):
    """x W^T + b + s (d A^T) B^T with frozen W and b (Hu et al. 2021, arXiv 2106.09685).

    d is x after a dropout, or x itself. A and B may be of a wider type than x; they are rounded to
    that of x, as under autocast.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        dropped: torch.Tensor | None,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """(..., in), (..., in), (out, in), (out,), (r, in), (out, r) -> (..., out)."""
        rows = x.reshape(-1, x.shape[-1])
        adapted = rows if dropped is None else dropped.reshape(rows.shape)
        low = adapted @ down.to(x.dtype).T
        result = functional.linear(rows, weight, bias)
        result.addmm_(low, up.to(x.dtype).T, alpha=scale)
        ctx.save_for_backward(adapted, weight, down, up, low)
        ctx.scale, ctx.shape = scale, x.shape
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of x, d, A and B."""
        adapted, weight, down, up, low = ctx.saved_tensors
        given = gradients[0].reshape(-1, weight.shape[0])
        for_low = (given @ up.to(given.dtype)).mul_(ctx.scale)
        for_x = for_dropped = None
        if ctx.needs_input_grad[0]:
            for_x = given @ weight
            if not ctx.needs_input_grad[1]:
                for_x.addmm_(for_low, down.to(given.dtype))
            for_x = for_x.view(ctx.shape)
        if ctx.needs_input_grad[1]:
            for_dropped = (for_low @ down.to(given.dtype)).view(ctx.shape)
        for_down = (for_low.T @ adapted).to(down.dtype)
        for_up = (given.T @ low).to(up.dtype).mul_(ctx.scale)
        return for_x, for_dropped, None, None, for_down, for_up, None


def _is_plain_norm(module: Any, on: str) -> bool:
    """Whether a module is x / rms(x) * weight, found by trying it."""
    weight, epsilon = getattr(module, "weight", None), getattr(module, "variance_epsilon", None)
    if not type(module).__name__.endswith("RMSNorm") or weight is None or epsilon is None:
        return False
    on_cpu = weight.device.type == "cpu" and on in ("", "cpu")
    if weight.requires_grad or weight.dim() != 1 or not on_cpu:
        return False
    seeded = torch.Generator().manual_seed(0)
    x = torch.randn((4, weight.shape[0]), generator=seeded).to(weight.dtype) * 3
    with torch.no_grad():
        difference = (module(x) - _norm_forward(module, x)).abs().max()
    return bool(difference <= NORM_TOLERANCES.get(weight.dtype, 0.0) * weight.abs().max())


def _norm_forward(self: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    return apply(RmsNorm, hidden_states, self.weight, self.variance_epsilon)


class RmsNorm(torch.autograd.Function):
    """x / sqrt(mean(x^2) + epsilon) * weight with a frozen weight (arXiv 1910.07467)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        """(..., H), (H,) -> (..., H)."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = (norm.square_() / x.shape[-1] + epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        result: torch.Tensor = (x * inverse).to(x.dtype).mul_(weight)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of x."""
        x, weight, inverse = ctx.saved_tensors
        given, x = (gradients[0] * weight).float(), x.float()
        along = torch.linalg.vecdot(given, x)[..., None]
        along *= inverse.pow(3) / -x.shape[-1]
        slope: torch.Tensor = given.mul_(inverse).addcmul_(x, along).to(weight.dtype)
        return slope, None, None
