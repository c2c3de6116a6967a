"""Rules on what the pairs teach: nothing, noise, the wrong way round, or length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from workbench.run.health.finding import Severity, Symptom
from workbench.run.health.numbers import (
    binomial_tail,
    correlation_z,
    interval,
    spearman,
    without_trend,
)
from workbench.run.health.rates import least_usual
from workbench.run.health.registry import rule
from workbench.run.health.stage import StageHistory, window
from workbench.run.health.words import arrow, fewer_steps, num, percent

SAME_ROWS, SAME_SHARE = 6, 0.9
SAME_LOGPS = 0.005
"""Relative difference of the mean log-probabilities of chosen and rejected answers below which
both are taken for the same text. Rounding in bfloat16 stays below a thousandth; of different
answers one batch in fifty comes so near by chance."""
NO_GRADIENT = 1e-7
NO_MARGIN_NATS = 1e-3

TIED_NATS = 0.05
"""Where the mean margin of a row is smaller, many of its pairs are tied. TRL counts ties as wrong
(it asks for chosen > rejected), so that the accuracy of an unmoved policy is 0."""
WORSE_ROWS, WORSE_PAIRS, RECENT_ROWS = 8, 40, 200
WORSE_CHANCE = 1e-4
"""Probability under a fair coin: one false alarm in a thousand runs whose labels are random."""

LEARNED_SHARE = 0.65
"""Accuracy that preferences of people allow at least: reward models and DPO reach 65 to 75 % on
UltraFeedback and HH (RewardBench, Lambert et al. 2024, arXiv:2403.13787)."""
RANDOM_FROM, RANDOM_PROGRESS, RANDOM_PAIRS = 0.25, 0.5, 120
RANDOM_ODDS, SURE_ODDS, SURE_PROGRESS = math.log(30), math.log(300), 0.75
"""How many times likelier the rankings are by a coin than by `LEARNED_SHARE`."""
MOVED_NATS = 1.0
HEART_SHARE, HEART_PAIRS, HELD_OUT_SHARE = 0.75, 20, 0.6
HEART_CHANCE = 5e-3
"""Probability of so few right held-out pairs if they were as easy as `HEART_SHARE` says."""

LONGER_RATIO, LONGER_SHARE, LONGER_ROWS, LONGER_PAIRS = 1.5, 0.85, 10, 40
ALWAYS_RATIO, ALWAYS_SHARE, FOLLOWED = 1.8, 0.95, 0.6
"""Length tells nearly all pairs apart; published preference data have ratios of 1.0 to 1.3."""
LENGTH_CORRELATION, LENGTH_Z, LENGTH_ROWS, LENGTH_MOST_ROWS = 0.4, 3.0, 20, 400
LEAN_RATIO, LEAN_SHARE = 1.15, 0.65
GROWN_RATIO, GROWN_TOKENS, GROWN_PROMPTS = 1.5, 20, 3

FEW_PAIRS = 8
"""The standard error of an accuracy from 8 pairs is 0.18 at one half."""


@rule("chosen and rejected are the same text", preference=True)
def identical_pairs(s: StageHistory) -> Symptom | None:
    """Equal log-probabilities and no margin: there is nothing to prefer."""
    rows = s.table("logps/chosen", "logps/rejected", "rewards/margins")
    recent = rows[-max(SAME_ROWS, window(len(rows))) :]
    same = [
        abs(chosen - rejected) <= SAME_LOGPS * abs(chosen)
        and abs(margin) / s.beta <= SAME_LOGPS * abs(chosen)
        for _, chosen, rejected, margin in recent
        if chosen
    ]
    if len(same) < SAME_ROWS or sum(same) < SAME_SHARE * len(same):
        return None
    last = recent[-1]
    loss = s.values("loss")[-1:]
    told = f", the loss is {num(loss[0])} (ln 2 = 0.693)" if loss and s.pure_sigmoid else ""
    return Symptom(
        "alarm",
        f"In {sum(same)} of the last {len(same)} rows logps/chosen equals logps/rejected (now "
        f"{num(last[1])} and {num(last[2])}), and margins are {num(last[3])}{told}.",
        "Chosen and rejected answers are the same text, so their gradients cancel and no "
        "preference can be learned. Often both columns come from one field, or the difference is "
        "cut off at max_length.",
        "columns",
        "map chosen and rejected to two different columns, and look with `dpo-workbench data`",
    )


@rule("nothing is learned: no gradient")
def no_gradient(s: StageHistory) -> Symptom | None:
    """A gradient norm of 0 while nothing has been learned yet."""
    rows = s.points("grad_norm")
    recent = [norm for _, norm in rows[-max(SAME_ROWS, window(len(rows))) :]]
    if len(recent) < SAME_ROWS or max(recent) > NO_GRADIENT or identical_pairs(s):
        return None
    margins = s.values("rewards/margins")[-len(recent) :]
    if margins and median(abs(margin) for margin in margins) / s.beta > NO_MARGIN_NATS:
        return None  # learned to the end: no gradient is left
    cut = all(abs(logp) < 1e-6 for logp in s.values("logps/chosen")[-len(recent) :])
    key, change = "max_length", arrow(s, "max_length", 2 * max(1, int(s.number("max_length"))))
    if s.preference and not cut:
        key, change = "learning_rate", "check that the adapter's layers exist and are trained"
    return Symptom(
        "alarm",
        f"grad_norm was {num(max(recent))} in each of the last {len(recent)} rows"
        + (f", margins are {num(margins[-1])}." if margins else "."),
        "No gradient reaches the weights: the answers are cut away or masked, or the weights that "
        "are trained take no part in the loss.",
        key,
        change,
    )


@rule("worse than chance", preference=True)
def worse_than_chance(s: StageHistory) -> Symptom | None:
    """More pairs are ranked the wrong way round than a coin would."""
    margins = dict(s.points("rewards/margins"))
    rows = [
        row for row in s.wins[-RECENT_ROWS:] if abs(margins.get(row[0], 0.0)) / s.beta > TIED_NATS
    ]
    recent = rows[-max(WORSE_ROWS, window(len(rows))) :]
    if len(recent) >= WORSE_ROWS and median(margins[row[0]] for row in recent) < 0:
        right, pairs = _sum(recent)
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
    rows = s.wins
    rows = rows[int(RANDOM_FROM * len(rows)) :]
    right, pairs = _sum(rows)
    odds = _coin_odds(right, pairs)
    # A policy that has begun to learn late counts as one that learns.
    if pairs < RANDOM_PAIRS or _coin_odds(*_sum(rows[len(rows) // 2 :])) < 0:
        return None
    if _below_chance(right, pairs) or identical_pairs(s):
        return None
    _, held_right, held_pairs = (s.held_out or [(0, 0.0, 0.0)])[-1]
    held_out = _held_out_at_chance(s)
    odds += _coin_odds(held_right, held_pairs)
    low, high = interval(right, pairs)
    if odds < RANDOM_ODDS or held_out is False or low > 0.5:
        return None
    moved = _moved_nats(s)
    sure = odds >= SURE_ODDS and s.progress >= SURE_PROGRESS
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


def _sum(rows: list[tuple[int, float, float]]) -> tuple[float, float]:
    """Pairs ranked right, and all pairs, of log rows."""
    return sum(row[1] for row in rows), sum(row[2] for row in rows)


def _coin_odds(right: float, pairs: float) -> float:
    """The logarithm of how many times likelier a coin is than `LEARNED_SHARE`."""
    lost = (pairs - right) * math.log(0.5 / (1 - LEARNED_SHARE))
    return right * math.log(0.5 / LEARNED_SHARE) + lost


@rule("training pairs are learned by heart", preference=True)
def learned_by_heart(s: StageHistory) -> Symptom | None:
    """Training pairs are ranked well, held-out ones as by a coin."""
    rows = s.wins
    recent = rows[-window(len(rows)) :]
    right, pairs = _sum(recent)
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
    right, pairs = _sum(rows[-window(len(rows)) :])
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


@dataclass(frozen=True)
class _Lengths:
    """Of the rows so far: the median ratio chosen to rejected, and how often it is above 1."""

    ratio: float
    share: float
    chosen: float
    rejected: float


@rule("longer answers are rewarded", preference=True)
def length_hacking(s: StageHistory) -> Symptom | None:
    """Length alone tells chosen from rejected, and the policy follows it.

    Park et al. 2024, "Disentangling Length from Quality in DPO" (arXiv:2403.19159): where the
    chosen answers are longer, DPO learns to be long. Data whose chosen answers are shorter are
    left alone: brevity is seldom an accident.
    """
    lengths, grown, follows = _lengths(s), _grown(s), _follows_length(s)
    biased = lengths is not None and (
        lengths.ratio >= LONGER_RATIO and lengths.share >= LONGER_SHARE
    )
    leans = lengths is not None and (lengths.ratio >= LEAN_RATIO and lengths.share >= LEAN_SHARE)
    signs = [text for text in (grown, follows if leans else "") if text]
    if lengths is not None and lengths.ratio >= ALWAYS_RATIO and lengths.share >= ALWAYS_SHARE:
        signs += [text for text in (_ranks_right(s),) if text]
    if not biased and not grown:
        return None
    severity: Severity = "alarm" if (biased and signs) or len(signs) == 2 else "warning"
    told = [f"{text[:1].upper()}{text[1:]}." for text in signs]
    if lengths is not None and (biased or leans):
        told.insert(
            0,
            f"Chosen answers have {num(lengths.chosen)} tokens and rejected ones "
            f"{num(lengths.rejected)}; the chosen ones are longer in {percent(lengths.share)} of "
            "the rows.",
        )
    return Symptom(
        severity,
        " ".join(told),
        "Length alone tells which answer is preferred, so the model learns to write more, not "
        "better. Balance the lengths in the data, or let the loss count each token alike.",
        "loss_type",
        arrow(s, "loss_type", ["sigmoid_norm" if one == "sigmoid" else one for one in s.losses])
        if "sigmoid" in s.losses
        else "pairs of like length",
        title="" if biased or follows else "answers grow longer",
    )


def _lengths(s: StageHistory) -> _Lengths | None:
    rows = [row for row in s.table("lengths/chosen", "lengths/rejected") if row[1] and row[2]]
    if len(rows) < LONGER_ROWS or sum(s.rows_of(int(row[0])) for row in rows) < LONGER_PAIRS:
        return None
    return _Lengths(
        ratio=median(chosen / rejected for _, chosen, rejected in rows),
        share=sum(chosen > rejected for _, chosen, rejected in rows) / len(rows),
        chosen=median(row[1] for row in rows),
        rejected=median(row[2] for row in rows),
    )


def _ranks_right(s: StageHistory) -> str:
    """Whether the policy has learned what tells the pairs apart."""
    rows = s.wins
    right, pairs = _sum(rows[-window(len(rows)) :])
    if interval(right, pairs)[0] < FOLLOWED:
        return ""
    return f"the model ranks {percent(right / pairs)} of the pairs that way already"


def _follows_length(s: StageHistory) -> str:
    """Whether margins are larger where the chosen answer is longer, beside their trend."""
    rows = s.table("rewards/margins", "lengths/chosen", "lengths/rejected")
    rows = rows[len(rows) // 4 :][-LENGTH_MOST_ROWS:]  # before, margins are mostly noise
    if len(rows) < LENGTH_ROWS:
        return ""
    margins = without_trend([row[1] for row in rows], reach=4)
    found = spearman(margins, [chosen - rejected for _, _, chosen, rejected in rows])
    if found < LENGTH_CORRELATION or correlation_z(found, len(rows)) < LENGTH_Z:
        return ""
    return (
        f"margins follow the length difference from row to row (rank correlation {num(found)} "
        f"over {len(rows)} rows)"
    )


def _grown(s: StageHistory) -> str:
    """Whether the answers at the last checkpoint are much longer than before the stage."""
    before = {answer.prompt: answer.tokens for answer in s.answers if answer.step < 0}
    asked = [answer for answer in s.answers if answer.step >= 0]
    last = max((answer.step for answer in asked), default=0)
    pairs = [
        (before[answer.prompt], answer.tokens)
        for answer in asked
        if answer.step == last and answer.prompt in before
    ]
    if len(pairs) < GROWN_PROMPTS:
        return ""
    first, second = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    longer = sum(new > old for old, new in pairs)
    if second < max(GROWN_RATIO * first, first + GROWN_TOKENS) or 4 * longer < 3 * len(pairs):
        return ""
    return (
        f"answers to the probe prompts grew from {num(first)} to {num(second)} tokens by step "
        f"{last}"
    )


@rule("each point is a mean of very few pairs", preference=True)
def tiny_batches(s: StageHistory) -> Symptom | None:
    """So few pairs a row that its accuracy says next to nothing."""
    steps = [step for step, _ in s.points("rewards/accuracies")]
    if len(steps) < SAME_ROWS:
        return None
    pairs = median(s.rows_of(step) for step in steps)
    if pairs >= FEW_PAIRS:
        return None
    batch = max(1.0, pairs / s.stride)
    times = max(2, math.ceil(FEW_PAIRS / batch))
    accumulate = int(s.number("gradient_accumulation_steps", 1.0))
    return Symptom(
        "hint",
        f"Each logged point is a mean over {num(pairs)} pairs, so that its accuracy has a standard "
        f"error of {num(0.5 / math.sqrt(pairs))}.",
        "Single points say next to nothing: look at the smoothed curve. A larger effective batch "
        "makes the gradient steadier too.",
        "gradient_accumulation_steps",
        arrow(s, "gradient_accumulation_steps", accumulate * times),
    )


@rule("no held-out data")
def no_held_out(s: StageHistory) -> Symptom | None:
    """Nothing tells learning from remembering."""
    asked = s.setting("eval_strategy")
    if not s.config or asked not in (None, "no", False) or len(s.steps) < SAME_ROWS:
        return None
    if any(name.startswith("eval_") for name in s.curves):
        return None
    return Symptom(
        "hint",
        f"eval_strategy is {'no' if asked is False else asked}, and no eval_ metric was logged.",
        "Without held-out rows nobody can tell what was learned from what was remembered.",
        "eval_strategy",
        "no -> steps, with test_split_size: 0.1",
    )
