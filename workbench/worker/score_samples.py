"""Answers that one side samples of its own, for a score: how they are drawn stands here alone."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.judge.answers import Sampling
from workbench.worker.decode import Answer
from workbench.worker.probes import end_tokens, evaluating
from workbench.worker.row_cache import most_rows
from workbench.worker.row_decoder import Decoder, Row, Voice, decode
from workbench.worker.side_layers import BASE_ADAPTER


@dataclass(frozen=True)
class Sampled:
    """One answer.

    Attributes:
        ids: Its tokens; the end token, where it came to one, is the last.
        text: Without special tokens.
        finish: `eos`, or `length` where the limit has cut it.
    """

    ids: list[int]
    text: str
    finish: str

    @property
    def tokens(self) -> int:
        """Tokens without the end token."""
        return len(self.ids) - (self.finish == "eos")


def sample_answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int,
) -> list[Sampled]:
    """One answer to each prompt, drawn as rows of a batch.

    At temperature 1 they come from the model's own distribution: nothing of it is cut off
    (top_p, top_k) or bent (penalties), which an estimate of the KL needs. Prompt k is answered with
    the noise of seed + k, whichever side answers.

    Args:
        model: with the side's weights switched on; PEFT's wrapping may be around it.
        prompts: Token ids.
        temperature: 0 is greedy.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    ends = frozenset(end_tokens(inner, tokenizer))
    voice = Voice(inner, lambda _: contextlib.nullcontext(), ends)
    rows = [
        Row(
            Answer("", tokenizer, prompt=number),
            list(prompt),
            BASE_ADAPTER,
            max_new_tokens,
            seed=(seed + number) % 2**63,
        )
        for number, prompt in enumerate(prompts)
    ]
    sampling = Sampling(max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    longest = max(len(prompt) for prompt in prompts) + max_new_tokens
    with evaluating(model):
        waiting = {0: sorted(rows, key=lambda row: -len(row.prompt))}
        most = most_rows(inner, longest)
        decode([Decoder(voice, sampling)], waiting, most, lambda: True)
    return [Sampled(row.ids, row.answer.text.strip(), row.answer.finish) for row in rows]
