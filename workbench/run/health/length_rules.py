"""The rule on rewards for length."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from workbench.run.health.finding import Severity, Symptom
from workbench.run.health.numbers import correlation_z, interval, spearman, without_trend
from workbench.run.health.registry import rule
from workbench.run.health.stage import StageHistory, total, window
from workbench.run.health.words import arrow, num, percent

LONGER_RATIO, LONGER_SHARE, LONGER_ROWS, LONGER_PAIRS = 1.5, 0.85, 10, 40
ALWAYS_RATIO, ALWAYS_SHARE, FOLLOWED = 1.8, 0.95, 0.6
"""Length tells nearly all pairs apart, so that a high accuracy may mean nothing else."""
LENGTH_CORRELATION, LENGTH_Z, LENGTH_ROWS, LENGTH_MOST_ROWS = 0.4, 3.0, 20, 400
LEAN_RATIO, LEAN_SHARE = 1.15, 0.65
GROWN_RATIO, GROWN_TOKENS, GROWN_PROMPTS = 1.5, 20, 3


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
    right, pairs = total(rows[-window(len(rows)) :])
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
