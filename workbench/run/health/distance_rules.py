"""Rules on where the policy has gone: too far, or past its best point."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import takewhile
from statistics import median

from workbench.run.health.finding import Severity, Symptom
from workbench.run.health.rates import limits, lower
from workbench.run.health.registry import rule
from workbench.run.health.stage import LN_2, StageHistory, Table, window
from workbench.run.health.words import arrow, fewer_steps, num, percent

DISPLACED, VERY_DISPLACED = 0.2, 0.4
"""Share of the reference's log-probability that chosen answers may lose. Some loss is common with
DPO; past it probability mass has left for answers that nobody chose (Razin et al. 2024,
"Unintentional Unalignment", arXiv:2410.08847; Pal et al. 2024, arXiv:2402.13228)."""
DISPLACED_NATS = 8.0
FAR, VERY_FAR = 0.8, 1.6
"""Nats a token by which answers have become likelier or less likely on average: at 1 each token's
probability has changed by a factor of e. Small models at usual rates stayed below 0.1 when this was
written, at a hundred times the rate they came to 4 and 8."""
FAR_NATS, VERY_FAR_NATS = 150.0, 400.0
"""The same an answer, where lengths were not logged."""
FAR_ROWS, FIRST_ROWS = 5, 5
SATURATED_LOSS, SATURATED_MARGIN = 0.01, 6.0
SATURATED_ROWS, SATURATED_PAIRS, SATURATED_LEFT = 12, 64, 0.25
TURNED_EVALUATIONS, TURNED, LOST_AGAIN = 4, 0.05, 0.3
"""A held-out loss counts as turned when it is 5 % above its best and has given back 30 % of what it
had gained: as margins widen it creeps upwards in good runs too."""
TURNED_NOISE = 0.4
"""Deviation of how one pair's loss changes, so that few held-out pairs say little."""
TURNED_MARGIN = 0.75
TRAINS_ON = 1.1


@dataclass(frozen=True)
class _Chosen:
    """Chosen answers' log-probabilities, nats an answer: the reference's, and their loss now."""

    reference: float
    lost: float
    first_margin: float
    margin: float


def _chosen(s: StageHistory) -> _Chosen | None:
    rows = s.table("logps/chosen", "rewards/chosen", "rewards/margins")
    if len(rows) < 2 * FIRST_ROWS:
        return None
    recent = rows[-window(len(rows)) :]
    return _Chosen(
        reference=abs(median(logp - reward / s.beta for _, logp, reward, _ in rows)),
        lost=-median(row[2] for row in recent) / s.beta,
        first_margin=median(row[3] for row in rows[:FIRST_ROWS]),
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
    evidence = far_evidence(s)
    if not evidence:
        return None
    very = bool(far_evidence(s, VERY_FAR, VERY_FAR_NATS))
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


def far_evidence(s: StageHistory, far: float = FAR, far_nats: float = FAR_NATS) -> str:
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
    if s.rate > limits(s)[1]:
        return None  # thrown there, not trained there
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
