"""Rules on what the labels teach: the wrong way round, nothing, or only themselves."""

from __future__ import annotations

import math
from statistics import median

from workbench.run.health.finding import Symptom
from workbench.run.health.numbers import binomial_tail, interval
from workbench.run.health.pair_rules import identical_pairs
from workbench.run.health.rates import least_usual
from workbench.run.health.registry import rule
from workbench.run.health.stage import StageHistory, total, window
from workbench.run.health.words import fewer_steps, num, percent

TIED_NATS = 0.05
"""Where the mean margin of a row is smaller, many of its pairs are tied. TRL counts ties as wrong
(it asks for chosen > rejected), so that the accuracy of an unmoved policy is 0."""
WORSE_ROWS, WORSE_PAIRS, RECENT_ROWS = 8, 40, 200
WORSE_CHANCE = 1e-4
"""Probability under a fair coin: one false alarm in a thousand runs whose labels are random."""
LEARNED_SHARE = 0.65
"""The accuracy of somebody who has learned a preference; weaker ones need many pairs to be told
from chance, and are not called random then."""
RANDOM_FROM, RANDOM_PROGRESS, RANDOM_PAIRS = 0.2, 0.5, 120
RANDOM_ODDS, SURE_ODDS, SURE_PROGRESS = math.log(30), math.log(300), 0.75
"""How many times likelier the rankings are by a coin than by `LEARNED_SHARE`, once."""
STILL_ODDS = 0.0
"""And from then on: a finding that comes and goes with each row helps nobody."""
BETTER_Z = 2.6
MOVED_NATS = 1.0
HEART_SHARE, HEART_PAIRS, HELD_OUT_SHARE = 0.75, 20, 0.6
HEART_CHANCE = 5e-3
"""Probability of so few right held-out pairs if they were as easy as `HEART_SHARE` says."""


@rule("worse than chance", preference=True)
def worse_than_chance(s: StageHistory) -> Symptom | None:
    """More pairs are ranked the wrong way round than a coin would."""
    margins = dict(s.points("rewards/margins"))
    rows = [
        row for row in s.wins[-RECENT_ROWS:] if abs(margins.get(row[0], 0.0)) / s.beta > TIED_NATS
    ]
    recent = rows[-max(WORSE_ROWS, window(len(rows))) :]
    if len(recent) >= WORSE_ROWS and median(margins[row[0]] for row in recent) < 0:
        right, pairs = total(recent)
        if pairs >= WORSE_PAIRS and _below_chance(right, pairs):
            return _worse(s, right, pairs, "training")
    held_out, eval_margins = s.held_out, s.values("eval_rewards/margins")
    if held_out and eval_margins and eval_margins[-1] < 0:
        step, right, pairs = held_out[-1]
        if pairs >= WORSE_PAIRS and _below_chance(right, pairs) and step > 0:
            return _worse(s, right, pairs, "held-out")
    return None


def _below_chance(right: float, pairs: float) -> bool:
    return binomial_tail(round(right), round(pairs)) < WORSE_CHANCE


def _worse(s: StageHistory, right: float, pairs: float, which: str) -> Symptom:
    chance = binomial_tail(round(right), round(pairs))
    return Symptom(
        "alarm",
        f"Only {round(right)} of the last {round(pairs)} {which} pairs are ranked right "
        f"({percent(right / pairs)}); a coin does so badly with probability {chance:.0e}.",
        "The model prefers the rejected answers. Chosen and rejected are swapped in a part of the "
        "data, or the steps are so large that it has lost its way.",
        "columns",
        "check which column holds the preferred answer (`dpo-workbench data`), or lower "
        "learning_rate",
    )


