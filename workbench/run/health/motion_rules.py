"""Rules on how the policy moves: too fast, too far, too little, or past its best point."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import takewhile
from statistics import fmean, median

from workbench.run.health.finding import Severity, Symptom
from workbench.run.health.numbers import medians_apart, shares_apart
from workbench.run.health.pair_rules import (
    identical_pairs,
    no_gradient,
    random_labels,
    ranked_better_than_chance,
)
from workbench.run.health.rates import higher, least_usual, limits, lower
from workbench.run.health.registry import rule
from workbench.run.health.stage import LN_2, StageHistory, Table, window
from workbench.run.health.words import arrow, fewer_steps, num, percent

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

DISPLACED, VERY_DISPLACED = 0.2, 0.4
"""Share of the reference's log-probability that chosen answers may lose. Some loss is common with
DPO; past it probability mass has left for answers that nobody chose (Razin et al. 2024,
"Unintentional Unalignment", arXiv:2410.08847; Pal et al. 2024, arXiv:2402.13228)."""
DISPLACED_NATS = 8.0

FAR, VERY_FAR = 0.8, 1.6
"""Nats a token by which answers have become likelier or less likely on average: at 1 each token's
probability has changed by a factor of e. Policies of published DPO runs stay below 0.3."""
FAR_NATS, VERY_FAR_NATS = 150.0, 400.0
"""The same an answer, where lengths were not logged."""
FAR_ROWS = 5

SATURATED_LOSS, SATURATED_MARGIN = 0.01, 6.0
SATURATED_ROWS, SATURATED_PAIRS, SATURATED_LEFT = 12, 64, 0.25

STILL_PROGRESS, STILL_ROWS, STILL_PAIRS = 0.4, 10, 64
STILL_NATS = 0.5
"""A change of an answer's log-probability that no sample of it would show."""

TURNED_EVALUATIONS, TURNED, LOST_AGAIN = 4, 0.05, 0.3
"""A held-out loss counts as turned when it is 5 % above its best and has given back 30 % of what it
had gained: as margins widen it creeps upwards in good runs too."""
TURNED_NOISE = 0.4
"""Deviation of how one pair's loss changes, so that few held-out pairs say little."""
TURNED_MARGIN = 0.75
TRAINS_ON = 1.1

FLAT_PROGRESS, FLAT_ROWS, FLAT_SHARE = 0.4, 24, 0.995
SMALL_FALL, FLAT_SURE = 0.05, 2.5
"""A fall of 5 % must be that many standard errors away."""


@rule("the learning rate is too high")
def rate_too_high(s: StageHistory) -> Symptom | None:
    """Losses above their start, accuracy that falls, or a rate far beyond the usual."""
    high = s.rate > limits(s)[1] > 0
    signs = [text for text in (_loss_too_high(s, high=high), _accuracy_fell(s)) if text]
    if high and not signs:
        signs = [text for text in (_exploded(s), _far_evidence(s)) if text]
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
    if high and fmean(recent) > HIGH_LOSS:
        return f"the mean loss of the last {len(recent)} rows is {num(fmean(recent))}, {began}"
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


@dataclass(frozen=True)
class _Chosen:
    """Chosen answers' log-probabilities, nats an answer: the reference's, and their loss now."""

    reference: float
    lost: float
    first_margin: float
    margin: float


def _chosen(s: StageHistory) -> _Chosen | None:
    rows = s.table("logps/chosen", "rewards/chosen", "rewards/margins")
    if len(rows) < 2 * HIGH_ROWS:
        return None
    recent = rows[-window(len(rows)) :]
    return _Chosen(
        reference=abs(median(logp - reward / s.beta for _, logp, reward, _ in rows)),
        lost=-median(row[2] for row in recent) / s.beta,
        first_margin=median(row[3] for row in rows[:HIGH_ROWS]),
        margin=median(row[3] for row in recent),
    )


