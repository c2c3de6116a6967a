"""How findings write numbers and changes."""

from __future__ import annotations

from typing import Any

from workbench.run.health.stage import StageHistory


def num(value: float) -> str:
    """Three digits that count: 0.693, -131, 5e-05; large counts whole."""
    if abs(value) >= 1000:
        return f"{value:.0f}" if abs(value) < 1e6 else f"{value:.2e}"
    return f"{value:.3g}"


def percent(share: float) -> str:
    """`62 %`."""
    return f"{100 * share:.0f} %"


def setting(value: Any) -> str:
    """A setting's value as a recipe writes it."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(map(setting, value))}]"
    return str(value)


def arrow(s: StageHistory, key: str, proposed: Any) -> str:
    """The present value and the proposed one: `5e-05 -> 1e-05`."""
    present = s.setting(key)
    told = "unknown" if present is None and not s.known else setting(present)
    return f"{told} -> {setting(proposed)}"


def fewer_steps(s: StageHistory, step: int) -> tuple[str, str]:
    """Key and change that end a stage near a step."""
    if s.number("max_steps", -1.0) > 0:
        return "max_steps", arrow(s, "max_steps", max(1, step))
    epochs = s.number("num_train_epochs", 3.0)
    if epochs > 1 and s.max_steps > 0:
        shorter = max(0.5, round(epochs * step / s.max_steps * 2) / 2)
        return "num_train_epochs", arrow(s, "num_train_epochs", shorter)
    return "max_steps", arrow(s, "max_steps", max(1, step))
