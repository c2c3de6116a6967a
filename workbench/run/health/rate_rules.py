"""Rules on the size of the steps: too large, or too small to learn anything."""

from __future__ import annotations

from statistics import median

from workbench.run.health.distance_rules import far_evidence
from workbench.run.health.finding import Symptom
from workbench.run.health.numbers import medians_apart, shares_apart
from workbench.run.health.pair_rules import identical_pairs, no_gradient
from workbench.run.health.rates import higher, least_usual, limits, lower
from workbench.run.health.registry import rule
from workbench.run.health.stage import LN_2, StageHistory, window
from workbench.run.health.words import arrow, num

SURE = 5.0
"""Standard errors: a stream is looked at a thousand times, and each look may be wrong."""
HIGH_ROWS = 5
HIGH_LOSS, HIGH_HELD_OUT, VERY_HIGH_LOSS = LN_2 + 0.03, LN_2 + 0.1, 1.2
"""A healthy run starts at ln 2 and falls, which is asked of rates beyond the usual. Pairs ranked by
a coin with margins of 2 cost 1.1, which no rate excuses."""
RISEN_LOSS, DROPPED_ACCURACY = 1.25, 0.2
EXPLODED, SPIKE, SPIKES, SPIKE_ROWS = 8.0, 20.0, 3, 20
"""Times the usual gradient norm. Norms of healthy batches spread by a factor of two or three."""
LEAST_NORM = 1.0
BASE_ROWS, EXPLOSION_ROWS = 10, 5
STILL_PROGRESS, STILL_ROWS, STILL_PAIRS = 0.4, 10, 64
STILL_NATS = 0.5
"""A change of an answer's log-probability that no sample of it would show."""
FLAT_PROGRESS, FLAT_ROWS, FLAT_SHARE = 0.4, 24, 0.995
SMALL_FALL, FLAT_SURE = 0.05, 2.5
"""A fall of 5 % must be that many standard errors away."""


@rule("the learning rate is too high")
def rate_too_high(s: StageHistory) -> Symptom | None:
    """Losses above their start, accuracy that falls, or a rate far beyond the usual."""
    high = s.rate > limits(s)[1] > 0
    signs = [text for text in (_loss_too_high(s, high=high), _accuracy_fell(s)) if text]
    if high and not signs:
        signs = [text for text in (_exploded(s), far_evidence(s)) if text]
    if not signs and not (high and len(s.steps) >= HIGH_ROWS):
        return None
    told = f"learning_rate is {num(s.rate)}"
    if high:
        kind = "LoRA" if s.lora else "all weights trained"
        told += f", and runs with {kind} mostly fall apart above {num(limits(s)[1])}"
    return Symptom(
        "alarm" if signs else "warning",
        f"{'; '.join([told, *signs])}.",
        "Each step throws the weights further than the data can correct. Text falls apart long "
        "before the loss is infinite.",
        "learning_rate",
        arrow(s, "learning_rate", lower(s)),
        title="" if high else "the training gets worse",
    )


