"""Intervals that hold what they promise, and measures with known values."""

import math
import random
from collections.abc import Sequence
from statistics import median

import pytest

from workbench.judge.statistics import (
    agreement,
    binomial_test,
    bootstrap,
    length_controlled,
    quantile,
    votes_to_tell,
    wilson,
)

TRIALS = 2000


def coverage(hits: int, trials: int) -> float:
    return hits / trials


def test_wilson_of_known_numbers() -> None:
    # Newcombe 1998 (Statistics in Medicine 17:857), table I: 81 of 263, and 0 of 20.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(20, 20)[1] == 1.0
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("n", "share"), [(20, 0.6), (50, 0.6), (80, 0.5), (100, 0.75)])
def test_wilson_holds_the_true_share_in_95_of_100_cases(n: int, share: float) -> None:
    draw = random.Random(n).random
    hits = 0
    for _ in range(TRIALS):
        low, high = wilson(sum(draw() < share for _ in range(n)), n)
        hits += low <= share <= high
    assert 0.93 <= coverage(hits, TRIALS) <= 0.97


def test_bootstrap_holds_the_true_mean_in_95_of_100_cases() -> None:
    draw = random.Random(5)
    hits, trials = 0, 700
    for trial in range(trials):
        values = [draw.gauss(0.3, 1.0) for _ in range(60)]
        low, high = bootstrap(values, repeats=300, seed=trial)
        hits += low <= 0.3 <= high
    assert 0.93 <= coverage(hits, trials) <= 0.97


def test_bootstrap_of_other_statistics_and_of_nothing() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 100.0]
    low, high = bootstrap(values, median, repeats=200)
    assert 1.0 <= low <= 3.0 <= high <= 100.0
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3)
    assert bootstrap([2.0, 2.0]) == (2.0, 2.0)
    assert all(math.isnan(end) for end in bootstrap([]))


def test_quantiles_lie_between_neighbours() -> None:
    assert quantile([0.0, 10.0], 0.25) == 2.5
    assert quantile([7.0], 0.9) == 7.0


@pytest.mark.parametrize(
    ("wins", "ties", "losses"), [(6, 0, 4), (11, 3, 6), (1, 0, 0), (4, 10, 6), (3, 0, 1)]
)
def test_so_many_more_votes_and_the_interval_leaves_one_half(
    wins: int, ties: int, losses: int
) -> None:
    more = votes_to_tell(wins, ties, losses)
    assert more is not None
    n = wins + ties + losses
    rate = (wins + ties / 2) / n
    assert more > 0
    assert not _tells(rate * (n + more - 1), n + more - 1)
    assert _tells(rate * (n + more), n + more)


def _tells(wins: float, n: int) -> bool:
    low, high = wilson(wins, n)
    return not low <= 0.5 <= high


def test_votes_to_tell_where_nothing_is_left_to_tell() -> None:
    assert votes_to_tell(18, 0, 2) == 0
    assert votes_to_tell(5, 3, 5) is None
    assert votes_to_tell(0, 0, 0) is None


def test_the_exact_test_of_known_counts() -> None:
    assert binomial_test(10, 10) == pytest.approx(2 / 1024)
    assert binomial_test(8, 10) == pytest.approx(112 / 1024)
    assert binomial_test(5, 10) == pytest.approx(1.0)
    assert binomial_test(0, 0) == 1.0
    # One side of an unfair coin: P(0) = 0.3^2 and P(2) = 0.7^2, P(1) = 0.42.
    assert binomial_test(0, 2, 0.7) == pytest.approx(0.09)
    assert binomial_test(5000, 10000) == pytest.approx(1.0)


def votes(*columns: str) -> list[dict[str, str]]:
    """Columns of one letter a voter, "." where a vote is missing, as items."""
    return [
        {f"voter {index}": choice for index, choice in enumerate(row) if choice != "."}
        for row in zip(*columns, strict=True)
    ]


