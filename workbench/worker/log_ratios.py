"""How far the sides are apart: on a prompt's logits, and on each token of an answer.

The models are asked here; `judge/log_ratios.py` makes pieces to show of what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from workbench.worker.row_cache import KeptRow, RowCache
from workbench.worker.row_decoder import Voice
from workbench.worker.side_models import Loaded

MOST_LOGITS = 2**25
"""Logits that are held at once: 128 MB in fp32."""

Known = Mapping[str, KeptRow]
"""By the spec of a side, a row that it has read."""


def prompt_distances(
    groups: Sequence[Sequence[Loaded]], prompt: Sequence[int], first: str
) -> tuple[dict[str, float], dict[str, KeptRow]]:
    """By side, max |logit - logit of the first side|, and what each side has read of the prompt.

    Args:
        groups: sides that can be rows of one batch.
        prompt: tokens; the last ones count where the logits of all would be too many.
    """
    sides = [one for group in groups for one in group]
    vocabulary = max(one.voice.model.config.get_text_config().vocab_size for one in sides)
    wanted = max(1, min(len(prompt), MOST_LOGITS // (vocabulary * len(sides))))
    logits: dict[str, torch.Tensor] = {}
    kept: dict[str, KeptRow] = {}
    for group in groups:
        adapters = list(dict.fromkeys(one.adapter for one in group))
        prompts = [list(prompt)] * len(adapters)
        voice = group[0].voice
        cache, read = voice.read_prompts(prompts, adapters, [None] * len(adapters), wanted)
        for one in group:
            number = adapters.index(one.adapter)
            logits[one.side.spec] = read[number]
            if not voice.stateful:
                kept[one.side.spec] = cache.row(number, prompt)
    return {spec: _distance(own, logits[first]) for spec, own in logits.items()}, kept


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Max |difference| of (tokens, vocabulary); a vocabulary that was made longer counts as far
    as both have it."""
    width = min(one.shape[-1], other.shape[-1])
    parts = zip(torch.split(one[:, :width], 64), torch.split(other[:, :width], 64), strict=True)
    return max(float((a.float() - b.float().to(a.device)).abs().max()) for a, b in parts)


def token_log_ratios(
    own: Loaded, other: Loaded, prompt: Sequence[int], answer: Sequence[int], known: Known
) -> list[float]:
    """log p_own(token | before) - log p_other(token | before) of an answer's tokens, in nats."""
    if not answer or (own.voice.model is other.voice.model and own.adapter == other.adapter):
        return [0.0] * len(answer)
    kept = {one.side.spec: known.get(one.side.spec) for one in (own, other)}
    together = own.voice.model is other.voice.model and own.voice.together
    if together:
        pair = sorted((own, other), key=lambda one: one.adapter)
        rows = _log_probs(
            own.voice,
            [one.adapter for one in pair],
            prompt,
            answer,
            [kept[one.side.spec] for one in pair],
        )
        by_side = {one.side.spec: row for one, row in zip(pair, rows, strict=True)}
    else:
        by_side = {
            one.side.spec: _log_probs(
                one.voice, [one.adapter], prompt, answer, [kept[one.side.spec]]
            )[0]
            for one in (own, other)
        }
    return [a - b for a, b in zip(by_side[own.side.spec], by_side[other.side.spec], strict=True)]


def _log_probs(
    voice: Voice,
    adapters: Sequence[str],
    prompt: Sequence[int],
    answer: Sequence[int],
    kept: Sequence[KeptRow | None],
) -> list[list[float]]:
    """log p of each token of an answer by each adapter, read in pieces of bounded size."""
    count = len(adapters)
    cache, logits = voice.read_prompts([list(prompt)] * count, adapters, kept)
    parts = [_scores(logits, answer[:1])]
    size = max(1, MOST_LOGITS // (logits.shape[-1] * count))
    for begin in range(0, len(answer) - 1, size):
        piece = list(answer[begin : min(begin + size, len(answer) - 1)])
        parts.append(_read_on(voice, cache, piece, adapters, answer[begin + 1 :]))
    rows: list[list[float]] = torch.cat(parts, dim=1).tolist()
    return rows


def _read_on(
    voice: Voice,
    cache: RowCache,
    piece: Sequence[int],
    adapters: Sequence[str],
    following: Sequence[int],
) -> torch.Tensor:
    logits = voice.read(cache, [piece] * len(adapters), adapters, len(piece))
    return _scores(logits, following[: len(piece)])


def _scores(logits: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    """(rows, n, vocabulary), n tokens -> (rows, n) log-probabilities."""
    chances = torch.log_softmax(logits.float(), dim=-1)
    index = torch.tensor(tokens, device=logits.device).expand(logits.shape[0], -1)
    return chances.gather(2, index[:, :, None])[:, :, 0]
