"""Measured values as scores and reports write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.base.files import is_number
from workbench.judge.statistics import wilson

MISSING = "-"


def number(value: Any, digits: int = 3) -> str:
    """A measured value with so many digits that count; a dash for none."""
    if not is_number(value):
        return MISSING
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def percent(share: Any) -> str:
    """`62 %`; a dash for none."""
    return f"{100 * share:.0f} %" if is_number(share) else MISSING


def estimate(found: Any, *, share: bool = False, narrow: bool = False) -> str:
    """`0.736 (0.6 to 0.87)`: a value and its 95 % interval; a dash for none.

    Args:
        found: `value`, `low`, `high` and, of a share, the number of rows `n`.
        share: The value is one, and is shown as a percentage.
        narrow: For columns: `0.736 [0.6, 0.87]`.
    """
    if not isinstance(found, Mapping) or not is_number(found.get("value")):
        return MISSING
    show = percent if share else number
    low, high = _interval(found) if share else (found.get("low"), found.get("high"))
    if not is_number(low) or not is_number(high):
        return f"{show(found['value'])} (no interval)"
    form = "{} [{}, {}]" if narrow else "{} ({} to {})"
    return form.format(show(found["value"]), show(low), show(high))


def _interval(found: Mapping[str, Any]) -> tuple[Any, Any]:
    """The interval of a share; Wilson's where resampling has given it no width.

    Resampling rows that are all right, or all wrong, tells nothing about others.
    """
    value, low, high, n = (found.get(name) for name in ("value", "low", "high", "n"))
    if low == high and isinstance(n, int) and n > 0 and 0 <= float(value or 0) <= 1:
        return wilson(float(value or 0) * n, n)
    return low, high