@rule("chosen answers get less likely", preference=True)
def likelihood_displacement(s: StageHistory) -> Symptom | None:
    """Margins rise only because rejected answers fall faster than the chosen ones.

    rewards/chosen is beta times the change of logps/chosen against the reference (Rafailov et al.
    2023, arXiv:2305.18290), so that the answers' different lengths do not blur it.
    """
    found = _chosen(s)
    if found is None or s.setting("sync_ref_model") or found.reference <= 0:
        return None
    share = found.lost / found.reference
    risen = found.margin > max(0.0, found.first_margin)
    if not risen or share < DISPLACED or found.lost < DISPLACED_NATS:
        return None
    severity: Severity = "alarm" if share >= VERY_DISPLACED else "warning"
    rate = "sft" in s.losses or s.rate > limits(s)[1]
    return Symptom(
        severity,
        f"logps/chosen fell from {num(-found.reference)} (reference) to "
        f"{num(-found.reference - found.lost)}, by {percent(share)}, while "
        f"rewards/margins rose from {num(found.first_margin)} to {num(found.margin)}.",
        "The margin grows although the preferred answers become less likely: the rejected ones "
        "only fall faster. What becomes likely instead stands in no data.",
        "learning_rate" if rate else "loss_type",
        arrow(s, "learning_rate", lower(s))
        if rate
        else f"{arrow(s, 'loss_type', [*s.losses, 'sft'])}, with loss_weights: "
        f"[{', '.join(['1.0'] * len(s.losses))}, 0.5]",
    )


@rule("far away from the reference", preference=True)
def kl_runaway(s: StageHistory) -> Symptom | None:
    """The mean log-ratio of the answers beyond what a fine-tuned model needs."""
    evidence = _far_evidence(s)
    if not evidence:
        return None
    very = bool(_far_evidence(s, VERY_FAR, VERY_FAR_NATS))
    beta = s.beta
    rate = s.rate > limits(s)[1]
    return Symptom(
        "alarm" if very else "warning",
        f"{evidence[:1].upper()}{evidence[1:]}.",
        "The policy has left the text that the reference model can write. A larger beta holds it "
        "nearer; so does a lower learning rate.",
        "learning_rate" if rate else "beta",
        arrow(s, "learning_rate", lower(s)) if rate else arrow(s, "beta", round(3 * beta, 3)),
    )


def _far_evidence(s: StageHistory, far: float = FAR, far_nats: float = FAR_NATS) -> str:
    found = []
    for side in ("chosen", "rejected"):
        rewards = s.values(f"rewards/{side}")
        recent = rewards[-window(len(rewards)) :]
        if len(rewards) < FAR_ROWS:
            continue
        nats = median(recent) / s.beta
        lengths = s.values(f"lengths/{side}")
        tokens = median(lengths) if lengths else 0.0
        size = abs(nats) / tokens if tokens else abs(nats)
        if size > (far if tokens else far_nats):
            kind = "more" if nats > 0 else "less"
            unit = f"{num(size)} nats a token" if tokens else f"{num(size)} nats an answer"
            found.append(f"{side} answers are {unit} {kind} likely than under the reference")
    return ", ".join(found)


@rule("nothing is left to learn from these pairs", preference=True)
def saturation(s: StageHistory) -> Symptom | None:
    """Every pair is ranked right by a wide margin, with much of the stage still to come."""
    easy = list(takewhile(lambda row: _is_easy(s, row), reversed(_easy_rows(s))))
    pairs = sum(s.rows_of(int(row[0])) for row in easy)
    if len(easy) < SATURATED_ROWS or pairs < SATURATED_PAIRS:
        return None
    losses, margin = [row[3] for row in easy], median(row[1] for row in easy)
    since = int(easy[-1][0])
    wasted = max(s.step, s.max_steps) - since
    settled = median(losses) < SATURATED_LOSS or not s.pure_sigmoid
    if not settled or wasted < SATURATED_LEFT * max(s.step, s.max_steps):
        return None
    key, change = fewer_steps(s, since)
    return Symptom(
        "warning",
        f"Since step {since} the accuracy has been 1.0 in all rows ({round(pairs)} pairs), with a "
        f"loss of {num(median(losses))} and margins of {num(margin)}.",
        "Every pair is ranked right by a wide margin, so more steps only push the weights further "
        "away. Stop earlier, or use harder pairs.",
        key,
        change,
        step=since,
    )


