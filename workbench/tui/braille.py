"""A joined curve as braille characters, one for each cell that it touches.

plotext can do this too, but makes objects of every dot: 24 ms for a noisy curve on 60 x 12 cells,
which take 0.4 ms here. A cell of braille is two dots wide and four high.
"""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float]
# The bits of a braille character, left and right column from the top (Unicode 15, chapter 21.1).
_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BLANK = 0x2800


def braille_cells(
    points: Sequence[Point], scale: tuple[float, float, float, float], width: int, height: int
) -> dict[tuple[int, int], str]:
    """The characters of a line through points.

    Args:
        points: (x, y) by rising x, all of them inside of the plane.
        scale: The x and y of the lower left, then those of the upper right corner.
        width, height: Cells of the plane.

    Returns:
        The character of each (column, row from the top) that the line touches.
    """
    lows, highs = _spans(_dots(points, scale, width, height), 2 * width, 4 * height)
    bits: dict[tuple[int, int], int] = {}
    for place, (low, high) in enumerate(zip(lows, highs, strict=True)):
        if low > high:
            continue
        column, masks = place // 2, _BITS[place % 2]
        top, bottom = 4 * height - 1 - high, 4 * height - 1 - low
        for row in range(top // 4, bottom // 4 + 1):
            first, last = max(top - 4 * row, 0), min(bottom - 4 * row, 3)
            cell = (column, row)
            bits[cell] = bits.get(cell, 0) | sum(masks[first : last + 1])
    return {cell: chr(_BLANK + mask) for cell, mask in bits.items()}


def _dots(
    points: Sequence[Point], scale: tuple[float, float, float, float], width: int, height: int
) -> list[tuple[int, int]]:
    """Column and row, counted from below, of the dot of each point."""
    x_low, y_low, x_high, y_high = scale
    across = (2 * width - 1) / ((x_high - x_low) or 1)
    up = (4 * height - 1) / ((y_high - y_low) or 1)
    return [
        (
            max(0, min(2 * width - 1, int(0.5 + (x - x_low) * across))),
            max(0, min(4 * height - 1, int(0.5 + (y - y_low) * up))),
        )
        for x, y in points
    ]


def _spans(dots: Sequence[tuple[int, int]], columns: int, rows: int) -> tuple[list[int], list[int]]:
    """The lowest and highest dot of the line in each column; a column without has low > high."""
    lows, highs = [rows] * columns, [-1] * columns

    def fill(column: int, one: int, other: int) -> None:
        low, high = (one, other) if one < other else (other, one)
        if low < lows[column]:
            lows[column] = low
        if high > highs[column]:
            highs[column] = high

    previous = dots[0] if dots else (0, 0)
    for column, row in dots:
        before, last = previous
        distance = column - before
        if distance < 1:
            fill(column, last, row)
        start = last
        for step in range(1, distance + 1):
            # Halfway between two columns the line goes over from one to the other.
            end = last + (row - last) * step // distance
            middle = (start + end) // 2
            fill(before + step - 1, start, middle)
            fill(before + step, middle + (end > middle) - (end < middle), end)
            start = end
        previous = (column, row)
    return lows, highs
