"""What several processes measure of themselves, and what one log record says of all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median

FIGURES = (
    *("tokens_per_second", "samples_per_second", "seconds", "compute_seconds"),
    *("exposed_share", "communication_share"),
)
"""Of a process between two log records, evaluations and saves left out: `seconds` of training,
`compute_seconds` in which it did not stand still for others, `exposed_share` of the time in which
it did, `communication_share` with what went on behind the backward pass (the span from the first
gradients that left to the last that came, at most). The last three only where they are measured."""
PREFIX = "ranks/"


def slowest(compute_seconds: Sequence[float]) -> tuple[int, float]:
    """The process that computed longest, and by which share longer than the median of the others.

    Args:
        compute_seconds: Of the same steps, by rank; two at least.
    """
    rank = max(range(len(compute_seconds)), key=compute_seconds.__getitem__)
    others = [spent for other, spent in enumerate(compute_seconds) if other != rank]
    usual = median(others)
    return rank, compute_seconds[rank] / usual - 1 if usual > 0 else 0.0


def rank_metrics(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The metrics of a log record; empty where communication is not measured.

    `ranks/exposed_share` and `ranks/communication_share` are means. `ranks/waiting_share` is the
    part of the former that only waits for the slowest process, at least: where another one is the
    slowest in each step, this reads too low. `ranks/slowest` is its number, `ranks/slowest_lag` by
    which share it computes longer than the others.

    Args:
        figures: Of each process in their order, by the names of `FIGURES`.
    """
    if len(figures) < 2 or any(math.isnan(one.get("exposed_share", math.nan)) for one in figures):
        return {}
    computed = [one["compute_seconds"] for one in figures]
    rank, lag = slowest(computed)
    waited = fmean(
        min(one["exposed_share"], (computed[rank] - one["compute_seconds"]) / one["seconds"])
        for one in figures
    )
    values = {
        "communication_share": fmean(one["communication_share"] for one in figures),
        "exposed_share": fmean(one["exposed_share"] for one in figures),
        "waiting_share": waited,
        "slowest": float(rank),
        "slowest_lag": lag,
    }
    return {PREFIX + name: round(value, 6) for name, value in values.items()}
