"""Rules on what the model wrote at its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from workbench.run.health.finding import Symptom
from workbench.run.health.rates import lower
from workbench.run.health.registry import rule
from workbench.run.health.stage import Answer, StageHistory
from workbench.run.health.words import arrow, num

ASKED = 3
LOOPING, MORE_LOOPING = 0.3, 0.2
VERY_LOOPING = 0.5
"""Mean repetition; ordinary text stays below a tenth, though small models loop by themselves."""
ENDLESS, MORE_ENDLESS = 0.8, 0.4


@rule("answers fall apart")
def degeneration(s: StageHistory) -> Symptom | None:
    """Answers at the newest checkpoint loop, or do not end, and did not so before the stage."""
    before = [answer for answer in s.answers if answer.step < 0]
    asked = [answer for answer in s.answers if answer.step >= 0]
    last = max((answer.step for answer in asked), default=0)
    newest = [answer for answer in asked if answer.step == last]
    if len(newest) < ASKED:
        return None
    loops, old_loops = _repetition(newest), _repetition(before)
    if loops >= LOOPING and loops >= old_loops + MORE_LOOPING:
        return Symptom(
            "alarm" if loops >= VERY_LOOPING else "warning",
            f"At step {last} a mean {num(100 * loops)} % of each answer to the probe prompts "
            f"repeats itself, {num(100 * old_loops)} % before the stage.",
            "The model runs in circles: it has been pushed too far from text that it knew. An "
            "earlier checkpoint may still be whole.",
            "learning_rate",
            arrow(s, "learning_rate", lower(s)),
            title="answers loop",
        )
    cut, old_cut = _cut(newest), _cut(before)
    if before and cut >= ENDLESS and cut >= old_cut + MORE_ENDLESS:
        return Symptom(
            "warning",
            f"At step {last} {round(cut * len(newest))} of {len(newest)} answers to the probe "
            f"prompts have no end of their own, {round(old_cut * len(before))} of {len(before)} "
            "before the stage.",
            "The model has forgotten to end its answers. Training rows that are cut at max_length "
            "teach that, and so do rows without an end token.",
            "max_length",
            arrow(s, "max_length", 2 * max(1, int(s.number("max_length", 512.0)))),
            title="answers do not end",
        )
    return None


def _repetition(answers: Sequence[Answer]) -> float:
    return fmean(answer.repetition for answer in answers) if answers else 0.0


def _cut(answers: Sequence[Answer]) -> float:
    return fmean(answer.cut for answer in answers) if answers else 0.0
