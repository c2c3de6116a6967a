"""Keys and values of several rows of different length, padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from transformers.cache_utils import Cache, DynamicLayer

SPARE_TOKENS = 128
MOST_ROWS = {"cpu": 32, "cuda": 256}
"""More rows are no faster."""
CACHE_SHARE = 0.2
"""Of the free memory: growing and picking rows copies the cache, one layer at a time or whole."""

KeysValues = tuple[torch.Tensor, torch.Tensor]
"""Of one layer: (rows, heads, tokens, size) each."""


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """A layer that grows in place, with room for some tokens more; transformers' own copies all."""

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Begin empty."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        self._room = [self.keys, self.values]
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> KeysValues:
        """Append (rows, heads, new tokens, size) and return all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._append(0, self.keys, key_states)
        self.values = self._append(1, self.values, value_states)
        return self.keys, self.values

    def _append(self, which: int, held: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        length, end = held.shape[2], held.shape[2] + new.shape[2]
        if self._room[which].shape[2] < end:
            room = new.new_empty(*new.shape[:2], end + max(SPARE_TOKENS, end // 4), new.shape[3])
            room[:, :, :length] = held
            self._room[which] = room
        self._room[which][:, :, length:end] = new
        return self._room[which][:, :, :end]


def most_rows(model: Any, tokens: int) -> int:
    """How many rows of so many tokens a batch takes: as many as help, and as fit the memory."""
    if model.device.type == "cuda":
        free = torch.cuda.mem_get_info(model.device)[0]
    else:
        free = psutil.virtual_memory().available
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", 1)
    kept = getattr(config, "num_key_value_heads", None) or heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    layers = getattr(config, "num_hidden_layers", 1)
    token_bytes = 2 * layers * kept * size * model.dtype.itemsize
    helping = MOST_ROWS.get(model.device.type, MOST_ROWS["cuda"])
    return max(1, min(helping, int(CACHE_SHARE * free / (tokens * token_bytes))))


@dataclass
class KeptRow:
    """One row's keys and values after an answer, to go on from.

    Attributes:
        ids: the tokens that they belong to.
        layers: (1, heads, len(ids), size) of each layer.
    """

    ids: list[int]
    layers: list[KeysValues]


class RowCache:
    """The cache of a batch.

    Attributes:
        cache: what the model reads and extends.
        pads: tokens of padding on the left of each row.
        length: tokens of the longest row; whoever lets the model read on adds to it.
    """

    def __init__(self, cache: Cache, pads: Sequence[int], length: int = 0) -> None:
        self.cache = cache
        self.pads = list(pads)
        self.length = length

    @classmethod
    def of_rows(cls, rows: Sequence[KeptRow | None]) -> RowCache:
        """Rows beside each other, padded to the longest; None is an empty row."""
        length = max((len(row.ids) for row in rows if row is not None), default=0)
        cache = Cache(layer_class_to_replicate=GrowingLayer)
        known = next((row for row in rows if row is not None), None)
        if known is not None and length:
            for number, (keys, values) in enumerate(known.layers):
                parts = [row.layers[number] if row else None for row in rows]
                cache.update(
                    torch.cat([_padded(part and part[0], keys, length) for part in parts]),
                    torch.cat([_padded(part and part[1], values, length) for part in parts]),
                    number,
                )
        return cls(cache, [length - (len(row.ids) if row else 0) for row in rows], length)

    def mask(self, more: int, device: Any) -> torch.Tensor | None:
        """(rows, length + more), 1 where there is a token; None where nothing is padded."""
        if not any(self.pads):
            return None
        places = torch.arange(self.length + more, device=device)
        pads = torch.tensor(self.pads, device=device)
        return (places[None, :] >= pads[:, None]).long()

    def row(self, number: int, ids: Sequence[int]) -> KeptRow:
        """A copy of one row; `ids` are its tokens, as many as are in the cache."""
        begin = self.pads[number]
        rows = slice(number, number + 1)
        end = begin + len(ids)
        return KeptRow(
            list(ids),
            [
                (layer.keys[rows, :, begin:end].clone(), layer.values[rows, :, begin:end].clone())
                for layer in self.cache.layers
            ],
        )

    def pick(self, numbers: Sequence[int]) -> RowCache:
        """Some of the rows, in a new order, without padding that none of them needs."""
        pads = [self.pads[number] for number in numbers]
        common = min(pads, default=0)
        index = torch.tensor(list(numbers))
        cache = Cache(layer_class_to_replicate=GrowingLayer)
        for number, layer in enumerate(self.cache.layers):
            chosen = index.to(layer.keys.device)
            cache.update(
                layer.keys.index_select(0, chosen)[:, :, common:],
                layer.values.index_select(0, chosen)[:, :, common:],
                number,
            )
        return RowCache(cache, [pad - common for pad in pads], self.length - common)

    def beside(self, other: RowCache) -> RowCache:
        """The rows of both, this one's first."""
        length = max(self.length, other.length)
        cache = Cache(layer_class_to_replicate=GrowingLayer)
        for number, (mine, theirs) in enumerate(
            zip(self.cache.layers, other.cache.layers, strict=True)
        ):
            cache.update(
                torch.cat([_padded(part.keys, part.keys, length) for part in (mine, theirs)]),
                torch.cat([_padded(part.values, part.values, length) for part in (mine, theirs)]),
                number,
            )
        pads = [pad + length - part.length for part in (self, other) for pad in part.pads]
        return RowCache(cache, pads, length)


def _padded(part: torch.Tensor | None, like: torch.Tensor, length: int) -> torch.Tensor:
    """(rows, heads, tokens, size) padded with zeros on the left; None gives one row of zeros."""
    if part is None:
        return like.new_zeros(1, like.shape[1], length, like.shape[3])
    missing = length - part.shape[2]
    if not missing:
        return part
    zeros = part.new_zeros(part.shape[0], part.shape[1], missing, part.shape[3])
    return torch.cat([zeros, part], dim=2)
