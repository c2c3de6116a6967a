"""Statistics that noise does not fool, in plain Python: medians, ranks, binomial tails."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median

MAD_TO_DEVIATION = 1.4826
"""Median absolute deviation to standard deviation, for normal noise."""
MEDIAN_SPREAD = 1.2533
"""A median's standard error over that of a mean: sqrt(pi / 2)."""
Z_95 = 1.96


def binomial_tail(wins: int, n: int, share: float = 0.5) -> float:
    """P(X <= wins) of n independent trials that succeed with probability `share`."""
    if n <= 0 or wins >= n:
        return 1.0
    if wins < 0:
        return 0.0
    if wins > n * share:
        return 1.0 - binomial_tail(n - wins - 1, n, 1 - share)
    log_p, log_q = math.log(share), math.log1p(-share)
    total, k = 0.0, wins
    while k >= 0:
        log_term = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        term = math.exp(log_term + k * log_p + (n - k) * log_q)
        total += term
        if term < 1e-12 * total:
            break
        k -= 1
    return min(1.0, total)


def interval(wins: float, n: float, z: float = Z_95) -> tuple[float, float]:
    """The score interval of a share, by Wilson (1927, JASA 22:209); (0, 1) where n is 0."""
    if n <= 0:
        return 0.0, 1.0
    share, scale = wins / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(max(0.0, share * (1 - share) / n + z * z / (4 * n * n)))
    return max(0.0, middle - half), min(1.0, middle + half)


def shares_apart(wins: float, n: float, other_wins: float, other_n: float) -> float:
    """By how many standard errors the first share is larger than the other (pooled)."""
    if n <= 0 or other_n <= 0:
        return 0.0
    pooled = (wins + other_wins) / (n + other_n)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / other_n))
    return (wins / n - other_wins / other_n) / error if error > 0 else 0.0


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of the noise around the median, by the median absolute deviation."""
    if not values:
        return 0.0
    middle = median(values)
    return MAD_TO_DEVIATION * median(abs(value - middle) for value in values)


def medians_apart(first: Sequence[float], second: Sequence[float]) -> float:
    """By how many standard errors the median of the second sample lies above the first's.

    The noise is that within the samples. Without any, it is infinite where they differ.
    """
    if not first or not second:
        return 0.0
    rise = median(second) - median(first)
    noise = math.hypot(
        deviation(first) / math.sqrt(len(first)), deviation(second) / math.sqrt(len(second))
    )
    if noise <= 0:
        return math.copysign(math.inf, rise) if rise else 0.0
    return rise / (MEDIAN_SPREAD * noise)


def blocks(values: Sequence[float], count: int) -> list[float]:
    """The medians of `count` stretches of like length; fewer where there are fewer values."""
    count = min(count, len(values))
    bounds = [len(values) * number // count for number in range(count + 1)] if count else [0]
    return [median(values[low:high]) for low, high in pairwise(bounds)]


def kendall(values: Sequence[float]) -> float:
    """How steadily a short series rises: 1 always, -1 falls, 0 no trend (Kendall 1938).

    All pairs are compared, so give it blocks of a long one.
    """
    n = len(values)
    if n < 2:
        return 0.0
    score = sum(
        (later > earlier) - (later < earlier)
        for place, earlier in enumerate(values)
        for later in values[place + 1 :]
    )
    return score / (n * (n - 1) / 2)


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """The rank correlation of two series (Spearman 1904); 0 where one of them does not vary."""
    if len(x) < 3:
        return 0.0
    a, b = _ranks(x), _ranks(y)
    mean_a, mean_b = fmean(a), fmean(b)
    ab = sum((one - mean_a) * (other - mean_b) for one, other in zip(a, b, strict=True))
    aa = sum((one - mean_a) ** 2 for one in a)
    bb = sum((other - mean_b) ** 2 for other in b)
    return ab / math.sqrt(aa * bb) if aa > 0 and bb > 0 else 0.0


def correlation_z(correlation: float, n: int) -> float:
    """A rank correlation in standard errors (Fisher's transform, Fieller et al. 1957)."""
    if n < 5:
        return 0.0
    held = min(0.999999, max(-0.999999, correlation))
    return math.atanh(held) * math.sqrt((n - 3) / 1.06)


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0, equal values share their mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            ranks[place] = (start + end) / 2
        start = end + 1
    return ranks


def without_trend(values: Sequence[float], reach: int) -> list[float]:
    """What is left of each value beside the running median of its neighbours.

    Args:
        reach: How many neighbours on each side.
    """
    return [
        value - median(values[max(0, place - reach) : place + reach + 1])
        for place, value in enumerate(values)
    ]
