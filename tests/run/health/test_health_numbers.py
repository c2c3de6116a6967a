"""Statistics against their definitions and known values."""

from __future__ import annotations

import math
import random

import pytest

from workbench.run.health.numbers import (
    binomial_tail,
    blocks,
    correlation_z,
    deviation,
    interval,
    kendall,
    medians_apart,
    shares_apart,
    spearman,
    without_trend,
)
from workbench.run.health.words import num


@pytest.mark.parametrize("n", [1, 7, 40])
@pytest.mark.parametrize("share", [0.5, 0.75])
def test_the_binomial_tail_is_a_sum(n: int, share: float) -> None:
    for wins in range(-1, n + 1):
        terms = (math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(wins + 1))
        assert binomial_tail(wins, n, share) == pytest.approx(sum(terms))


def test_the_binomial_tail_of_very_many() -> None:
    assert binomial_tail(500_000, 1_000_000) == pytest.approx(0.5, abs=1e-3)
    assert binomial_tail(999_999, 1_000_000) == pytest.approx(1.0)
    assert binomial_tail(0, 0) == 1.0


def test_wilson_intervals() -> None:
    assert interval(0, 0) == (0.0, 1.0)
    low, high = interval(8, 10)
    assert (low, high) == pytest.approx((0.490, 0.943), abs=1e-3)


def test_shares_and_medians_apart() -> None:
    assert shares_apart(50, 100, 50, 100) == 0
    assert shares_apart(60, 100, 40, 100) == pytest.approx(2.83, abs=0.01)
    assert shares_apart(1, 1, 0, 0) == 0
    assert medians_apart([1, 1], [1, 1]) == 0
    assert medians_apart([1, 1], [2, 2]) == math.inf
    rng = random.Random(0)
    first, second = ([rng.gauss(mean, 1) for _ in range(400)] for mean in (0.0, 1.0))
    assert medians_apart(first, second) == pytest.approx(11.3, abs=2.5)
    assert deviation(first) == pytest.approx(1.0, abs=0.12)


def test_trends_and_ranks() -> None:
    assert blocks([3, 1, 2, 9, 8, 7], 2) == [2, 8]
    assert blocks([], 3) == []
    assert (kendall([1, 2, 3]), kendall([3, 2, 1]), kendall([1])) == (1, -1, 0)
    assert spearman([1, 2, 3, 4], [1, 8, 27, 64]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [1, 1, 1, 1]) == 0
    assert spearman([1, 2, 2, 3], [1, 2, 2, 3]) == pytest.approx(1)
    assert correlation_z(0.0, 50) == 0
    assert correlation_z(1.0, 50) > 10
    assert without_trend([1.0, 2.0, 30.0, 4.0, 5.0], 1) == [-0.5, 0.0, 26.0, -1.0, 0.5]


def test_numbers_are_short() -> None:
    written = [num(value) for value in (0.6931, -131.04, 5e-5, 12345.6, 1e9, math.inf)]
    assert written == ["0.693", "-131", "5e-05", "12346", "1.00e+09", "inf"]
