"""Round values for a chart's axes, and how they are written."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

SECOND_STEPS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400)


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


def round_step(span: float) -> float:
    """The next of 1, 2 and 5 times a power of ten that is not below a positive span."""
    power = 10.0 ** math.floor(math.log10(span))
    return next((power * factor for factor in (1, 2, 5) if power * factor >= span), 10 * power)


def log_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round values between two decimal logarithms, as values: powers of ten, 2 and 5 between."""
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = [
            factor * 10.0**power
            for power in range(math.floor(low), math.ceil(high) + 1)
            for factor in factors
            if low - 1e-9 <= power + math.log10(factor) <= high + 1e-9
        ]
        if len(found) >= 2:
            return found[:: max(1, math.ceil(len(found) / max(2, wanted)))]
    return ticks(10.0**low, 10.0**high, wanted)


def time_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers of seconds, minutes, hours or days."""
    span = high - low
    days = 86400.0 * 2 ** max(0, math.ceil(math.log2(max(1.0, span / 86400 / max(1, wanted)))))
    step = next((step for step in SECOND_STEPS if step >= span / max(1, wanted)), days)
    return _multiples(step, low, high) or [low]


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


def log_labels(values: Sequence[float]) -> list[str]:
    """Labels of a logarithmic axis, each with the digits that it needs."""
    if any(0 < value < 0.001 or value >= 100_000 for value in values):
        return [_short_exponent(value) for value in values]
    return [f"{value:.6g}" for value in values]


def _short_exponent(value: float) -> str:
    if not value:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def x_ticks(kind: str, low: float, high: float, wanted: int) -> tuple[list[float], list[str]]:
    """Values and labels of an x axis that counts steps, epochs, tokens or seconds."""
    if kind == "time":
        places = time_ticks(low, high, wanted)
        return places, [clock(place) for place in places]
    places = ticks(low, high, wanted)
    if kind in ("step", "tokens"):
        places = [x for x in places if x == int(x)] or [low]
    if kind == "tokens" or max(abs(low), abs(high)) >= 100_000:
        return places, [short_count(place) for place in places]
    return places, [f"{x:.0f}" for x in places] if kind == "step" else tick_labels(places)


def x_text(kind: str, x: float) -> str:
    """One x value with its unit, exact: `step 120`, `epoch 0.31`, `1.2 M tokens`, `5m10`."""
    if kind == "time":
        return clock(x)
    if kind == "tokens":
        return f"{short_count(x)} tokens"
    return f"{kind} {x:.0f}" if x == int(x) else f"{kind} {x:.3g}"


def clock(seconds: float) -> str:
    """A time since the start: `45s`, `5m`, `5m10`, `1h30`, `2d4h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m" + (f"{whole % 60:02}" if whole % 60 else "")
    if whole < 86400:
        minutes = whole % 3600 // 60
        return f"{whole // 3600}h" + (f"{minutes:02}" if minutes else "")
    hours = whole % 86400 // 3600
    return f"{whole // 86400}d" + (f"{hours}h" if hours else "")


def short_count(value: float) -> str:
    """A count in few characters: `500`, `20k`, `1.5M`."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"
