"""Line charts as text: the one place that knows plotext.

Points are thinned to two a column before plotext sees them (its cost grows with their number),
and only finite values reach it (one infinity makes it raise).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textual.content import Content

Point = tuple[float, float]
MIN_WIDTH, MIN_HEIGHT = 12, 4
BRAILLE_MARKERS = ("braille", "dot", "x")
ASCII_MARKERS = ("*", "o", "x")
LEGEND_SIGNS = {"braille": "⣀", "dot": "•"}
_SGR = re.compile(r"\x1b\[([\d;]*)m")


@dataclass(frozen=True)
class Series:
    """One curve.

    Attributes:
        label: Name in the legend.
        points: (step, value) pairs, by rising step.
        style: Textual style of the curve, such as `$primary`.
        joined: Whether the points are joined by a line.
    """

    label: str
    points: Sequence[Point]
    style: str = "$primary"
    joined: bool = True


def marker(index: int, *, ascii_only: bool) -> str:
    """The marker of a chart's n-th curve; markers differ so that colour is never needed."""
    markers = ASCII_MARKERS if ascii_only else BRAILLE_MARKERS
    return markers[index % len(markers)]


def finite(points: Sequence[Point]) -> list[Point]:
    """The points whose both numbers a chart can place."""
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y) and abs(y) < 1e30]


def thin(points: Sequence[Point], columns: int) -> list[Point]:
    """Every column's lowest and highest point, and the first and last of all, by step."""
    if len(points) <= 2 * columns:
        return list(points)
    low, high = points[0][0], points[-1][0]
    scale = columns / ((high - low) or 1)
    buckets: dict[int, list[Point]] = {}
    for point in points:
        buckets.setdefault(min(columns - 1, int((point[0] - low) * scale)), []).append(point)
    kept = {points[0], points[-1]}
    for bucket in buckets.values():
        kept.add(min(bucket, key=lambda point: point[1]))
        kept.add(max(bucket, key=lambda point: point[1]))
    return sorted(kept)


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round values between two bounds: about as many as wanted, two at least if there are any."""
    span = high - low
    if span <= 0 or wanted < 1:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / wanted))
    steps = [power * factor for factor in (10, 5, 2, 1, 0.5) if power * factor < span]
    coarse = [step for step in steps if step >= span / wanted * 0.999]
    found = [low]
    for step in [*coarse[-1:], *(step for step in steps if step not in coarse)]:
        found = _multiples(step, low, high)
        if len(found) >= 2:
            break
    return found or [low]


def _multiples(step: float, low: float, high: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def tick_labels(values: Sequence[float]) -> list[str]:
    """Labels with the decimals that tell the values apart."""
    largest = max((abs(value) for value in values), default=0.0)
    if largest and (largest < 0.001 or largest >= 100_000):
        return [_short_exponent(value) for value in values]
    step = min((b - a for a, b in itertools.pairwise(values)), default=largest or 1)
    decimals = max(0, math.ceil(-math.log10(step) - 1e-9)) if step > 0 else 0
    if decimals < 6 and any(abs(round(v, decimals) - v) > step / 100 for v in values):
        decimals += 1
    return [f"{value:.{decimals}f}" for value in values]


def _short_exponent(value: float) -> str:
    if not value:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def draw(series: Sequence[Series], width: int, height: int, *, ascii_only: bool = False) -> Content:
    """A chart of exactly `width` x `height` cells, or an empty text where there is nothing.

    Args:
        series: Curves over one x axis (steps).
        width: Cells.
        height: Cells, axis labels included.
        ascii_only: Draw with ASCII markers instead of braille.
    """
    # An empty curve keeps its number, so that a curve's marker never changes.
    shown = [(i, one, finite(one.points)) for i, one in enumerate(series)]
    shown = [entry for entry in shown if entry[2]]
    if not shown or width < MIN_WIDTH or height < MIN_HEIGHT:
        return Content("")
    plt = _canvas(width, height)
    x_low, x_high, y_low, y_high = _bounds([point for _, _, points in shown for point in points])
    for index, one, points in shown:
        _add_curve(plt, index, one, thin(points, width), ascii_only)
    y_ticks = ticks(y_low, y_high, max(2, round(height / 2.5)))
    plt.ylim(y_low, y_high)
    plt.yticks(y_ticks, [f"{label} " for label in tick_labels(y_ticks)])
    x_ticks = [x for x in ticks(x_low, x_high, max(2, width // 10)) if x == int(x)] or [x_low]
    plt.xlim(x_low, x_high)
    plt.xticks(x_ticks, [f"{x:.0f}" for x in x_ticks])
    return _styled(plt.build(), {index + 1: one.style for index, one, _ in shown})


def _canvas(width: int, height: int) -> Any:
    import plotext

    plotext.clear_figure()
    # Otherwise plotext caps the size to the terminal that it believes to be in.
    plotext.limit_size(False, False)
    plotext.plotsize(width, height)
    plotext.theme("clear")
    plotext.frame(False)
    return plotext


def _add_curve(plt: Any, index: int, one: Series, points: list[Point], ascii_only: bool) -> None:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    options = {"marker": marker(index, ascii_only=ascii_only), "color": index + 1}
    if one.joined and len(points) > 1:
        plt.plot(xs, ys, **options)
    else:
        plt.scatter(xs, ys, **options)


def _bounds(points: Sequence[Point]) -> tuple[float, float, float, float]:
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_low, y_high = min(y for _, y in points), max(y for _, y in points)
    if x_low == x_high:
        x_high = x_low + 1
    # A flat line would have no height to stand in.
    if y_high - y_low < 1e-12 + 1e-6 * abs(y_high):
        margin = abs(y_high) * 0.1 or 0.1
        y_low, y_high = y_low - margin, y_high + margin
    return x_low, x_high, y_low, y_high


def _styled(ansi: str, styles: dict[int, str]) -> Content:
    """Replace plotext's numbered colours by the theme's; everything else is axis."""
    parts: list[tuple[str, str]] = []
    style = "$faint"
    position = 0
    for match in _SGR.finditer(ansi):
        if match.start() > position:
            parts.append((ansi[position : match.start()], style))
        code = match.group(1).rpartition("38;5;")[2]
        chosen = "38;5;" in match.group(1) and code.isdigit()
        style = styles.get(int(code), "$faint") if chosen else "$faint"
        position = match.end()
    parts.append((ansi[position:].rstrip("\n"), style))
    return Content.assemble(*parts)
