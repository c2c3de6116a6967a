"""Log-probabilities of labels under a frozen language-model head, without keeping logits."""

from __future__ import annotations

from typing import Any

import torch

CHUNK_LOGITS = 2**24
"""Logits at once, 64 MB in fp32. The head is read anew for each chunk, so small ones are slow."""


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
        size = max(1, CHUNK_LOGITS // weight.shape[0])
        chunks = (torch.split(whole, size) for whole in (hidden, labels))
        for part, asked in zip(*chunks, strict=True):
            fields, slope = _score(part, weight, asked, scale, with_gradient, wanted)
            for name in wanted:
                found[name].append(fields[name])
            slopes += slope
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


def _score(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    scale: float,
    with_gradient: bool,
    wanted: tuple[str, ...],
) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """One chunk's fields and, if asked for, its slopes; in few passes over its logits."""
    logits = (hidden @ weight.T).float()
    if scale != 1.0:
        logits *= scale
    fields: dict[str, torch.Tensor] = {}
    own, top = logits.gather(1, labels[:, None])[:, 0], logits.amax(dim=-1)
    if "is_top1" in wanted:
        fields["is_top1"] = own == top
        # Of equal logits the first counts, which only the slow argmax tells.
        rows = fields["is_top1"].nonzero()[:, 0]
        fields["is_top1"][rows] = logits[rows].argmax(dim=-1) == labels[rows]
    if "mean_logits" in wanted:
        fields["mean_logits"] = logits.mean(dim=-1)
    logits -= top[:, None]
    exponents = logits.exp()
    total = exponents.sum(dim=-1)
    log_total = total.log()
    fields["log_probs"] = own - top - log_total
    if "entropy" in wanted:
        fields["entropy"] = log_total - logits.mul_(exponents).sum(dim=-1) / total
    if "log_sum_sq_probs" in wanted:
        norm = torch.linalg.vector_norm(exponents, dim=-1)
        fields["log_sum_sq_probs"] = 2 * (norm.log() - log_total)
    if not with_gradient:
        return fields, []
    expected = (exponents.to(weight.dtype) @ weight).float() / total[:, None]
    return fields, [((weight[labels].float() - expected) * scale).to(hidden.dtype)]