@rule("no preference is learned", preference=True)
def random_labels(s: StageHistory) -> Symptom | None:
    """At a usual learning rate pairs are ranked as by a coin."""
    if (s.progress < RANDOM_PROGRESS and s.max_steps) or s.rate < least_usual(s):
        return None
    begin = RANDOM_FROM * (s.max_steps or s.step)
    rows = [row for row in s.wins if row[0] > begin]
    right, pairs = total(rows)
    held_out = _held_out_at_chance(s)
    if pairs < RANDOM_PAIRS or held_out is False or identical_pairs(s):
        return None
    if _below_chance(right, pairs) or ranked_better_than_chance(s):
        return None
    _, held_right, held_pairs = (s.held_out or [(0, 0.0, 0.0)])[-1]
    held = _coin_odds(held_right, held_pairs)
    now, peak = held + _coin_odds(right, pairs), held + _peak_odds(rows)
    if now < STILL_ODDS or peak < RANDOM_ODDS:
        return None
    moved, (low, high) = _moved_nats(s), interval(right, pairs)
    sure = peak >= SURE_ODDS and s.progress >= SURE_PROGRESS
    also = f", held-out ones {percent(held_right / held_pairs)}" if held_out else ""
    return Symptom(
        "alarm" if sure or (held_out and moved >= MOVED_NATS) else "warning",
        f"Of the last {round(pairs)} pairs {percent(right / pairs)} are ranked right (95 % "
        f"interval {percent(low)} to {percent(high)}{also}); learning_rate is {num(s.rate)}, and "
        f"answers' log-probabilities moved by {num(moved)} nats.",
        "What is preferred in one pair says nothing about the next. The labels are shuffled or "
        "contradict each other, or the model cannot see the difference in so few steps.",
        "dataset_name",
        "read some pairs and their labels (`dpo-workbench data`); if they are right, more steps",
        title="the preferences look random" if moved >= MOVED_NATS else "",
    )


def _peak_odds(rows: list[tuple[int, float, float]]) -> float:
    """The highest odds for a coin that the rows have ever come to, in their order."""
    odds = peak = pairs = 0.0
    for _, right, count in rows:
        odds, pairs = odds + _coin_odds(right, count), pairs + count
        if pairs >= RANDOM_PAIRS:
            peak = max(peak, odds)
    return peak


def _coin_odds(right: float, pairs: float) -> float:
    """The logarithm of how many times likelier a coin is than `LEARNED_SHARE`."""
    lost = (pairs - right) * math.log(0.5 / (1 - LEARNED_SHARE))
    return right * math.log(0.5 / LEARNED_SHARE) + lost


@rule("training pairs are learned by heart", preference=True)
def learned_by_heart(s: StageHistory) -> Symptom | None:
    """Training pairs are ranked well, held-out ones as by a coin."""
    rows = s.wins
    recent = rows[-window(len(rows)) :]
    right, pairs = total(recent)
    low, _ = interval(right, pairs)
    if pairs < HEART_PAIRS or low < HEART_SHARE or _held_out_at_chance(s) is not True:
        return None
    step, held_right, held_pairs = s.held_out[-1]
    if binomial_tail(round(held_right), round(held_pairs), HEART_SHARE) > HEART_CHANCE:
        return None
    key, change = fewer_steps(s, max(1, s.step // 2))
    return Symptom(
        "alarm",
        f"{percent(right / pairs)} of the training pairs are ranked right, but "
        f"{round(held_right)} of {round(held_pairs)} held-out ones "
        f"({percent(held_right / held_pairs)}, step {step}).",
        "The model remembers pairs instead of learning what makes an answer better: the labels are "
        "noise, or there are too few pairs for so many passes.",
        key,
        change,
    )


def _held_out_at_chance(s: StageHistory) -> bool | None:
    """Whether held-out pairs are ranked as by a coin; None where too few say so."""
    evaluations = [one for one in s.held_out if one[0] > 0]
    if not evaluations or evaluations[-1][2] < HEART_PAIRS:
        return None
    _, right, pairs = evaluations[-1]
    low, _ = interval(right, pairs)
    if low > 0.5:
        return False
    return True if right / pairs <= HELD_OUT_SHARE else None


def ranked_better_than_chance(s: StageHistory) -> bool:
    """Whether the newest rows leave no doubt that something is learned."""
    rows = s.wins
    right, pairs = total(rows[-window(len(rows)) :])
    return interval(right, pairs)[0] > 0.5


def _moved_nats(s: StageHistory) -> float:
    """How far the answers' log-probabilities have moved, in nats an answer."""
    found = []
    for name in ("rewards/chosen", "rewards/rejected"):
        values = s.values(name)
        recent = values[-window(len(values)) :]
        if recent:
            found.append(median(abs(value) for value in recent) / s.beta)
    return max(found, default=0.0)
