"""What an overlay comes to in sentences: which run is best by what, and where that says little."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from workbench.base.files import is_number
from workbench.run.outcomes import better
from workbench.run.overlay import Member, Overlay

DECIDING = (
    "eval_rewards/accuracies",
    "eval_mean_token_accuracy",
    "eval_loss",
    "rewards/accuracies",
    "loss",
)
"""By which metric runs are judged: the first that two of them have. Margins grow with beta."""
SCALE_KEYS = ("beta", "loss_type", "loss_weights", "label_smoothing", "f_divergence_type")
HELD_OUT_KEYS = ("test rows", "data files", "datasets", "dataset_name", "test_split_size")


def verdict(found: Overlay, stage: str) -> str:
    """Which run is best at its end, by what, and whether chance may have done it; or empty.

    A run with an alarm is best only where all have one.
    """
    may = found.well(stage)
    for metric in DECIDING:
        (line,) = found.lines(stage, metrics=[metric])
        known = {place: value for place, value in enumerate(line.final) if value is not None}
        if len(known) < 2:
            continue
        well = {place: value for place, value in known.items() if place in may} or known
        if len(well) == 1:
            return f"{found.members[next(iter(well))].sign} is best: it alone has no alarm."
        return _best(found, stage, metric, well)
    return ""


def _best(found: Overlay, stage: str, metric: str, known: Mapping[int, float]) -> str:
    values = sorted(known.values(), reverse=better(metric) == "higher")
    value = values[0]
    rest = [one for one in values if one != value]
    if not rest:
        names = "All" if len(known) == len(found.members) else "All without an alarm"
        return f"{names} have the same {metric} at their end, {value:.4g}."
    places = [place for place, one in known.items() if one == value]
    names = " and ".join(found.members[place].sign for place in places)
    verb = "is" if len(places) == 1 else "are"
    text = f"{names} {verb} best by {metric} at the end: {value:.4g}, next {rest[0]:.4g}."
    return text + _chance(found, stage, metric, value, rest[0])


def _chance(found: Overlay, stage: str, metric: str, best: float, other: float) -> str:
    """Whether two shares of so few pairs differ by more than chance does.

    Twice the standard error of the difference of two binomial shares, taken as independent:
    2 * sqrt(p (1 - p) * 2 / n) with their mean p.
    """
    counts = [pairs for member in found.members if (pairs := _pairs(member, stage))]
    if metric != "eval_rewards/accuracies" or not counts:
        return ""
    mean = min(1.0, max(0.0, (best + other) / 2))
    width = 2 * math.sqrt(mean * (1 - mean) * 2 / min(counts))
    if abs(best - other) > width:
        return ""
    return f" With {min(counts)} held-out pairs chance alone makes such a difference."


def _pairs(member: Member, stage: str) -> int:
    result = member.record.results.get(stage)
    held_out = result.get("eval") if isinstance(result, dict) else None
    pairs = held_out.get("pairs") if isinstance(held_out, dict) else None
    return int(pairs) if pairs is not None and is_number(pairs) and pairs > 0 else 0


def cautions(found: Overlay, stage: str) -> Iterator[str]:
    """Alarms, and differences that make metrics of two runs say different things."""
    for one in found.members:
        if (alarm := one.alarm(stage)) is not None:
            yield f"{one.sign} has an alarm, so that it cannot be the best: {alarm.title}."
    keys = [row.key for row in found.differences if row.group == stage]
    scale = [key for key in keys if key in SCALE_KEYS]
    if scale and stage == "dpo":
        yield (
            f"{_differ(scale)}: losses, rewards and margins are on other scales, "
            "accuracies compare."
        )
    data = [key for key in keys if key in HELD_OUT_KEYS]
    if data:
        yield f"{_differ(data)}: eval_ values may be of other rows."
    unknown = [one.sign for one in found.members if one.record.imported]
    if unknown and len(found.members) > 1:
        yield f"nobody can tell which rows the eval_ values of {' and '.join(unknown)} are of."


def _differ(keys: list[str]) -> str:
    one = len(keys) == 1 and not keys[0].endswith("s")
    return f"{' and '.join(keys)} {'differs' if one else 'differ'}"
