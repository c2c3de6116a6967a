"""Which learning rates are usual, and what to propose instead of others."""

from __future__ import annotations

from workbench.recipe.rules.schedule import FULL_RATES, LORA_RATES
from workbench.run.health.stage import StageHistory

PROPOSED = {("sft", True): 2e-4, ("dpo", True): 2e-5, ("sft", False): 2e-5, ("dpo", False): 5e-7}
"""By stage, and with LoRA or without: the middle of what is usual (`recipe/rules/schedule.py`)."""
LEAST_USUAL = {("sft", True): 2e-5, ("dpo", True): 5e-6, ("sft", False): 2e-6, ("dpo", False): 1e-7}
"""Below these, too small steps explain that nothing is learned."""
STEP_DOWN, STEP_UP = 5.0, 5.0


def limits(s: StageHistory) -> tuple[float, float]:
    """Rates below which a model hardly moves, and above which it falls apart."""
    stage = "dpo" if s.preference or s.name == "dpo" else "sft"
    low, high, _ = (LORA_RATES if s.lora else FULL_RATES)[stage]
    return low, high


def least_usual(s: StageHistory) -> float:
    """The lowest rate that usually teaches something."""
    return LEAST_USUAL["dpo" if s.preference or s.name == "dpo" else "sft", s.lora]


def usual(s: StageHistory) -> float:
    """A rate that seldom fails."""
    return PROPOSED["dpo" if s.preference or s.name == "dpo" else "sft", s.lora]


def lower(s: StageHistory) -> float:
    """What to try where the rate is too high."""
    rate = s.rate
    return usual(s) if rate > limits(s)[1] else _round(rate / STEP_DOWN)


def higher(s: StageHistory) -> float:
    """What to try where the rate is too low."""
    return usual(s) if s.rate < usual(s) / STEP_UP else _round(s.rate * STEP_UP)


def _round(rate: float) -> float:
    return float(f"{rate:.1g}")
