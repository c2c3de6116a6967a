"""What the rows of a score come to: rewards, answers and perplexity, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from workbench.judge.length_view import length_view
from workbench.judge.measures import behaviour
from workbench.judge.statistics import bootstrap, quantile, wilson

EDGES = (-4.0, -2.0, -1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Limits of the margin histogram's bins; the first and the last bin have no end."""
WORST_ROWS = 10
MOST_VALUES = 24
"""Values of a column that are slices of their own; a column with more of them is no category."""
KL_ESTIMATOR = (
    "mean over the tokens of the side's own sampled answers, end token included, of r and of "
    "exp(-r) - 1 + r, with r = log pi_side - log pi_base (k1 and k3 of Schulman, Approximating KL "
    "Divergence, 2020); intervals by bootstrap over answers"
)
LARGEST_EXPONENT = 50.0

Row = Mapping[str, Any]
Estimate = dict[str, Any]


def share(wins: int, n: int) -> Estimate:
    """A share with its Wilson interval."""
    low, high = wilson(wins, n)
    return {"value": wins / n if n else None, "low": low, "high": high, "n": n}


def mean_of(values: Sequence[float]) -> Estimate:
    """A mean with its bootstrap interval."""
    low, high = bootstrap(values)
    return {"value": fmean(values) if values else None, "low": low, "high": high, "n": len(values)}


def accuracy_of(right: Sequence[float]) -> Estimate:
    """A share of 0 and 1 with its bootstrap interval; Wilson's where all are alike.

    Drawing anew from rows that are all alike would claim to know the share exactly.
    """
    n, won = len(right), sum(right)
    low, high = bootstrap(right) if 0 < won < n else wilson(won, n)
    return {"value": won / n, "low": low, "high": high, "n": n}


def ratio_of(tops: Sequence[float], bottoms: Sequence[float]) -> Estimate:
    """sum(tops) / sum(bottoms) with its bootstrap interval over the pairs of them."""

    def ratio(places: Sequence[float]) -> float:
        below = sum(bottoms[int(place)] for place in places)
        return sum(tops[int(place)] for place in places) / below if below else 0.0

    places = [float(place) for place in range(len(tops))]
    low, high = bootstrap(places, ratio)
    return {"value": ratio(places) if places else None, "low": low, "high": high, "n": len(places)}


def rewards_of(pair: Row, side: str, reference: str, beta: float) -> tuple[float, float]:
    """Implicit rewards of the chosen and the rejected answer: beta (log pi - log pi_reference)."""
    own, other = pair["logps"][side], pair["logps"][reference]
    return beta * (own[0] - other[0]), beta * (own[1] - other[1])


def margin_of(pair: Row, side: str, reference: str, beta: float) -> float:
    """Reward of the chosen answer less that of the rejected one."""
    chosen, rejected = rewards_of(pair, side, reference, beta)
    return chosen - rejected


def summarise_pairs(pairs: Sequence[Row], sides: Sequence[str], facts: Row) -> dict[str, Any]:
    """Rewards of each side against DPO's reference, and of the second against the first.

    Args:
        pairs: `pair` events of the measuring process.
        facts: Its `facts` event.
    """
    beta, (first, second) = facts["beta"], sides
    rewards = {side: _rewards(pairs, side, "reference", beta) for side in sides}
    for side in sides:
        rewards[side]["trl"] = as_trl(pairs, side, beta)
    return {
        "equal": all(pair["logps"][first] == pair["logps"][second] for pair in pairs),
        "rewards": rewards,
        "between": _rewards(pairs, second, first, beta),
        "worst": worst_pairs(pairs, sides, beta)[:WORST_ROWS],
    }


def _rewards(pairs: Sequence[Row], side: str, reference: str, beta: float) -> dict[str, Any]:
    found = [rewards_of(pair, side, reference, beta) for pair in pairs]
    margins = [chosen - rejected for chosen, rejected in found]
    right = [float(chosen > rejected) for chosen, rejected in found]
    return {
        "accuracy": accuracy_of(right),
        "margin": mean_of(margins),
        "chosen": fmean(chosen for chosen, _ in found),
        "rejected": fmean(rejected for _, rejected in found),
        "ties": sum(margin == 0 for margin in margins),
        "histogram": {"edges": list(EDGES), "counts": histogram(margins)},
        "slices": slices(pairs, right, margins),
        "length": length_view([pair["tokens"] for pair in pairs], right, margins),
    }


def as_trl(pairs: Sequence[Row], side: str, beta: float) -> dict[str, float]:
    """The metrics as TRL's evaluation logs them: means of the means of its batches."""
    batches: dict[int, list[Row]] = {}
    for pair in pairs:
        batches.setdefault(pair["batch"], []).append(pair)

    def over(value: Callable[[Row], float]) -> float:
        return fmean(fmean(value(pair) for pair in batch) for batch in batches.values())

    return {
        "eval_rewards/accuracies": over(
            lambda pair: float(margin_of(pair, side, "reference", beta) > 0)
        ),
        "eval_rewards/margins": over(lambda pair: margin_of(pair, side, "reference", beta)),
        "eval_rewards/chosen": over(lambda pair: rewards_of(pair, side, "reference", beta)[0]),
        "eval_rewards/rejected": over(lambda pair: rewards_of(pair, side, "reference", beta)[1]),
        "eval_logps/chosen": over(lambda pair: pair["logps"][side][0]),
        "eval_logps/rejected": over(lambda pair: pair["logps"][side][1]),
    }


