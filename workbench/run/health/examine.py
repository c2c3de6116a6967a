"""Looks at a history with all rules; pure, so that the same history gives the same findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Imported for what they enter into the table.
from workbench.run.health import (  # noqa: F401
    answer_rules,
    distance_rules,
    label_rules,
    length_rules,
    machine_rules,
    pair_rules,
    rank_rules,
    rate_rules,
)
from workbench.run.health.finding import SEVERITIES, Finding, Symptom
from workbench.run.health.registry import RULES, Rule
from workbench.run.health.stage import StageHistory

COARSE_LOOKS = 16
ORDER = (
    *("non_finite", "stalled", "identical_pairs", "no_gradient", "rate_too_high"),
    *("gradient_explosion", "worse_than_chance", "random_labels", "learned_by_heart"),
    *("length_hacking", "likelihood_displacement", "kl_runaway", "degeneration"),
    *("over_optimisation", "saturation", "rate_too_low", "sft_flat", "slow_data"),
    *("straggler", "communication"),
    *("memory_creep", "tiny_batches", "no_held_out"),
)
"""Causes before what follows from them."""

FirstSteps = Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class RunHistory:
    """All that the rules look at: each stage that has logged something, in their order."""

    stages: tuple[StageHistory, ...]


def examine(history: RunHistory, known: FirstSteps | None = None) -> tuple[Finding, ...]:
    """Everything that the rules find, worst first, causes before what follows from them.

    Args:
        known: By stage and rule, the first step at which it fired, from an examination of the
            same run; saves looking for it.
    """
    found = [
        finding
        for stage in history.stages
        for rule in RULES.values()
        if (finding := _apply(rule, stage, known or {})) is not None
    ]
    newest = {stage.name: place for place, stage in enumerate(history.stages)}
    return tuple(
        sorted(
            found,
            key=lambda one: (
                SEVERITIES.index(one.severity),
                -newest[one.stage],
                ORDER.index(one.rule),
            ),
        )
    )


def _apply(rule: Rule, stage: StageHistory, known: FirstSteps) -> Finding | None:
    if rule.preference is not None and rule.preference != stage.preference:
        return None
    symptom = rule.look(stage)
    if symptom is None:
        return None
    step = symptom.step
    if step is None:
        step = known.get((stage.name, rule.id), -1)
        if not 0 <= step <= stage.step:
            step = first_step(rule, stage)
    return _finding(rule, stage, symptom, step)


def _finding(rule: Rule, stage: StageHistory, symptom: Symptom, step: int) -> Finding:
    return Finding(
        rule=rule.id,
        title=symptom.title or rule.title,
        severity=symptom.severity,
        stage=stage.name,
        step=step,
        evidence=symptom.evidence,
        explanation=symptom.explanation,
        key=f"{stage.name}.{symptom.key}" if symptom.key else "",
        change=symptom.change,
        now=symptom.now,
    )


def first_step(rule: Rule, stage: StageHistory) -> int:
    """The first logged step up to which the rule fires; it fires on the whole stage.

    Looks at `COARSE_LOOKS` beginnings of the stage, then halves the stretch before the first one
    that fires. A spell that is shorter than such a stretch may be overlooked.
    """
    steps = sorted({step for points in stage.curves.values() for step, _ in points})
    steps = [step for step in steps if stage.last is None or step <= stage.last]
    if not steps:
        return stage.step
    fires = len(steps) - 1
    silent = -1
    for look in range(1, COARSE_LOOKS):
        place = len(steps) * look // COARSE_LOOKS
        if silent < place < fires:
            if rule.look(stage.until(steps[place])) is not None:
                fires = place
                break
            silent = place
    while fires - silent > 1:
        middle = (silent + fires) // 2
        if rule.look(stage.until(steps[middle])) is not None:
            fires = middle
        else:
            silent = middle
    return steps[fires]
