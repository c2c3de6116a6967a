"""Curves as characters: the one place that knows plotext.

plotext draws points, and lines of ASCII signs. Lines of braille are drawn by `braille`, because
plotext makes objects of every dot, and axes, frame and marks by `chart_picture`. Points are
thinned to two a column before, and only finite values come here (an infinity makes plotext raise).
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any

from rich.cells import cell_len

from workbench.base.text import clean
from workbench.tui.braille import braille_cells

Point = tuple[float, float]
BRAILLE = "braille"
BRAILLE_MARKERS = (BRAILLE, "dot", "x", "+")
ASCII_MARKERS = ("*", "o", "x", "+")
RAW_ASCII_MARKER = "."
LEGEND_SIGNS = {BRAILLE: "⣀", "dot": "•"}
_SGR = re.compile(r"\x1b\[([\d;]*)m")
_VALUE = itemgetter(1)
_STEP = itemgetter(0)


@dataclass(frozen=True)
class Series:
    """One curve.

    Attributes:
        label: Name in the legend.
        points: (x, value) pairs, by rising x.
        style: Textual style of the curve, such as `$primary`.
        joined: Whether the points are joined by a line.
        sign: A letter that stands here and there on the curve, so that many are told apart
            without colour; empty: the curve's marker does that.
    """

    label: str
    points: Sequence[Point]
    style: str = "$primary"
    joined: bool = True
    sign: str = ""


@dataclass(frozen=True)
class Layer:
    """What plotext gets of a curve: points in the chart's own scale, and how to draw them."""

    points: Sequence[Point]
    style: str
    marker: str
    joined: bool
    sign: str = ""


@dataclass(frozen=True)
class Bounds:
    """The edges of the plane, in the scale of the layers' points."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def column(self, x: float, width: int, *, fine: bool) -> int | None:
        """The column of an x value, None where it is outside.

        Args:
            x: The value.
            width: Columns of the plane.
            fine: Whether the curves are in braille, which has two columns in a cell.
        """
        if not self.x_low <= x <= self.x_high:
            return None
        return _cell(x, self.x_low, self.x_high, width, 2 if fine else 1)

    def row(self, y: float, height: int, *, fine: bool) -> int:
        """The row of a y value, counted from the top; braille has four rows in a cell."""
        return height - 1 - _cell(y, self.y_low, self.y_high, height, 4 if fine else 1)


def _cell(value: float, low: float, high: float, cells: int, dots: int) -> int:
    """Where plotext puts a value: at the nearest of `cells` * `dots` places, as a cell."""
    place = int(0.5 + (cells * dots - 1) * (value - low) / ((high - low) or 1))
    return max(0, min(cells * dots - 1, place)) // dots


class Cells:
    """A rectangle of characters with their styles, top row first."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.chars = [[" "] * width for _ in range(height)]
        self.styles = [[""] * width for _ in range(height)]

    def copy(self) -> Cells:
        """A copy that can be drawn on."""
        other = Cells(0, 0)
        other.width, other.height = self.width, self.height
        other.chars = [row.copy() for row in self.chars]
        other.styles = [row.copy() for row in self.styles]
        return other

    def put(self, column: int, row: int, text: str, style: str) -> None:
        """Write a text, as far as it is inside."""
        for offset, char in enumerate(text):
            if 0 <= column + offset < self.width and 0 <= row < self.height:
                self.chars[row][column + offset] = char
                self.styles[row][column + offset] = style

    def put_if_blank(self, column: int, row: int, char: str, style: str) -> None:
        """Write a character where nothing stands."""
        if self.chars[row][column] in (" ", "\u2800"):
            self.put(column, row, char, style)


def narrow(text: str) -> str:
    """Outside text as a chart can show it: inert, and every character one cell wide."""
    return "".join(char if cell_len(char) == 1 else "?" for char in clean(text, newlines=False))


def marker(index: int, *, ascii_only: bool, sign: str = "") -> str:
    """The marker of a chart's n-th curve; markers differ so that colour is never needed."""
    if sign:
        return sign if ascii_only else BRAILLE
    markers = ASCII_MARKERS if ascii_only else BRAILLE_MARKERS
    return markers[index % len(markers)]


def legend_sign(index: int, one: Series, *, ascii_only: bool) -> str:
    """What stands for a curve in the legend."""
    mark = marker(index, ascii_only=ascii_only)
    return one.sign or LEGEND_SIGNS.get(mark, mark)


def finite(points: Sequence[Point]) -> list[Point]:
    """The points whose both numbers a chart can place."""
    return [
        point for point in points if math.isfinite(point[0]) and -1e30 < point[1] < 1e30
    ]  # NaN and infinities fail the comparison