def histogram(margins: Sequence[float]) -> list[int]:
    """How many margins lie in each bin; a bin begins with its lower edge."""
    limits = (-math.inf, *EDGES, math.inf)
    return [sum(low <= one < high for one in margins) for low, high in pairwise(limits)]


def slices(
    pairs: Sequence[Row], right: Sequence[float], margins: Sequence[float]
) -> list[dict[str, Any]]:
    """Accuracy and margin by length and by the data's own columns, the worst of each first."""
    labels: dict[str, list[str]] = {"length": _thirds([pair["tokens"][0] for pair in pairs])}
    labels["answers"] = [_relation(*pair["tokens"]) for pair in pairs]
    for name in dict.fromkeys(name for pair in pairs for name in pair["slices"]):
        labels[name] = [pair["slices"].get(name, "(none)") for pair in pairs]
    found = []
    for by, values in labels.items():
        distinct = list(dict.fromkeys(values))
        if not 1 < len(distinct) <= MOST_VALUES:
            continue
        rows: list[dict[str, Any]] = []
        for value in distinct:
            places = [place for place, one in enumerate(values) if one == value]
            won = sum(right[place] for place in places)
            margin = fmean(margins[place] for place in places)
            accuracy = share(int(won), len(places))
            rows.append({"by": by, "value": value, "accuracy": accuracy, "margin": margin})
        found += sorted(rows, key=lambda row: (row["accuracy"]["value"], row["margin"]))
    return found


def _thirds(lengths: Sequence[int]) -> list[str]:
    ordered = sorted(float(length) for length in lengths)
    low, high = quantile(ordered, 1 / 3), quantile(ordered, 2 / 3)
    return [
        f"chosen up to {low:.0f} tokens"
        if length <= low
        else f"chosen above {high:.0f} tokens"
        if length > high
        else f"chosen above {low:.0f}, up to {high:.0f} tokens"
        for length in lengths
    ]


def _relation(chosen: int, rejected: int) -> str:
    if chosen == rejected:
        return "both equally long"
    return "chosen longer" if chosen > rejected else "chosen shorter"


def worst_pairs(pairs: Sequence[Row], sides: Sequence[str], beta: float) -> list[dict[str, Any]]:
    """All pairs, those first whose margin fell most from the first side to the second."""
    found = []
    for pair in pairs:
        before, after = (margin_of(pair, side, "reference", beta) for side in sides)
        about = {"row": pair["row"], "prompt": pair["prompt"], "tokens": pair["tokens"]}
        change = margin_of(pair, sides[1], sides[0], beta)
        found.append({**about, "before": before, "after": after, "change": change})
    return sorted(found, key=lambda row: row["change"])


def summarise_answers(answers: Sequence[Row], sides: Sequence[str]) -> dict[str, Any]:
    """What each side's sampled answers are like, and how far they are from the base model's."""
    found: dict[str, Any] = {"kl_estimator": KL_ESTIMATOR}
    for side in sides:
        own = [answer for answer in answers if answer["side"] == side]
        counted = behaviour(own)
        rates = {
            name: share(counted[name], len(own)) for name in ("no_eos", "empty", "refused", "loops")
        }
        found[side] = {
            "answers": len(own),
            "tokens": mean_of([float(answer["tokens"]) for answer in own]),
            "words": mean_of([float(words) for words in counted["words"]]),
            "repetition": mean_of(counted["repetition"]),
            **rates,
            "kl": kl_of([answer["log_ratios"] for answer in own]),
        }
    return found


def kl_of(answers: Sequence[Sequence[float]]) -> dict[str, Estimate]:
    """KL(side || base) per token of answers given as their tokens' log-ratios; see KL_ESTIMATOR."""
    tokens = [float(len(ratios)) for ratios in answers]
    k1 = [sum(ratios) for ratios in answers]
    k3 = [
        sum(math.exp(min(-ratio, LARGEST_EXPONENT)) - 1 + ratio for ratio in ratios)
        for ratios in answers
    ]
    return {"k1": ratio_of(k1, tokens), "k3": ratio_of(k3, tokens)}


def summarise_sft(rows: Sequence[Row], sides: Sequence[str]) -> dict[str, Any]:
    """Perplexity of both sides on SFT rows, their ratio, and the rows that became less likely."""
    first, second = sides
    tokens = [float(row["tokens"]) for row in rows]
    lost = [row["logps"][first] - row["logps"][second] for row in rows]
    change = ratio_of(lost, tokens)
    ratio = {name: math.exp(change[name]) for name in ("value", "low", "high")}
    perplexity = {
        side: math.exp(-sum(row["logps"][side] for row in rows) / sum(tokens)) for side in sides
    }
    rose = [
        {
            "row": row["row"],
            "prompt": row["prompt"],
            "before": math.exp(-row["logps"][first] / row["tokens"]),
            "after": math.exp(-row["logps"][second] / row["tokens"]),
        }
        for row in rows
    ]
    rose = [row for row in rose if row["after"] > row["before"]]
    rose.sort(key=lambda row: row["before"] / row["after"])
    return {
        "source": rows[0]["source"],
        "answers_only": rows[0]["answers_only"],
        "rows": len(rows),
        "tokens": int(sum(tokens)),
        "perplexity": perplexity,
        "ratio": {**ratio, "n": len(rows)},
        "rose": rose[:WORST_ROWS],
        "rose_rows": len(rose),
    }
