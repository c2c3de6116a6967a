"""The table that the rules enter themselves into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workbench.run.health.finding import Symptom
from workbench.run.health.stage import StageHistory

Look = Callable[[StageHistory], Symptom | None]


@dataclass(frozen=True)
class Rule:
    """A rule on a stage's metrics.

    Attributes:
        id: For programs.
        title: What is wrong, in a few words.
        look: Says what it sees in the history that it is given; knows nothing else.
        preference: For stages that train on pairs; None for all stages.
    """

    id: str
    title: str
    look: Look
    preference: bool | None


RULES: dict[str, Rule] = {}
"""By id; `examine.ORDER` says which finding comes first."""


def rule(title: str, *, preference: bool | None = None) -> Callable[[Look], Look]:
    """Enter a function into the table, its name is the rule's id."""

    def enter(look: Look) -> Look:
        RULES[look.__name__] = Rule(look.__name__, title, look, preference)
        return look

    return enter
