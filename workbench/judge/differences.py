"""What differs between two texts, word by word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Literal

Kind = Literal["same", "first", "second"]
Piece = tuple[Kind, str]

_PARTS = re.compile(r"(\s*)(\S+)")


def word_differences(first: str, second: str) -> list[Piece]:
    """Both texts as one row of pieces: in both, in the first alone, in the second alone.

    The pieces `same` and `first` joined give the first text, `same` and `second` the second one,
    spaces included. Words are compared as they are written.
    """
    words = _words(first), _words(second)
    start = _shared([word for _, word in words[0]], [word for _, word in words[1]])
    ends = (
        [word for _, word in words[0][start:]][::-1],
        [word for _, word in words[1][start:]][::-1],
    )
    end = _shared(*ends)
    pieces: list[Piece] = []
    _add_same(pieces, words[0][:start], words[1][:start])
    middles = [side[start : len(side) - end] for side in words]
    _add_middle(pieces, middles[0], middles[1])
    _add_same(pieces, words[0][len(words[0]) - end :], words[1][len(words[1]) - end :])
    rests = [
        text[len("".join(map("".join, side))) :]
        for text, side in zip((first, second), words, strict=True)
    ]
    _add_rest(pieces, rests[0], rests[1])
    return pieces


def _words(text: str) -> list[tuple[str, str]]:
    """Each word with the spaces before it."""
    return [(match[1], match[2]) for match in _PARTS.finditer(text)]


def _shared(first: Sequence[str], second: Sequence[str]) -> int:
    """How many words at the beginning are the same."""
    for number, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return number
    return min(len(first), len(second))


def _add_middle(
    pieces: list[Piece], first: Sequence[tuple[str, str]], second: Sequence[tuple[str, str]]
) -> None:
    # The matcher leaves out words that are too frequent in a long text as places to begin a match:
    # without that, two loops of a few thousand words would take minutes.
    matcher = SequenceMatcher(None, [word for _, word in first], [word for _, word in second])
    for tag, low, high, low_second, high_second in matcher.get_opcodes():
        if tag == "equal":
            _add_same(pieces, first[low:high], second[low_second:high_second])
        else:
            _add(pieces, "first", "".join(map("".join, first[low:high])))
            _add(pieces, "second", "".join(map("".join, second[low_second:high_second])))


def _add_same(
    pieces: list[Piece], first: Sequence[tuple[str, str]], second: Sequence[tuple[str, str]]
) -> None:
    for (space, word), (other_space, _) in zip(first, second, strict=True):
        _add_rest(pieces, space, other_space)
        _add(pieces, "same", word)


def _add_rest(pieces: list[Piece], first: str, second: str) -> None:
    """Spaces, which only count as equal where they are."""
    if first == second:
        _add(pieces, "same", first)
    else:
        _add(pieces, "first", first)
        _add(pieces, "second", second)


def _add(pieces: list[Piece], kind: Kind, text: str) -> None:
    if not text:
        return
    if pieces and pieces[-1][0] == kind:
        text = pieces.pop()[1] + text
    pieces.append((kind, text))