def _easy_rows(s: StageHistory) -> Table:
    return s.table("rewards/margins", "rewards/accuracies", "loss")


def _is_easy(s: StageHistory, row: tuple[float, ...]) -> bool:
    """Whether all pairs of a log row are ranked right by a wide margin."""
    _, margin, accuracy, loss = row
    wide = loss < 10 * SATURATED_LOSS if s.pure_sigmoid else margin > SATURATED_MARGIN
    return accuracy >= 1.0 and wide


@rule("the model hardly moves", preference=True)
def rate_too_low(s: StageHistory) -> Symptom | None:
    """After a good part of the stage the answers are as likely as before."""
    rows = s.table("rewards/chosen", "rewards/rejected", "rewards/margins")
    enough = sum(s.rows_of(int(row[0])) for row in rows) >= STILL_PAIRS
    if len(rows) < STILL_ROWS or not enough or (s.max_steps and s.progress < STILL_PROGRESS):
        return None
    recent = rows[-window(len(rows)) :]
    nats = max(median(abs(row[place]) for row in recent) / s.beta for place in (1, 2, 3))
    if nats > STILL_NATS or identical_pairs(s) or no_gradient(s):
        return None
    if s.rate >= least_usual(s) and (ranked_better_than_chance(s) or random_labels(s)):
        return None  # it learns, in small steps; or there is nothing to learn
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


@rule("held-out results get worse")
def over_optimisation(s: StageHistory) -> Symptom | None:
    """Held-out loss or margin turns while training goes on improving.

    Rafailov et al. 2024, "Scaling Laws for Reward Model Overoptimization in Direct Alignment
    Algorithms" (arXiv:2406.02900).
    """
    told = _turned(s)
    if told is None:
        return None
    text, best = told
    losses = s.points("loss")
    size = window(len(losses))
    then = [value for step, value in losses if step <= best][-size:]
    now = [value for _, value in losses][-size:]
    if not then or not now or median(now) > TRAINS_ON * median(then):
        return None  # training gets worse too: another rule says why
    key, change = fewer_steps(s, best)
    return Symptom(
        "warning",
        f"{text}, while the training loss went from {num(median(then))} to {num(median(now))}.",
        "From that step on the model learns its training rows, not the task. The checkpoint with "
        "the best held-out loss is the one to keep.",
        key,
        change,
    )


def _turned(s: StageHistory) -> tuple[str, int] | None:
    """What turned, in words, and the step of the best evaluation."""
    losses = s.points("eval_loss")
    if len(losses) < TURNED_EVALUATIONS:
        return None
    best_step, best = min(losses, key=lambda point: point[1])
    begun = LN_2 if s.preference and s.pure_sigmoid else losses[0][1]
    held_out = s.held_out
    noise = TURNED_NOISE / math.sqrt(held_out[-1][2]) if held_out else 0.0
    bound = best + max(TURNED * abs(best), LOST_AGAIN * (begun - best), noise)
    if all(value > bound for _, value in losses[-2:]):
        now = losses[-1][1]
        return f"eval_loss was {num(best)} at step {best_step} and is {num(now)}", best_step
    margins = s.points("eval_rewards/margins")
    if len(margins) >= TURNED_EVALUATIONS:
        best_step, best = max(margins, key=lambda point: point[1])
        if best > 0 and all(value < TURNED_MARGIN * best for _, value in margins[-2:]):
            told = f"eval_rewards/margins was {num(best)} at step {best_step}"
            return f"{told} and is {num(margins[-1][1])}", best_step
    return None


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