def test_cohens_kappa_of_two_voters() -> None:
    # 20 + 15 of 50 equal: 0.7; by chance (25 * 30 + 25 * 20) / 50^2 = 0.5.
    found = agreement(votes("y" * 25 + "n" * 25, "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15))
    assert (found.voters, found.items, found.measure) == (2, 50, "Cohen's kappa")
    assert found.equal == pytest.approx(0.7)
    assert found.value == pytest.approx(0.4)


def test_krippendorffs_alpha_of_three_voters() -> None:
    # Units aaa, abb, bb, and a single vote that nobody shares: coincidences give
    # Do = 2 / 8 and De = (64 - 16 - 16) / (8 * 7), so alpha = 1 - 0.25 / (32 / 56).
    found = agreement(votes("aabb", "abb.", "ab.."))
    assert found.measure == "Krippendorff's alpha"
    assert found.items == 3
    assert found.equal == pytest.approx(5 / 7)
    assert found.value == pytest.approx(1 - 0.25 / (32 / 56))


def test_agreement_by_chance_and_without_a_choice() -> None:
    draw = random.Random(1)
    columns = ["".join(draw.choice("lr") for _ in range(4000)) for _ in range(3)]
    for voters in (2, 3):
        value = agreement(votes(*columns[:voters])).value
        assert value is not None
        assert abs(value) < 0.05
    assert agreement(votes("aa", "aa")).value is None
    alone = agreement(votes("aa"))
    assert (alone.voters, alone.items, alone.value) == (0, 0, None)
    assert math.isnan(alone.equal)


def simulated(
    draw: random.Random, n: int, intercept: float, slope: float, longer: float
) -> tuple[list[float], list[float]]:
    """Votes of a judge with a taste (intercept) and a liking for length (slope)."""
    differences = [draw.gauss(longer, 30.0) for _ in range(n)]
    wins = [
        float(draw.random() < 1 / (1 + math.exp(-intercept - slope * math.tanh(d / 30.0))))
        for d in differences
    ]
    return wins, differences


def test_a_side_that_only_writes_more_wins_nothing_at_equal_length() -> None:
    wins, differences = simulated(random.Random(2), 300, 0.0, 3.0, 30.0)
    raw = sum(wins) / len(wins)
    assert wilson(sum(wins), len(wins))[0] > 0.7
    controlled = length_controlled(wins, differences)
    assert controlled is not None
    assert controlled.low < 0.5 < controlled.high
    assert controlled.rate < raw - 0.15
    assert controlled.slope > 1


def test_a_side_that_is_better_stays_better_at_equal_length() -> None:
    wins, differences = simulated(random.Random(3), 300, 1.1, 0.0, 0.0)
    controlled = length_controlled(wins, differences)
    assert controlled is not None
    assert controlled.low > 0.6
    assert controlled.rate == pytest.approx(0.75, abs=0.06)


def test_the_controlled_interval_holds_the_true_rate() -> None:
    draw = random.Random(4)
    hits, trials = 0, 800
    truth = 1 / (1 + math.exp(-0.5))
    for _ in range(trials):
        found = length_controlled(*simulated(draw, 120, 0.5, 1.0, 0.0))
        assert found is not None
        hits += found.low <= truth <= found.high
    assert 0.93 <= coverage(hits, trials) <= 0.97


@pytest.mark.parametrize(
    ("wins", "differences"),
    [
        ([1.0] * 12, [5.0] * 12),
        ([1.0] * 12, [0.0] * 12),
        ([0.0, 1.0] * 6, [-9.0, 9.0] * 6),
        ([0.5], [3.0]),
        ([1.0, 0.0], [1e9, -1e-9]),
    ],
)
def test_one_sided_votes_still_give_a_finite_interval(
    wins: Sequence[float], differences: Sequence[float]
) -> None:
    found = length_controlled(wins, differences)
    assert found is not None
    assert 0 <= found.low < found.rate < found.high <= 1


def test_votes_and_lengths_must_belong_together() -> None:
    assert length_controlled([], []) is None
    with pytest.raises(ValueError, match="same votes"):
        length_controlled([1.0], [])
