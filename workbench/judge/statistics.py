"""What votes and scores can tell, and how surely: intervals, tests, agreement. Pure Python."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, pstdev

LEVEL = 0.95
PRIOR_DEVIATION = 5.0
"""Width of the prior that keeps a logistic regression finite where all votes say the same."""
FIT_STEPS = 50
FIT_TOLERANCE = 1e-10

Interval = tuple[float, float]


def _z(level: float) -> float:
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(wins: float, n: int, level: float = LEVEL) -> Interval:
    """The score interval of a share, by Wilson (1927, JASA 22:209); (0, 1) where n is 0.

    Args:
        wins: successes of `n` trials; a tie counts one half, which makes the interval wider
            than it needs to be.
        level: how often the interval holds the true share in the long run.
    """
    if n <= 0:
        return 0.0, 1.0
    z = _z(level)
    share = wins / n
    scale = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def votes_to_tell(wins: float, ties: float, losses: float) -> int | None:
    """How many more votes it takes at this rate until the Wilson interval leaves one half.

    Ties count one half. The interval leaves 0.5 where |rate - 0.5| > z / (2 sqrt(n)), which is
    the score test that Wilson's interval inverts. 0: it has left already; None: the rate is
    one half, or there are no votes, so no number can be said.
    """
    total = wins + ties + losses
    if total <= 0 or wins == losses:
        return None
    distance = (wins - losses) / (2 * total)
    needed = math.floor((_z(LEVEL) / (2 * distance)) ** 2) + 1
    return max(0, needed - math.floor(total))


def bootstrap(
    values: Sequence[float],
    statistic: Callable[[Sequence[float]], float] = fmean,
    *,
    level: float = LEVEL,
    repeats: int = 1000,
    seed: int = 0,
) -> Interval:
    """The percentile interval of Efron (1979, Annals of Statistics 7:1) of a statistic.

    The same values and seed give the same interval. Without values it is (nan, nan).

    Args:
        statistic: what is computed of each drawn sample, the mean unless given.
        repeats: samples that are drawn, with replacement.
    """
    if not values:
        return math.nan, math.nan
    draw, count, known = random.Random(seed).choices, len(values), list(values)
    if statistic is fmean:
        found = sorted(sum(draw(known, k=count)) / count for _ in range(repeats))
    else:
        found = sorted(statistic(draw(known, k=count)) for _ in range(repeats))
    return quantile(found, (1 - level) / 2), quantile(found, (1 + level) / 2)


def quantile(ordered: Sequence[float], share: float) -> float:
    """A quantile of values in rising order, linear between neighbours (R's type 7)."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def binomial_test(successes: int, n: int, share: float = 0.5) -> float:
    """The two-sided exact p-value: how likely is a count no likelier than this one, by chance?

    Args:
        share: what chance alone gives, above 0 and below 1.
    """
    if n <= 0:
        return 1.0
    logs = [_log_probability(k, n, share) for k in range(n + 1)]
    # Counts that are equally likely differ by rounding.
    limit = logs[successes] + 1e-7
    return min(1.0, math.fsum(math.exp(log) for log in logs if log <= limit))


def _log_probability(k: int, n: int, share: float) -> float:
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return ways + k * math.log(share) + (n - k) * math.log(1 - share)


@dataclass(frozen=True)
class Agreement:
    """How far voters agree on what several of them judged.

    Attributes:
        voters: who judged something that another one judged too.
        items: things that two or more have judged.
        equal: share of pairs of votes on the same thing that say the same; nan without any.
        measure: "Cohen's kappa" for two voters, "Krippendorff's alpha" for more.
        value: 1 full agreement, 0 what chance would give; None where it is not defined, as
            where all votes are the same.
    """

    voters: int
    items: int
    equal: float
    measure: str
    value: float | None


def agreement(items: Sequence[Mapping[str, str]]) -> Agreement:
    """Agreement of voters, each item a mapping voter -> choice.

    Cohen (1960, Educational and Psychological Measurement 20:37) for two voters; for more,
    Krippendorff's alpha for nominal data, which allows for votes that are missing
    (Krippendorff 2004, Content Analysis, chapter 11).
    """
    shared = [item for item in items if len(item) > 1]
    voters = sorted({voter for item in shared for voter in item})
    measure = "Cohen's kappa" if len(voters) <= 2 else "Krippendorff's alpha"
    if not shared:
        return Agreement(0, 0, math.nan, measure, None)
    shares = [_equal_pairs(list(item.values())) for item in shared]
    equal = sum(same for same, _ in shares) / sum(pairs for _, pairs in shares)
    if len(voters) == 2:
        expected = _expected_of_two(shared, voters)
        value = None if expected >= 1 else (equal - expected) / (1 - expected)
    else:
        value = _alpha(shared)
    return Agreement(len(voters), len(shared), equal, measure, value)


def _equal_pairs(choices: Sequence[str]) -> tuple[int, int]:
    pairs = len(choices) * (len(choices) - 1) // 2
    return sum(count * (count - 1) // 2 for count in Counter(choices).values()), pairs


def _expected_of_two(items: Sequence[Mapping[str, str]], voters: Sequence[str]) -> float:
    first, second = (Counter(item[voter] for item in items) for voter in voters)
    return sum(first[choice] * second[choice] for choice in first) / len(items) ** 2


def _alpha(items: Sequence[Mapping[str, str]]) -> float | None:
    totals: Counter[str] = Counter()
    differing = 0.0
    for item in items:
        counts = Counter(item.values())
        totals.update(counts)
        size = len(item)
        differing += (size**2 - sum(n * n for n in counts.values())) / (size - 1)
    size = totals.total()
    by_chance = (size**2 - sum(n * n for n in totals.values())) / (size - 1)
    return None if by_chance == 0 else 1 - differing / by_chance


@dataclass(frozen=True)
class LengthControlled:
    """The win rate that is left when both answers are equally long, with its interval.

    Attributes:
        slope: what length does to the log-odds of a win: above 0, longer answers win.
    """

    rate: float
    low: float
    high: float
    slope: float


def length_controlled(
    wins: Sequence[float], length_differences: Sequence[float], level: float = LEVEL
) -> LengthControlled | None:
    """The win rate at equal length; None without votes.

    A logistic regression with one variable, win ~ a + b tanh(difference / deviation), as
    AlpacaEval 2 controls for length (Dubois et al. 2024, arXiv:2404.04475); the rate is the
    one at difference 0. A wide normal prior on a and b keeps them finite where one side wins
    every vote, as their regularisation does. The interval is Wald's, on the log-odds.

    Args:
        wins: 1 won, 0.5 tie, 0 lost, one for each vote.
        length_differences: of the same votes: length of this side's answer less the other's.

    Raises:
        ValueError: The two are not of one length.
    """
    if len(wins) != len(length_differences):
        raise ValueError("wins and length differences are not of the same votes")
    if not wins:
        return None
    deviation = pstdev(length_differences) or abs(length_differences[0]) or 1.0
    lengths = [math.tanh(difference / deviation) for difference in length_differences]
    a, b = 0.0, 0.0
    for _ in range(FIT_STEPS):
        step_a, step_b, variance = _newton_step(wins, lengths, a, b)
        a, b = a + step_a, b + step_b
        if abs(step_a) + abs(step_b) < FIT_TOLERANCE:
            break
    half = _z(level) * math.sqrt(variance)
    return LengthControlled(_logistic(a), _logistic(a - half), _logistic(a + half), b)


def _newton_step(
    wins: Sequence[float], lengths: Sequence[float], a: float, b: float
) -> tuple[float, float, float]:
    """The next change of a and of b, and the variance of a where they stand."""
    prior = PRIOR_DEVIATION**-2
    gradient_a, gradient_b = -prior * a, -prior * b
    aa, ab, bb = prior, 0.0, prior
    for win, length in zip(wins, lengths, strict=True):
        rate = _logistic(a + b * length)
        weight = rate * (1 - rate)
        gradient_a += win - rate
        gradient_b += (win - rate) * length
        aa += weight
        ab += weight * length
        bb += weight * length * length
    determinant = aa * bb - ab * ab
    step_a = (bb * gradient_a - ab * gradient_b) / determinant
    step_b = (aa * gradient_b - ab * gradient_a) / determinant
    return step_a, step_b, bb / determinant


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
