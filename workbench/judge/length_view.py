"""Whether a preference is more than one for longer, or for shorter, answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from workbench.judge.statistics import bootstrap, length_controlled, wilson

STRONG_CORRELATION = 0.3
LEAST_PAIRS = 8
"""Below these pairs nothing is said of length."""


def length_view(
    tokens: Sequence[Sequence[int]], right: Sequence[float], margins: Sequence[float]
) -> dict[str, Any]:
    """What is left of accuracy and margin once length is accounted for.

    Args:
        tokens: Of each pair, tokens of the chosen and of the rejected answer.
        right: 1 where the chosen answer has the higher reward, else 0.
        margins: Reward margins of the same pairs.

    Returns:
        `longer` and `shorter` (accuracy where the chosen answer is longer, shorter),
        `correlation` of margin and length difference, `equal_margin` (the intercept of a least
        squares line of the margin over the length difference in tokens, bootstrapped),
        `slope` a token, `equal_accuracy` (logistic regression, see `length_controlled`), and
        `verdict`: "mostly length", "not only length", "no preference", or "cannot be told".

    A preference is called mostly length where the margin goes with the length difference
    (a correlation of at least 0.3 either way) and either nothing is left of it at equal length
    (the interval of the intercept holds 0 or lies below it), or the pairs in which length speaks
    for the rejected answer are lost by more than chance. Where the chosen answer is the longer one
    in all pairs, or in none, equal length is only extrapolated to, and it cannot be told.
    """
    differences = [float(chosen - rejected) for chosen, rejected in tokens]
    correlation = pearson(differences, margins)
    longer = _accuracy([won for won, one in zip(right, differences, strict=True) if one > 0])
    shorter = _accuracy([won for won, one in zip(right, differences, strict=True) if one < 0])
    found: dict[str, Any] = {"longer": longer, "shorter": shorter, "correlation": correlation}
    if correlation is None or len(margins) < LEAST_PAIRS:
        return {**found, "verdict": "cannot be told"}

    def intercept(places: Sequence[float]) -> float:
        own = [int(place) for place in places]
        return line([differences[one] for one in own], [margins[one] for one in own])[0]

    places = [float(place) for place in range(len(margins))]
    low, high = bootstrap(places, intercept)
    at_zero, slope = line(differences, margins)
    controlled = length_controlled(right, differences)
    assert controlled is not None
    equal = {"value": controlled.rate, "low": controlled.low, "high": controlled.high}
    margin = {"value": at_zero, "low": low, "high": high}
    return {
        **found,
        "equal_margin": {**margin, "n": len(margins)},
        "slope": slope,
        "equal_accuracy": {**equal, "n": len(margins)},
        "verdict": _verdict(correlation, low, longer, shorter, right),
    }


def _verdict(
    correlation: float,
    low: float,
    longer: dict[str, Any],
    shorter: dict[str, Any],
    right: Sequence[float],
) -> str:
    if fmean(right) <= 0.5:
        return "no preference"
    against = shorter if correlation > 0 else longer
    lost = against["n"] > 0 and against["high"] < 0.5
    if abs(correlation) >= STRONG_CORRELATION and (low <= 0 or lost):
        return "mostly length"
    if not (longer["n"] and shorter["n"]):
        return "cannot be told"
    return "not only length"


def _accuracy(right: Sequence[float]) -> dict[str, Any]:
    low, high = wilson(sum(right), len(right))
    value = fmean(right) if right else None
    return {"value": value, "low": low, "high": high, "n": len(right)}


def pearson(x: Sequence[float], y: Sequence[float]) -> float | None:
    """The correlation of two series; None where one of them does not vary."""
    if len(x) < 2:
        return None
    mean_x, mean_y = fmean(x), fmean(y)
    xy = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    xx = sum((a - mean_x) ** 2 for a in x)
    yy = sum((b - mean_y) ** 2 for b in y)
    return xy / math.sqrt(xx * yy) if xx > 0 and yy > 0 else None


def line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Intercept and slope of the least squares line; slope 0 where x does not vary."""
    mean_x, mean_y = fmean(x), fmean(y)
    xx = sum((a - mean_x) ** 2 for a in x)
    xy = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    slope = xy / xx if xx > 0 else 0.0
    return mean_y - slope * mean_x, slope
