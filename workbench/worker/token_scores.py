"""Log-probabilities of labels under a frozen language-model head, without keeping logits."""

from __future__ import annotations

from typing import Any

import torch

CHUNK_TOKENS = 256


class TokenScores(torch.autograd.Function):
    """Scores N labels.

    The gradient of log p(y) with respect to a hidden state h is W[y] - sum_v p(v) W[v], whatever
    weight the loss gives it later. It is therefore made at once, from logits that are thrown away
    chunk by chunk; nothing of size N x vocabulary is kept, and the backward pass multiplies no
    matrices. The head must be frozen, and what is returned beside log p has no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        labels: torch.Tensor,
        scale: float,
        with_gradient: bool,
        wanted: tuple[str, ...],
    ) -> tuple[torch.Tensor, ...]:
        """(N, H), (V, H), (N,) -> for each wanted field a tensor (N,), fp32 or bool."""
        found: dict[str, list[torch.Tensor]] = {name: [] for name in wanted}
        slopes = []
        chunks = (torch.split(whole, CHUNK_TOKENS) for whole in (hidden, labels))
        for part, asked in zip(*chunks, strict=True):
            logits = (part @ weight.T).float()
            if scale != 1.0:
                logits *= scale
            total = logits.logsumexp(dim=-1)
            own = logits.gather(1, asked[:, None])[:, 0]
            found["log_probs"].append(own - total)
            if "is_top1" in found:
                found["is_top1"].append(logits.argmax(dim=-1) == asked)
            if "mean_logits" in found:
                found["mean_logits"].append(logits.mean(dim=-1))
            if not (with_gradient or {"entropy", "log_sum_sq_probs"} & found.keys()):
                continue
            shifted = logits - total[:, None]
            probabilities = shifted.exp()
            if "entropy" in found:
                found["entropy"].append(-(probabilities * shifted).sum(dim=-1))
            if "log_sum_sq_probs" in found:
                found["log_sum_sq_probs"].append((2 * shifted).logsumexp(dim=-1))
            if with_gradient:
                expected = probabilities.to(weight.dtype) @ weight
                slopes.append(((weight[asked] - expected) * scale).to(hidden.dtype))
        if with_gradient:
            ctx.save_for_backward(torch.cat(slopes))
        results = tuple(torch.cat(found[name]) for name in wanted)
        ctx.mark_non_differentiable(*results[1:])
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Each label's slope, weighted."""
        (slopes,) = ctx.saved_tensors
        weighted = slopes * gradients[0][:, None].to(slopes.dtype)
        return weighted, None, None, None, None, None