def thin(points: Sequence[Point], columns: int, low: float, high: float) -> list[Point]:
    """Every column's lowest and highest point, and the first and last of all, by x.

    Args:
        points: By rising x.
        columns: Of equal width from `low` to `high`, as the picture has them: where they stand
            does not depend on the points, so a new point changes nothing but its own column.
    """
    if len(points) <= 2 * columns:
        return list(points)
    width = (high - low) / columns
    kept: list[Point] = [points[0], points[-1]]
    start = 0
    for column in range(columns):
        edge = low + width * (column + 1)
        end = len(points) if column == columns - 1 else bisect_left(points, edge, start, key=_STEP)
        bucket = points[start:end]
        start = end
        if bucket:
            kept += (min(bucket, key=_VALUE), max(bucket, key=_VALUE))
    # Sorted, each once: several points may have one x.
    return sorted(set(kept))


def window(points: Sequence[Point], low: float, high: float, *, joined: bool) -> list[Point]:
    """The points from `low` to `high`; a joined curve goes on to where it crosses the edges."""
    first, last = bisect_left(points, low, key=_STEP), bisect_right(points, high, key=_STEP)
    inside = list(points[first:last])
    if not joined:
        return inside
    if 0 < first < len(points) and points[first][0] > low:
        inside.insert(0, _between(points[first - 1], points[first], low))
    if 0 < last < len(points) and points[last - 1][0] < high:
        inside.append(_between(points[last - 1], points[last], high))
    return inside


def _between(left: Point, right: Point, x: float) -> Point:
    part = (x - left[0]) / (right[0] - left[0])
    return x, left[1] + part * (right[1] - left[1])


def curves(layers: Sequence[Layer], bounds: Bounds, width: int, height: int) -> Cells:
    """The curves on a plane of `width` x `height` cells.

    A later one covers an earlier one; lines of braille lie under everything else.
    """
    cells = Cells(width, height)
    others = []
    for layer in layers:
        if layer.marker == BRAILLE and layer.joined:
            _draw_line(cells, layer, bounds)
        else:
            others.append(layer)
    if others:
        _draw_others(cells, others, bounds)
    for number, layer in enumerate(layers):
        if layer.sign and len(layer.marker) > 1:
            _put_signs(cells, layer, number, len(layers))
    return cells


def _draw_line(cells: Cells, layer: Layer, bounds: Bounds) -> None:
    scale = (bounds.x_low, bounds.y_low, bounds.x_high, bounds.y_high)
    drawn = braille_cells(layer.points, scale, cells.width, cells.height)
    for (column, row), char in drawn.items():
        cells.chars[row][column] = char
        cells.styles[row][column] = layer.style


def _draw_others(cells: Cells, layers: Sequence[Layer], bounds: Bounds) -> None:
    """Points, and lines in ASCII: plotext draws them."""
    plt = _plotext()
    plt.clear_data()
    plt.plotsize(cells.width, cells.height)
    plt.xlim(bounds.x_low, bounds.x_high)
    plt.ylim(bounds.y_low, bounds.y_high)
    for number, layer in enumerate(layers, start=1):
        xs, ys = [x for x, _ in layer.points], [y for _, y in layer.points]
        draw = plt.plot if layer.joined and len(xs) > 1 else plt.scatter
        draw(xs, ys, marker=layer.marker, color=number)
    for row, line in enumerate(plt.build().split("\n")[: cells.height]):
        _read(line, layers, cells, row)


@cache
def _plotext() -> Any:
    """plotext with an empty figure, which has no axes and takes its size from us alone."""
    import plotext

    plotext.clear_figure()
    # Otherwise plotext caps the size to the terminal that it believes to be in.
    plotext.limit_size(False, False)
    plotext.theme("clear")
    plotext.frame(False)
    plotext.xaxes(False, False)
    plotext.yaxes(False, False)
    plotext.xticks([], [])
    plotext.yticks([], [])
    return plotext


def _read(line: str, layers: Sequence[Layer], cells: Cells, row: int) -> None:
    """One line of plotext's: its numbered colours tell the layers, what has none is blank."""
    chars, styles = cells.chars[row], cells.styles[row]
    style, column = "", 0
    for place, part in enumerate(_SGR.split(line)):
        if place % 2:
            number = part.rpartition("38;5;")[2]
            known = "38;5;" in part and number.isdigit() and 0 < int(number) <= len(layers)
            style = layers[int(number) - 1].style if known else ""
            continue
        shown = part[: cells.width - column] if style else ""
        chars[column : column + len(shown)] = shown
        styles[column : column + len(shown)] = [style] * len(shown)
        column += len(part)


def _put_signs(cells: Cells, layer: Layer, number: int, count: int) -> None:
    """Letters on the curve, away from those of the others."""
    spacing = max(8, cells.width // 4)
    begin = spacing * (number + 1) // (count + 1)
    for target in range(begin, cells.width, spacing):
        for column in range(target, min(cells.width, target + 3)):
            rows = [r for r in range(cells.height) if _drawn(cells, layer, column, r)]
            if rows:
                cells.put(column, rows[len(rows) // 2], layer.sign, f"bold {layer.style}")
                break


def _drawn(cells: Cells, layer: Layer, column: int, row: int) -> bool:
    return cells.styles[row][column] == layer.style and cells.chars[row][column] != " "
