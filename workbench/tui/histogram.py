"""Histograms as text: one or several lines of bars, with a line where a limit is."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Sequence

EIGHTHS = " ▁▂▃▄▅▆▇█"
ASCII_LEVELS = " .:-=+*#@"
LEVELS = len(EIGHTHS) - 1


def columns(counts: Sequence[float], width: int) -> list[float]:
    """Counts spread over, or gathered into, so many columns."""
    if not counts or width < 1:
        return []
    size = len(counts)
    if size <= width:
        return [counts[at * size // width] for at in range(width)]
    edges = [at * size // width for at in range(width + 1)]
    return [sum(counts[a:b]) for a, b in itertools.pairwise(edges)]


def bars(counts: Sequence[float], width: int, height: int = 1, *, signs: bool = False) -> list[str]:
    """Lines of bars from the top down, the highest bar as high as all of them.

    What is not empty has a bar, be it the lowest.

    Args:
        signs: Draw with ASCII signs instead of eighths of a block.
    """
    drawn = columns(counts, width)
    peak = max(drawn, default=0)
    if peak <= 0:
        return [" " * width] * height
    full = LEVELS * height
    levels = [max(1, round(full * value / peak)) if value > 0 else 0 for value in drawn]
    letters = ASCII_LEVELS if signs else EIGHTHS
    return [
        "".join(letters[min(LEVELS, max(0, level - LEVELS * below))] for level in levels)
        for below in reversed(range(height))
    ]


def place(edges: Sequence[float], value: float, width: int) -> int | None:
    """The column in which a value lies, None where it lies outside."""
    if len(edges) < 2 or not edges[0] <= value <= edges[-1]:
        return None
    at = min(len(edges) - 2, bisect_right(edges, value) - 1)
    span = edges[at + 1] - edges[at]
    share = (at + ((value - edges[at]) / span if span else 0)) / (len(edges) - 1)
    return min(width - 1, int(share * width))
