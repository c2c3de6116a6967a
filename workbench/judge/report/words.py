"""Times and sizes as a report writes them, and its verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.base.files import is_number
from workbench.judge.figures import MISSING, estimate, number, percent
from workbench.judge.statistics import wilson
from workbench.judge.vote_results import PairResult
from workbench.judge.vote_results import headline as vote_headline
from workbench.judge.vote_results import verdict as vote_verdict


def duration(seconds: Any) -> str:
    """42 s, 4 min 12 s, 3 h 4 min; a dash for none."""
    if not is_number(seconds) or seconds < 0:
        return MISSING
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minute} min"
    return f"{minute} min {second} s" if minute else f"{second} s"


def size(byte_count: Any) -> str:
    """Bytes in the nearest unit, powers of ten; a dash for none."""
    if not is_number(byte_count) or byte_count <= 0:
        return MISSING
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if byte_count >= unit:
            return f"{byte_count / unit:.3g} {name}"
    return f"{byte_count} bytes"


def moment(seconds: Any) -> str:
    """A Unix time, in UTC, so that it is the same for every reader; a dash for none."""
    if not is_number(seconds) or seconds <= 0:
        return MISSING
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    except (OverflowError, OSError, ValueError):
        return MISSING


def inner(found: Any, *keys: str) -> Any:
    """A value within nested mappings; None where one of them is missing."""
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def verdict(
    score: Mapping[str, Any] | None,
    trained: Mapping[str, Any] | None,
    votes: Sequence[PairResult],
) -> tuple[str, str]:
    """What held-out pairs say, and what people say; never a claim without its interval.

    Args:
        score: The summary of a score.
        trained: What the last stage measured at its end; used where nobody has scored the run.
        votes: By pair of sides.
    """
    return _held_out(score, trained), _voted(votes)


def _held_out(score: Mapping[str, Any] | None, trained: Mapping[str, Any] | None) -> str:
    if score is not None:
        sides = score.get("sides")
        second = str(sides[-1]) if isinstance(sides, list) and sides else "tuned"
        found = inner(score, "rewards", second) or {}
        accuracy, margin = inner(found, "accuracy"), inner(found, "margin")
        if is_number(inner(accuracy, "value")):
            return (
                f"On {number(inner(accuracy, 'n'))} held-out pairs {second} rates the chosen "
                f"answer above the rejected one in {estimate(accuracy, share=True)} of them, with "
                f"a mean margin of {estimate(margin)} (95 % intervals)."
            )
    accuracy = inner(trained, "eval_rewards/accuracies")
    pairs = inner(trained, "pairs")
    if is_number(accuracy) and is_number(pairs) and pairs > 0:
        low, high = wilson(float(accuracy) * float(pairs), int(pairs))
        margin = number(inner(trained, "eval_rewards/margins"))
        return (
            f"On {pairs:.0f} held-out pairs the trained model rates the chosen answer above the "
            f"rejected one in {percent(accuracy)} of them (95 % interval {percent(low)} to "
            f"{percent(high)}); the mean margin is {margin}, for which only a score gives an "
            "interval."
        )
    return "No held-out pairs were measured, so whether preferences were learnt is not known."


def _voted(votes: Sequence[PairResult]) -> str:
    if not votes:
        return (
            "Nobody has voted on its answers yet, so whether people prefer them to the base "
            "model's is not known."
        )
    newest = max(votes, key=lambda found: found.tally.votes)
    return f"{vote_headline(newest).rstrip('.')}; {_lower(vote_verdict(newest))}"


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
