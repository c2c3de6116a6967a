"""Attention over a packed row of preference pairs, as transformers' layers call it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from torch.nn import functional

from workbench.worker.packed_layout import Layout

ATTENTION = "workbench_shared_prefix"
BLOCKED = torch.bfloat16
BLOCK_QUERIES = 128
"""Queries that are scored at once: enough for the matrix products, few enough for the cache."""


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    shared_prefix: Layout | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of a packed row: (1, heads, T, head size) in, (1, T, heads, head size) out.

    Without a layout it is transformers' own attention.
    """
    if shared_prefix is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        result: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return result
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    attend = _attend_packed if query.device.type == "cpu" and query.dtype == BLOCKED else _attend
    found = attend(query[0], key[0], value[0], shared_prefix, scale)
    return found.transpose(0, 1).contiguous()[None], None


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, scale: float
) -> torch.Tensor:
    """(heads, T, size) for query and, with fewer heads or as many, key and value; by torch."""
    repeats = query.shape[0] // key.shape[0]
    if repeats > 1:
        # torch's enable_gqa is slower on a CPU, and on a GPU fp32, a mask or large heads leave it
        # only the kernel that keeps all scores.
        key, value = (part.repeat_interleave(repeats, 0) for part in (key, value))
    parts = []
    for queries, seen in _tails(layout):
        keys, values = _pick(key, seen), _pick(value, seen)
        count, length = queries.stop - queries.start, keys.shape[1]
        found = functional.scaled_dot_product_attention(
            query[None, :, queries],
            keys[None],
            values[None],
            attn_mask=_mask(count, length, query.device) if count < length else None,
            is_causal=count == length,
            scale=scale,
        )
        parts.append(found[0])
    return torch.cat(parts, dim=1)


def _tails(layout: Layout) -> Iterator[tuple[slice, tuple[slice, ...]]]:
    """What is attended at once: some queries, and the keys that end with them in causal order."""
    for pair in layout.pairs:
        whole = slice(pair.start, pair.fork)
        yield whole, (whole,)
        if pair.rejected:
            rest = slice(pair.fork, pair.end)
            yield rest, (slice(pair.start, pair.start + pair.prefix), rest)


def _pick(whole: torch.Tensor, seen: tuple[slice, ...]) -> torch.Tensor:
    parts = [whole[:, part] for part in seen]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _mask(count: int, length: int, device: torch.device) -> torch.Tensor:
    """(count, length): the last `count` of `length` tokens see those before them."""
    places = torch.arange(length, device=device)
    return places[None, :] <= places[length - count :, None]


class _PackedAttention(torch.autograd.Function):
    """`_attend` on a CPU in bf16, where torch's own kernel takes two to three times as long.

    Block by block of queries, whole rows of scores are made by one product and one softmax; the
    backward pass makes them anew, so that nothing of size T x T is kept. The query heads that share
    a key head are rows of the same product.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        layout: Layout,
        scale: float,
    ) -> torch.Tensor:
        """See `_attend`."""
        query = query * scale
        out = torch.empty_like(query)
        for queries, seen in _tails(layout):
            keys, values = _pick(key, seen), _pick(value, seen)
            for block, size in _blocks(queries, keys.shape[1]):
                weights = _weights(_rows(query[:, block], key), keys[:, :size], block)
                found = torch.bmm(weights, values[:, :size])
                out[:, block] = found.view(query.shape[0], -1, query.shape[2])
        ctx.save_for_backward(query, key, value)
        ctx.layout, ctx.scale = layout, scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of query, key and value."""
        query, key, value = ctx.saved_tensors
        given = gradients[0]
        for_query = torch.empty_like(query)
        for_key, for_value = torch.zeros_like(key), torch.zeros_like(value)
        for queries, seen in _tails(ctx.layout):
            keys, values = _pick(key, seen), _pick(value, seen)
            to_keys, to_values = (keys.new_zeros(keys.shape) for _ in range(2))
            for block, size in _blocks(queries, keys.shape[1]):
                rows, slopes = _rows(query[:, block], key), _rows(given[:, block], key)
                weights = _weights(rows, keys[:, :size], block)
                to_values[:, :size] += torch.bmm(weights.transpose(1, 2), slopes)
                slopes = torch.bmm(slopes, values[:, :size].transpose(1, 2))
                slopes = torch._softmax_backward_data(slopes, weights, -1, weights.dtype)
                found = torch.bmm(slopes, keys[:, :size])
                for_query[:, block] = found.view(query.shape[0], -1, query.shape[2])
                to_keys[:, :size] += torch.bmm(slopes.transpose(1, 2), rows)
            begin = 0
            for part in seen:
                end = begin + part.stop - part.start
                for_key[:, part] += to_keys[:, begin:end]
                for_value[:, part] += to_values[:, begin:end]
                begin = end
        return for_query.mul_(ctx.scale), for_key, for_value, None, None


def _attend_packed(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, scale: float
) -> torch.Tensor:
    result: torch.Tensor = _PackedAttention.apply(  # type: ignore[no-untyped-call]
        query, key, value, layout, scale
    )
    return result


def _blocks(queries: slice, length: int) -> Iterator[tuple[slice, int]]:
    """Blocks of queries, and how many of `length` keys the last query of each sees."""
    for begin in range(queries.start, queries.stop, BLOCK_QUERIES):
        end = min(begin + BLOCK_QUERIES, queries.stop)
        yield slice(begin, end), length - queries.stop + end


def _rows(part: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """(heads, n, size) -> (key heads, heads / key heads * n, size)."""
    return part.reshape(key.shape[0], -1, part.shape[2])


def _weights(rows: torch.Tensor, keys: torch.Tensor, block: slice) -> torch.Tensor:
    """(key heads, group * n, m): the softmax of each query over the keys that it sees."""
    count = block.stop - block.start
    scores = torch.bmm(rows, keys.transpose(1, 2))
    scores.view(-1, count, keys.shape[1])[:, :, -count:] += _later(count, scores.dtype)
    return torch.softmax(scores, dim=-1)


@lru_cache(maxsize=BLOCK_QUERIES)
def _later(count: int, dtype: torch.dtype) -> torch.Tensor:
    """(count, count): minus infinity where a key comes after its query, else 0."""
    return torch.full((count, count), float("-inf"), dtype=dtype).triu_(1)
