"""What tuning changed in an answer, as styles of its tokens and words.

A token's log-ratio is log pi_tuned - log pi_first: how much likelier the tuned side finds the
token, after the same beginning, than the first side does (nats).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textual.content import Content

from workbench.base.files import is_number
from workbench.base.text import clean
from workbench.tui.render import join

PLAIN, DIFFERENCES, SHADING, SIGNS = "plain", "differences", "shading", "signs"
VIEWS = (PLAIN, DIFFERENCES, SHADING, SIGNS)
VIEWS_WITHOUT_COLOUR = (PLAIN, DIFFERENCES, SIGNS)
UNCHANGED = 0.1
STEPS = (UNCHANGED, 0.5, 2.0)
"""From which |log-ratio| on a token is shaded weakly, clearly, strongly."""


@dataclass(frozen=True)
class Token:
    """A token of an answer: where it stands in the shown text, and its log-ratio."""

    begin: int
    end: int
    delta: float


@dataclass(frozen=True)
class Mark:
    """A style for a part of the shown text; `sign` stands under it where signs are shown."""

    begin: int
    end: int
    style: str
    sign: str = ""


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


def token_marks(tokens: Sequence[Token], turn: int, *, signs: bool) -> list[Mark]:
    """Marks of the tokens that tuning changed, by direction and strength.

    Args:
        turn: Number of the first token that differs, -1 for none.
        signs: Without colour: strength as underlined, bold, reverse; direction as a sign below.
    """
    marks = []
    for number, token in enumerate(tokens):
        level = strength(token.delta)
        kind, sign = ("up", "+") if token.delta > 0 else ("down", "-")
        style = ""
        if level:
            style = f"sign-{level}" if signs else f"{kind}-{level}"
        if number == turn and not signs:
            style = f"{style} turn-shaded".strip()
        below = ("^" if number == turn else "") + sign * level
        if style or below:
            marks.append(Mark(token.begin, token.end, style, below))
    return marks


def word_marks(first: str, second: str, *, of_first: bool) -> list[Mark]:
    """Marks of the words that only one of two shown texts has."""
    from workbench.judge.differences import word_differences

    own = "first" if of_first else "second"
    marks, at = [], 0
    for kind, text in word_differences(first, second):
        if kind == own and text.strip():
            blank = len(text) - len(text.lstrip())
            marks.append(Mark(at + blank, at + len(text.rstrip()), "word"))
        if kind in ("same", own):
            at += len(text)
    return marks


def first_difference(answer: Mapping[str, Any], tokens: Sequence[Token]) -> int:
    """Number of the first token that differs from the other side's, -1 for none."""
    number = answer.get("first_difference")
    return number if isinstance(number, int) and 0 <= number < len(tokens) else -1


def token_words(number: int, text: str, delta: float) -> str:
    """One token in numbers: `token 12 " sky"  log-ratio +1.32, 3.7 times as likely`."""
    shown = clean(text).replace("\n", "\\n")
    return f'token {number + 1} "{shown}"  log-ratio {delta:+.2f}, {ratio(delta)} as likely'


def ratio(delta: float) -> str:
    """A log-ratio as a ratio of probabilities: `3.7 times`."""
    value = math.exp(min(delta, 30.0))
    return f"{value:.1f} times" if value >= 1 else f"{value:.2g} times"


def summary(answer: Mapping[str, Any]) -> tuple[float, float] | None:
    """Mean |log-ratio| of an answer's tokens and the share of changed ones; None without tokens."""
    deltas = [token.delta for token in tokens_of(answer)[1]]
    if not deltas:
        return None
    changed = sum(1 for delta in deltas if strength(delta))
    return sum(map(abs, deltas)) / len(deltas), changed / len(deltas)


def legend(view: str, tuned: str, first: str) -> Content:
    """What the marks of a view mean, in one line."""
    words = {
        DIFFERENCES: (
            ("underlined", "bold underline"), " words of this answer alone   ",
            (" reverse ", "reverse"), " first token that differs",
        ),
        SHADING: (
            (" likelier ", "$shade-text on $shade-up-2"), f" for {tuned} than {first}  ",
            (" less likely ", "$shade-text on $shade-down-2"), "  ",
            ("first difference", "underline"), "  ", ("◂ ▸", "$primary"), " tokens",
        ),
        SIGNS: (
            ("+ ++ +++", "bold"), f" likelier for {tuned} than {first}  ",
            ("- -- ---", "bold"), " less likely  ", ("^", "bold"), " first difference",
        ),
    }  # fmt: skip
    return join(*words.get(view, ("",)))
