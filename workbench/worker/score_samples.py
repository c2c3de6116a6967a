"""Answers that one side samples of its own, for a score: how they are drawn stands here alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from workbench.worker.decode import CancelCriteria
from workbench.worker.probes import end_tokens, evaluating


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
    stop: Callable[[], bool] = lambda: False,
) -> list[Sampled]:
    """One answer to each prompt, drawn in one batch.

    At temperature 1 they come from the model's own distribution: nothing of it is cut off
    (top_p, top_k) or bent (penalties), which an estimate of the KL needs.

    Args:
        prompts: Token ids.
        temperature: 0 is greedy.
    """
    width = max(len(prompt) for prompt in prompts)
    pad = tokenizer.pad_token_id
    rows = [[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    seen = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    ends = end_tokens(model, tokenizer)
    torch.manual_seed(seed)
    with torch.no_grad(), evaluating(model):
        output = model.generate(
            input_ids=torch.tensor(rows, device=model.device),
            attention_mask=torch.tensor(seen, device=model.device),
            max_new_tokens=max_new_tokens,
            do_sample=temperature > 0,
            temperature=temperature if temperature > 0 else None,
            top_p=1.0 if temperature > 0 else None,
            top_k=0 if temperature > 0 else None,
            repetition_penalty=1.0,
            use_cache=True,
            stopping_criteria=[CancelCriteria(stop)],
            pad_token_id=pad,
            eos_token_id=sorted(ends) or None,
        )
    return [_answer(row, ends, tokenizer) for row in output[:, width:].tolist()]


def _answer(row: list[int], ends: set[int], tokenizer: Any) -> Sampled:
    last = next((place for place, token in enumerate(row) if token in ends), None)
    ids = row if last is None else row[: last + 1]
    text = tokenizer.decode(ids, skip_special_tokens=True).strip()
    return Sampled(ids, text, "length" if last is None else "eos")
