"""What the doctor says: findings, and their words for front ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["alarm", "warning", "hint"]
SEVERITIES: tuple[Severity, ...] = ("alarm", "warning", "hint")
"""Worst first."""
HEALTHY = "healthy so far"
HEALTHY_END = "healthy"


@dataclass(frozen=True)
class Symptom:
    """What a rule has seen in the history that it was given.

    Attributes:
        evidence: The numbers, in one sentence.
        explanation: What they mean, in two sentences at most.
        key: The recipe's key to change, without its stage; empty where no setting helps.
        change: Present and proposed value, such as `5e-05 -> 1e-05`; without a key, what to do.
        step: Where it happened; None where the first step at which the rule fires is meant.
        now: Whether it is still so.
        title: Says it better than the rule's own title.
    """

    severity: Severity
    evidence: str
    explanation: str
    key: str
    change: str
    step: int | None = None
    now: bool = True
    title: str = ""


@dataclass(frozen=True)
class Finding:
    """What is wrong with a stage of a run, since when, and what to do.

    Attributes:
        rule: The rule's id.
        title: In a few words.
        step: The first step at which the rule fired.
        evidence: The numbers, in one sentence.
        explanation: What they mean, in two sentences at most.
        key: The recipe's key to change, such as `dpo.learning_rate`; empty where none helps.
        change: Present and proposed value; without a key, what to do.
        now: Whether it is still so; what has passed is kept because it may come again.
    """

    rule: str
    title: str
    severity: Severity
    stage: str
    step: int
    evidence: str
    explanation: str
    key: str
    change: str
    now: bool = True

    @property
    def since(self) -> str:
        """`since step 40`, `at step 40` of what has passed."""
        return f"{'since' if self.now else 'at'} {self.stage} step {self.step}"

    @property
    def advice(self) -> str:
        """`change dpo.learning_rate: 5e-05 -> 1e-05`, or what else to do."""
        return f"change {self.key}: {self.change}" if self.key else self.change


def summary_line(findings: Sequence[Finding], *, ended: bool = False) -> str:
    """One line on a run's health: how many findings, and the worst one.

    Args:
        findings: Worst first.
        ended: The run is over, so that "so far" says nothing.
    """
    told = [finding for finding in findings if finding.severity != "hint"]
    if not told:
        hints = len(findings)
        words = HEALTHY_END if ended else HEALTHY
        return f"{words}, {_counted(hints, 'hint')}" if hints else words
    worst = told[0]
    first = ", the worst" if len(told) > 1 else ""
    return f"{counts(told)}{first}: {worst.title} ({worst.since})"


def counts(findings: Sequence[Finding]) -> str:
    """`1 alarm, 2 warnings`."""
    found = Counter(finding.severity for finding in findings)
    return ", ".join(_counted(found[name], name) for name in SEVERITIES if found[name])


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