def _loss_too_high(s: StageHistory, *, high: bool) -> str:
    losses = s.values("loss")
    if len(losses) < 2 * HIGH_ROWS:
        return ""
    size = window(len(losses))
    first, recent = losses[: max(HIGH_ROWS, size // 2)], losses[-size:]
    if s.preference and s.pure_sigmoid:
        return _above_ln_2(s, recent, high=high)
    begun, now = median(first), median(recent)
    if now > RISEN_LOSS * begun > 0 and medians_apart(first, recent) > SURE:
        return f"the loss rose from {num(begun)} to {num(now)}"
    return ""


def _above_ln_2(s: StageHistory, recent: list[float], *, high: bool) -> str:
    """Whether DPO's own loss is above that of an untrained policy."""
    began = f"above ln 2 = {num(LN_2)} where it began"
    held_out = s.values("eval_loss")
    if high and held_out and held_out[-1] > HIGH_HELD_OUT:
        return f"the held-out loss is {num(held_out[-1])}, {began}"
    mean = sum(recent) / len(recent)
    if high and mean > HIGH_LOSS:
        return f"the mean loss of the last {len(recent)} rows is {num(mean)}, {began}"
    if median(recent) > VERY_HIGH_LOSS:
        return f"the loss is {num(median(recent))}, {began}"
    return ""


def _accuracy_fell(s: StageHistory) -> str:
    rows = s.wins
    size = window(len(rows))
    if len(rows) < 3 * size:
        return ""
    parts = [rows[start : start + size] for start in range(0, len(rows) - size, size)]
    counted = [(sum(row[1] for row in part), sum(row[2] for row in part)) for part in parts]
    best = max(counted, key=lambda one: one[0] / one[1])
    last = sum(row[1] for row in rows[-size:]), sum(row[2] for row in rows[-size:])
    fell = best[0] / best[1] - last[0] / last[1]
    if fell < DROPPED_ACCURACY or shares_apart(*best, *last) < SURE:
        return ""
    return f"the accuracy fell from {num(best[0] / best[1])} to {num(last[0] / last[1])}"


@rule("gradients explode")
def gradient_explosion(s: StageHistory) -> Symptom | None:
    """Norms far above the usual ones: for a while, or again and again."""
    told = _exploded(s)
    if not told:
        return None
    norms = s.values("grad_norm")
    clip = s.number("max_grad_norm", 1.0)
    now = median(norms[-EXPLOSION_ROWS:]) > EXPLODED * _usual_norm(norms)
    change = arrow(s, "learning_rate", lower(s))
    return Symptom(
        "alarm" if now or _spiky(norms[-SPIKE_ROWS:], _usual_norm(norms)) else "warning",
        f"{told[:1].upper()}{told[1:]}.",
        "Single batches pull the weights much harder than the others. "
        + (
            f"Clipping at {num(clip)} bounds each step, yet its direction is that of the outlier."
            if clip > 0
            else "Nothing bounds them, since max_grad_norm is 0."
        ),
        "learning_rate" if clip > 0 else "max_grad_norm",
        change if clip > 0 else arrow(s, "max_grad_norm", 1.0),
        now=now,
    )


def _exploded(s: StageHistory) -> str:
    norms = s.values("grad_norm")
    if len(norms) < BASE_ROWS + EXPLOSION_ROWS:
        return ""
    usual = _usual_norm(norms)
    late = norms[BASE_ROWS:]
    runs = [late[start : start + EXPLOSION_ROWS] for start in range(len(late) - EXPLOSION_ROWS + 1)]
    worst = max(runs, key=median)
    if median(worst) > max(LEAST_NORM, EXPLODED * usual):
        return f"grad_norm went up to {num(max(worst))}, and was about {num(usual)} before"
    if _spiky(late, usual):
        return f"grad_norm jumps up to {num(max(late))}, and is {num(usual)} usually"
    return ""


def _usual_norm(norms: list[float]) -> float:
    """The norm of the first rows and of all rows, whichever is larger: norms fall in good runs."""
    return max(median(norms[:BASE_ROWS]), median(norms[: max(BASE_ROWS, len(norms) // 2)]))


def _spiky(norms: list[float], usual: float) -> bool:
    """Whether several norms of neighbouring rows stand far above the usual one."""
    bound = max(LEAST_NORM, SPIKE * usual)
    places = [place for place, norm in enumerate(norms) if norm > bound]
    ends = zip(places, places[SPIKES - 1 :], strict=False)
    return any(last - first < SPIKE_ROWS for first, last in ends)


@rule("the model hardly moves", preference=True)
def rate_too_low(s: StageHistory) -> Symptom | None:
    """After a good part of the stage the answers are as likely as before."""
    rows = s.table("rewards/chosen", "rewards/rejected", "rewards/margins")
    enough = sum(s.rows_of(int(row[0])) for row in rows) >= STILL_PAIRS
    if len(rows) < STILL_ROWS or not enough or (s.max_steps and s.progress < STILL_PROGRESS):
        return None
    if s.rate >= least_usual(s):
        return None  # at a usual rate the pairs are to blame, see `random_labels`
    recent = rows[-window(len(rows)) :]
    nats = max(median(abs(row[place]) for row in recent) / s.beta for place in (1, 2, 3))
    if nats > STILL_NATS or identical_pairs(s) or no_gradient(s):
        return None
    margin = median(row[3] for row in recent)
    return Symptom(
        "warning",
        f"At step {s.step} the answers' log-probabilities have moved by {num(nats)} nats, margins "
        f"are {num(margin)}; learning_rate is {num(s.rate)}.",
        "The adapter would answer like its reference. The steps are too small, or there are too "
        "few of them.",
        "learning_rate",
        arrow(s, "learning_rate", higher(s)),
    )


@rule("the loss does not fall", preference=False)
def sft_flat(s: StageHistory) -> Symptom | None:
    """After a good part of the stage the loss is where it was."""
    losses = s.values("loss")
    if len(losses) < FLAT_ROWS or (s.max_steps and s.progress < FLAT_PROGRESS):
        return None
    third = len(losses) // 3
    first, last = median(losses[:third]), median(losses[-third:])
    if not FLAT_SHARE * first <= last <= RISEN_LOSS * first:
        return None
    fallen = [(1 - SMALL_FALL) * loss for loss in losses[:third]]
    if medians_apart(fallen, losses[-third:]) < FLAT_SURE:
        return None
    low = s.rate <= higher(s)
    return Symptom(
        "warning",
        f"The median loss was {num(first)} in the first third of the rows and is {num(last)} in "
        f"the last; learning_rate is {num(s.rate)}.",
        "Nothing is learned that lowers the loss: the steps are too small or too large, or the "
        "model knows these answers already.",
        "learning_rate",
        arrow(s, "learning_rate", higher(s) if low and s.rate <= limits(s)[1] else lower(s)),
    )
