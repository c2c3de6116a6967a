"""Answers of several sides and prompts out of one batch, token by token.

A small model's step takes as long for eight rows as for one, since reading the weights is what
takes the time. So all sides, answers and prompts are rows of a batch; rows that have ended leave it
and waiting ones come in.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.cache_utils import Cache, DynamicCache

from workbench.judge.answers import Sampling
from workbench.worker.decode import Answer
from workbench.worker.row_cache import GrowingLayer, KeptRow, RowCache

PIECE_TOKENS = 4096
"""Tokens of all rows that are read at once: bounds the activations of a long prompt."""
CACHE_NAMES = ("cache", "past_key_values", "cache_params")
"""What models call their cache: since transformers 5.24, before it, and state space models."""
PLAIN_ATTENTION = ("full_attention", "sliding_attention", "chunked_attention")


@dataclass
class Voice:
    """A model in memory that speaks for one side or, by its adapters, for several.

    Attributes:
        model: the causal language model itself, without PEFT's wrapping.
        speaking: while entered, row k of a batch gets the adapter k of those given.
        ends: token ids that end an answer.
        together: whether rows of one batch may have different adapters.
    """

    model: Any
    speaking: Callable[[Sequence[str]], AbstractContextManager[None]]
    ends: frozenset[int]
    together: bool = False
    _accepted: frozenset[str] = field(init=False)
    _cache_name: str = field(init=False)

    def __post_init__(self) -> None:
        self._accepted = frozenset(inspect.signature(type(self.model).forward).parameters)
        self._cache_name = next(name for name in CACHE_NAMES if name in self._accepted)

    @property
    def stateful(self) -> bool:
        """Whether the model keeps more than keys and values, so that rows cannot come and go."""
        kinds = getattr(self.model.config.get_text_config(), "layer_types", None) or ()
        return bool(getattr(self.model, "_is_stateful", False)) or any(
            kind not in PLAIN_ATTENTION for kind in kinds
        )

    def empty_cache(self, rows: int) -> RowCache:
        """The cache of rows that have read nothing yet."""
        if self.stateful:
            return RowCache(DynamicCache(config=self.model.config), [0] * rows)
        return RowCache(Cache(layer_class_to_replicate=GrowingLayer), [0] * rows)

    def read(
        self, cache: RowCache, ids: Sequence[Sequence[int]], adapters: Sequence[str], wanted: int
    ) -> torch.Tensor:
        """Let each row read as many tokens more; logits (rows, wanted, vocabulary) of the last."""
        device = self.model.device
        tokens = torch.tensor(ids, device=device)
        mask = cache.mask(tokens.shape[1], device)
        places = torch.arange(cache.length, cache.length + tokens.shape[1], device=device)
        pads = torch.tensor(cache.pads, device=device)
        inputs = {
            "input_ids": tokens,
            "attention_mask": mask,
            "position_ids": (places[None, :] - pads[:, None]).clamp(min=0),
            self._cache_name: cache.cache,
            "use_cache": True,
            "logits_to_keep": wanted,
        }
        inputs = {name: value for name, value in inputs.items() if name in self._accepted}
        with self.speaking(adapters), torch.inference_mode():
            logits: torch.Tensor = self.model(**inputs).logits
        cache.length += tokens.shape[1]
        return logits[:, -wanted:]

    def read_prompts(
        self,
        prompts: Sequence[Sequence[int]],
        adapters: Sequence[str],
        kept: Sequence[KeptRow | None],
        wanted: int = 1,
    ) -> tuple[RowCache, torch.Tensor]:
        """Read whole prompts, without what `kept` rows have read of them already.

        All rows read as many tokens, so that padding stays on the left: sliding windows count
        places, not tokens.

        Args:
            wanted: of how many last tokens the logits are returned, (rows, wanted, vocabulary).
        """
        shared = [_shared(row, prompt) for row, prompt in zip(kept, prompts, strict=True)]
        new = max(max(len(p) - n for p, n in zip(prompts, shared, strict=True)), wanted)
        if self.stateful:
            new = max(len(prompt) for prompt in prompts)
        known = [
            _cut(row, len(prompt) - new) if row is not None and len(prompt) > new else None
            for row, prompt in zip(kept, prompts, strict=True)
        ]
        missing = [max(0, new - len(prompt)) for prompt in prompts]
        cache = RowCache.of_rows(known) if any(known) else self.empty_cache(len(prompts))
        if any(missing):
            cache.pads = [pad + gap for pad, gap in zip(cache.pads, missing, strict=True)]
        padded = [
            [0] * gap + list(prompt[-new:]) for gap, prompt in zip(missing, prompts, strict=True)
        ]
        piece = max(1, PIECE_TOKENS // len(prompts))
        done = 0
        while new - done > piece and new - done - piece >= wanted:
            self.read(cache, [row[done : done + piece] for row in padded], adapters, 1)
            done += piece
        return cache, self.read(cache, [row[done:] for row in padded], adapters, wanted)


def _shared(row: KeptRow | None, prompt: Sequence[int]) -> int:
    """How many tokens of a prompt a kept row has read; at least one is always left to read."""
    if row is None:
        return 0
    return min(common_length(row.ids, prompt), len(prompt) - 1)


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    for number, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return number
    return min(len(one), len(other))


def _cut(row: KeptRow, length: int) -> KeptRow:
    layers = [(keys[:, :, :length], values[:, :, :length]) for keys, values in row.layers]
    return KeptRow(row.ids[:length], layers)


@dataclass
class Row:
    """One answer in the making.

    Attributes:
        prompt: its tokens.
        limit: most tokens of the answer.
        kept: what an earlier row with the same adapter has read.
        ids: tokens of the answer so far, its end token included.
        began: when it came into the batch, `time.monotonic()`.
    """

    answer: Answer
    prompt: list[int]
    adapter: str
    limit: int
    seed: int = 0
    kept: KeptRow | None = None
    ids: list[int] = field(default_factory=list)
    began: float = 0.0
    generator: torch.Generator | None = None


class Decoder:
    """The rows of one voice.

    Args:
        sampling: how tokens are drawn. Rows with the same seed draw with the same noise: sides
            that agree on the probabilities give the same answer.
        on_end: called with each row that has ended and what it has read.
    """

    def __init__(
        self,
        voice: Voice,
        sampling: Sampling,
        on_end: Callable[[Row, KeptRow | None], object] = lambda row, kept: None,
        *,
        keep: bool = False,
    ) -> None:
        self.voice = voice
        self.rows: list[Row] = []
        self._sampling = sampling
        self._processors = processors(sampling)
        self._on_end = on_end
        self._keep = keep and not voice.stateful
        self._cache = voice.empty_cache(0)
        self._logits = torch.empty(0)

    def admit(self, rows: Iterable[Row]) -> None:
        """Read the prompts of new rows and let them take part."""
        new = sorted(rows, key=lambda row: row.adapter)
        began = time.monotonic()
        for row in new:
            row.began = began
            row.generator = torch.Generator(self.voice.model.device).manual_seed(row.seed)
        prompts, adapters = [row.prompt for row in new], [row.adapter for row in new]
        cache, logits = self.voice.read_prompts(prompts, adapters, [row.kept for row in new])
        logits = logits[:, -1]
        if not self.rows:
            self.rows, self._cache, self._logits = new, cache, logits
            return
        joined = [*self.rows, *new]
        order = sorted(range(len(joined)), key=lambda number: joined[number].adapter)
        self.rows = [joined[number] for number in order]
        self._cache = self._cache.beside(cache).pick(order)
        self._logits = torch.cat([self._logits, logits])[order]

    def step(self) -> None:
        """One token more for each row; rows that have ended leave."""
        tokens = self._choose()
        now = time.monotonic()
        going = [number for number, row in enumerate(self.rows) if not row.answer.finish]
        for number in going:
            self._take(self.rows[number], tokens[number], now)
        stay = [number for number in going if not self.rows[number].answer.finish]
        for number in going:
            if self.rows[number].answer.finish:
                self._let_go(number)
        if not stay:
            self._empty()
            return
        if len(stay) < len(self.rows) and not self.voice.stateful:
            self.rows = [self.rows[number] for number in stay]
            tokens = [tokens[number] for number in stay]
            self._cache = self._cache.pick(stay)
        adapters = [row.adapter for row in self.rows]
        read = self.voice.read(self._cache, [[token] for token in tokens], adapters, 1)
        self._logits = read[:, -1]

    def end(self, finish: str) -> None:
        """Let all rows go as they are."""
        for number, row in enumerate(self.rows):
            if not row.answer.finish:
                row.answer.end(finish, time.monotonic() - row.began)
                self._let_go(number)
        self._empty()

    def _empty(self) -> None:
        self.rows, self._cache = [], self.voice.empty_cache(0)

    def _take(self, row: Row, token: int, now: float) -> None:
        row.ids.append(token)
        if token in self.voice.ends:
            row.answer.end("eos", now - row.began)
            return
        row.answer.push(token, now - row.began)
        if len(row.ids) >= row.limit:
            row.answer.end("length", now - row.began)

    def _let_go(self, number: int) -> None:
        row, kept = self.rows[number], None
        if self._keep:
            ids = [*row.prompt, *row.ids]
            held = self._cache.length - self._cache.pads[number]
            kept = self._cache.row(number, ids[:held])
        self._on_end(row, kept)

    def _choose(self) -> list[int]:
        """The next token of each row, (rows, vocabulary) -> rows."""
        scores = self._logits.float()
        if self._sampling.repetition_penalty != 1:
            penalty = RepetitionPenaltyLogitsProcessor(self._sampling.repetition_penalty)
            ids = [
                torch.tensor([[*row.prompt, *row.ids]], device=scores.device) for row in self.rows
            ]
            parts = zip(ids, torch.split(scores, 1), strict=True)
            scores = torch.cat([penalty(read, part) for read, part in parts])
        if not self._sampling.temperature:
            return [int(token) for token in scores.argmax(dim=-1).tolist()]
        chances = torch.softmax(self._processors(None, scores), dim=-1)
        # The token with the greatest chance by an exponential noise is a draw by the chances.
        noise = torch.stack(
            [
                torch.empty_like(part).exponential_(generator=row.generator)
                for row, part in zip(self.rows, chances, strict=True)
            ]
        )
        return [int(token) for token in (chances / noise).argmax(dim=-1).tolist()]


def processors(sampling: Sampling) -> LogitsProcessorList:
    """What `generate` does to the scores before it draws, in its order."""
    found = LogitsProcessorList()
    if sampling.temperature not in (0, 1):
        found.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        found.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        found.append(TopPLogitsWarper(sampling.top_p))
    return found


def decode(
    decoders: Sequence[Decoder],
    waiting: dict[int, list[Row]],
    most: int,
    may_go_on: Callable[[], bool],
) -> None:
    """Make all answers, those of all voices at the same pace.

    Args:
        waiting: by the number of the decoder, rows that are not admitted yet; emptied.
        most: rows in a batch.
        may_go_on: called before each step; False ends everything as cancelled.
    """
    while any(decoder.rows for decoder in decoders) or any(waiting.values()):
        if not may_go_on():
            for decoder in decoders:
                decoder.end("cancelled")
            for row in (row for rows in waiting.values() for row in rows):
                row.answer.end("cancelled", 0.0)
            return
        for number, decoder in enumerate(decoders):
            rows = waiting.get(number, [])
            free = most - len(decoder.rows)
            # Coming in costs a copy of the cache, so rows come in several at a time.
            room = not decoder.rows or (free >= max(1, most // 4) and not decoder.voice.stateful)
            if rows and room:
                count = same_length(rows[:free]) if decoder.voice.stateful else free
                decoder.admit(rows[:count])
                del rows[:count]
            if decoder.rows:
                decoder.step()


def same_length(rows: Sequence[Row]) -> int:
    """How many rows from the first on have prompts of one length."""
    return next(
        (n for n, row in enumerate(rows) if len(row.prompt) != len(rows[0].prompt)), len(rows)
    )
