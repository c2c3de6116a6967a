"""What tuning changed in an answer, token by token.

A token's log-ratio is log pi_tuned - log pi_first: how much likelier the tuned side finds the
token, after the same beginning, than the first side does (nats). `worker/log_ratios.py` has
measured it; here it is read from an answer's `pieces` to be shown.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.base.files import is_number
from workbench.base.text import clean

UNCHANGED = 0.1
STEPS = (UNCHANGED, 0.5, 2.0)
"""From which |log-ratio| on a token counts as changed weakly, clearly, strongly."""
LARGEST = 30.0


@dataclass(frozen=True)
class Token:
    """A token of an answer: where it stands in the shown text, and its log-ratio."""

    begin: int
    end: int
    delta: float


@dataclass(frozen=True)
class Change:
    """How much tuning changed an answer: mean |log-ratio|, and the share of changed tokens."""

    mean: float
    share: float


def strength(delta: float) -> int:
    """0 for a token that tuning left as it was, to 3 for one that it changed strongly."""
    return bisect_right(STEPS, abs(delta))


def tokens_of(answer: Mapping[str, Any]) -> tuple[str, list[Token]]:
    """The text that is shown for an answer, and its tokens in it; no tokens where none are known.

    Cleaning may take away what spans several tokens, so each token's end is where the cleaned text
    ends that was generated so far.
    """
    text = str(answer.get("text") or "")
    pieces = [
        (str(piece[0]), float(piece[1]) if is_number(piece[1]) else 0.0)
        for piece in answer.get("pieces") or ()
        if isinstance(piece, list | tuple) and len(piece) == 2
    ]
    whole = "".join(piece for piece, _ in pieces)
    if not pieces or whole.strip() != text.strip():
        return clean(text), []
    shown = clean(whole)
    cleaned = [clean(piece) for piece, _ in pieces]
    simple = "".join(cleaned) == shown
    tokens, end, raw_end = [], 0, 0
    for (raw, delta), inert in zip(pieces, cleaned, strict=True):
        raw_end += len(raw)
        begin = end
        reached = begin + len(inert) if simple else len(clean(whole[:raw_end]))
        end = min(len(shown), max(begin, reached))
        tokens.append(Token(begin, end, delta))
    return shown, tokens


def first_difference(answer: Mapping[str, Any], tokens: Sequence[Token]) -> int:
    """Number of the first token that differs from the other side's, -1 for none."""
    number = answer.get("first_difference")
    return number if isinstance(number, int) and 0 <= number < len(tokens) else -1


def ratio(delta: float) -> str:
    """A log-ratio as a ratio of probabilities: `3.7 times`."""
    value = math.exp(min(delta, LARGEST))
    return f"{value:.1f} times" if value >= 1 else f"{value:.2g} times"


def change_of(answer: Mapping[str, Any]) -> Change | None:
    """How much tuning changed an answer, None where nothing is known of its tokens."""
    deltas = [token.delta for token in tokens_of(answer)[1]]
    if not deltas:
        return None
    changed = sum(1 for delta in deltas if strength(delta))
    return Change(sum(map(abs, deltas)) / len(deltas), changed / len(deltas))
