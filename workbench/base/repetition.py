"""How much of a text is repetition: loops of words or of characters, found without a model."""

from __future__ import annotations

import re
from collections.abc import Sequence

WINDOW, LETTER_WINDOW = 4, 12
LONGEST_WORDS = 20
"""Characters a word, on average, from which on a text counts as one without spaces."""
LEAST_WORDS, LEAST_LETTERS = 4, 12
"""What a loop must span at least: "ha ha ha" and "....." are none."""
FIRST_LETTER = 0x10000
LOOP = re.compile(r"(.{1,100}?)\1{2,}", re.DOTALL)


def repetition(text: str, window: int = WINDOW) -> float:
    """Share of a text that says again what it has said: 0 varied, near 1 a loop.

    The larger one of two shares. The one is that of `window`-word sequences that stood in the
    text before (1 - distinct-n of Li et al. 2016, arXiv:1510.03055, in one answer), over
    characters where a text has hardly any spaces. The other is the share of words, or of
    characters, in loops: a piece that comes three times or more in a row. It finds short loops,
    of which the first share sees too few, and those of one character.
    """
    words = text.lower().split()
    letters = "".join(words)
    if not words:
        return 0.0
    spaced = len(letters) <= LONGEST_WORDS * len(words)
    again = _seen_before(words, window) if spaced else _seen_before(letters, LETTER_WINDOW)
    return max(again, _looping(_as_letters(words), LEAST_WORDS), _looping(letters, LEAST_LETTERS))


def _seen_before(units: Sequence[str], window: int) -> float:
    windows = [tuple(units[at : at + window]) for at in range(len(units) - window + 1)]
    return 1 - len(set(windows)) / len(windows) if windows else 0.0


def _as_letters(words: Sequence[str]) -> str:
    """A text with one character for each word, the same one for the same word."""
    known: dict[str, str] = {}
    return "".join(known.setdefault(word, chr(FIRST_LETTER + len(known))) for word in words)


def _looping(units: str, least: int) -> float:
    """Share of characters in loops of `least` characters or more."""
    covered = 0
    for loop in LOOP.finditer(units):
        end, period = loop.end(), len(loop[1])
        # The limit of an answer's length cuts the last round of a loop.
        while end < len(units) and units[end] == units[end - period]:
            end += 1
        if end - loop.start() >= least:
            covered += end - loop.start()
    return min(1.0, covered / len(units))
