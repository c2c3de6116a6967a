"""What tuning changed in an answer, as styles of its tokens and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from workbench.base.text import clean
from workbench.judge.log_ratios import Token, ratio, strength
from workbench.tui.render import join

PLAIN, DIFFERENCES, SHADING, SIGNS = "plain", "differences", "shading", "signs"
VIEWS = (PLAIN, DIFFERENCES, SHADING, SIGNS)
VIEWS_WITHOUT_COLOUR = (PLAIN, DIFFERENCES, SIGNS)


@dataclass(frozen=True)
class Mark:
    """A style for a part of the shown text; `sign` stands under it where signs are shown."""

    begin: int
    end: int
    style: str
    sign: str = ""


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


def token_words(number: int, text: str, delta: float) -> str:
    """One token in numbers: `token 12 " sky"  log-ratio +1.32, 3.7 times as likely`."""
    shown = clean(text).replace("\n", "\\n")
    return f'token {number + 1} "{shown}"  log-ratio {delta:+.2f}, {ratio(delta)} as likely'


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
