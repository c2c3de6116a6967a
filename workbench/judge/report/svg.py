"""Curves as SVG: no scripts, no fonts of its own, readable in light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from workbench.base.text import clean
from workbench.run.curves import Points

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 26, 30
TICKS = 4
MARKED_POINTS = 60
"""A curve with more points is drawn without marks on them."""
LARGEST = 1e300
"""Values are drawn up to here, so that a difference of two is still a number."""
LETTER = 6.3
"""About the width of a letter of the labels."""


@dataclass(frozen=True)
class Series:
    """One curve; `held_out` ones are drawn with marks, so that colour is not needed."""

    name: str
    points: Points
    held_out: bool = False


@dataclass(frozen=True)
class Chart:
    """Curves over the steps of all stages in turn.

    Attributes:
        borders: `(step, stage)`: where each stage begins.
    """

    title: str
    series: Sequence[Series]
    borders: Sequence[tuple[int, str]] = ()


def draw(chart: Chart) -> str:
    """An `<svg>` element; every text in it is escaped."""
    points = [point for one in chart.series for point in one.points]
    if not points:
        return ""
    scale = _Scale(points, chart.borders)
    title = _text(chart.title)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
        *_axes(scale),
        *_borders(scale, chart.borders),
        *(_curve(scale, one, number) for number, one in enumerate(chart.series)),
        *_legend(chart.series),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part)


class _Scale:
    """From steps and values to places in the picture."""

    def __init__(self, points: Sequence[tuple[int, float]], borders: Sequence[tuple[int, str]]):
        steps = [step for step, _ in points] + [step for step, _ in borders]
        values = [max(-LARGEST, min(LARGEST, value)) for _, value in points]
        self.steps = min(steps), max(max(steps), min(steps) + 1)
        low, high = min(values), max(values)
        # Room to draw a flat curve in.
        room = max((high - low) * 0.05, abs(high) * 1e-3, 1e-9)
        self.values = low - room, high + room

    def x(self, step: float) -> float:
        low, high = self.steps
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (step - low) / (high - low), 1)

    def y(self, value: float) -> float:
        low, high = self.values
        part = (max(-LARGEST, min(LARGEST, value)) - low) / (high - low)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part, 1)


def ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """Round numbers between two values: 1, 2 or 5 times a power of ten apart."""
    span = high - low
    if not 0 < span < math.inf:
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step)
    return [round(step * (first + n), 12) for n in range(count + 2) if step * (first + n) <= high]


def _axes(scale: _Scale) -> list[str]:
    parts = []
    for value in ticks(*scale.values):
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value:g}</text>')
    first, last = scale.steps
    whole = sorted({round(step) for step in ticks(first, last)})
    for step in whole:
        if first <= step <= last:
            x = scale.x(step)
            parts.append(f'<text x="{x}" y="{HEIGHT - 12}" text-anchor="middle">{step}</text>')
    y = HEIGHT - BOTTOM
    parts.append(f'<line class="axis" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
    return parts


def _borders(scale: _Scale, borders: Sequence[tuple[int, str]]) -> list[str]:
    parts = []
    for step, stage in borders:
        x = scale.x(step)
        parts.append(f'<line class="border" x1="{x}" y1="{TOP}" x2="{x}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="stage" x="{x + 4}" y="{TOP + 10}">{_text(stage)}</text>')
    return parts


def _curve(scale: _Scale, one: Series, number: int) -> str:
    places = [(scale.x(step), scale.y(value)) for step, value in one.points]
    style = f"s{number % 4}"
    parts = []
    if len(places) > 1:
        line = " ".join(f"{x},{y}" for x, y in places)
        dashed = " held" if one.held_out else ""
        parts.append(f'<polyline class="curve {style}{dashed}" points="{line}"/>')
    if one.held_out or len(places) == 1:
        marked = places if len(places) <= MARKED_POINTS else places[-1:]
        parts += [f'<circle class="mark {style}" cx="{x}" cy="{y}" r="3.5"/>' for x, y in marked]
    return "\n".join(parts)


def _legend(series: Sequence[Series]) -> list[str]:
    parts, x = [], float(LEFT)
    for number, one in enumerate(series):
        style = f"s{number % 4}"
        dashed = " held" if one.held_out else ""
        parts.append(
            f'<line class="curve {style}{dashed}" x1="{x}" y1="11" x2="{x + 20}" y2="11"/>'
        )
        if one.held_out:
            parts.append(f'<circle class="mark {style}" cx="{x + 10}" cy="11" r="3.5"/>')
        parts.append(f'<text x="{x + 25}" y="15">{_text(one.name)}</text>')
        x = round(x + 40 + LETTER * len(one.name), 1)
    return parts


def _text(text: str) -> str:
    return escape(clean(text, newlines=False))
