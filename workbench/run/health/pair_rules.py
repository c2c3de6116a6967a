"""Rules on the pairs: no difference, no gradient, too few at once, none held out."""

from __future__ import annotations

import math
from statistics import median

from workbench.run.health.finding import Symptom
from workbench.run.health.registry import rule
from workbench.run.health.stage import StageHistory, window
from workbench.run.health.words import arrow, num

SAME_ROWS, SAME_SHARE = 6, 0.9
SAME_LOGPS = 0.005
"""Relative difference of the mean log-probabilities of chosen and rejected answers below which
both are taken for the same text. Rounding in bfloat16 stays below a thousandth; of different
answers one batch in fifty comes so near by chance."""
NO_GRADIENT = 1e-7
NO_MARGIN_NATS = 1e-3
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


@rule("each point is a mean of very few pairs", preference=True)
def tiny_batches(s: StageHistory) -> Symptom | None:
    """So few pairs a row that its accuracy says next to nothing."""
    steps = [step for step, _ in s.points("rewards/accuracies")]
    if len(steps) < SAME_ROWS or not s.counted:
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
    if not s.known or asked not in (None, "no", False) or len(s.steps) < SAME_ROWS:
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
