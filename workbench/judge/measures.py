"""What can be counted in answers without a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.base.repetition import repetition

LOOPS = 0.5
REFUSALS = (
    r"(i'm |i am )?(very |so |really )?(sorry|afraid)[,.]? (but |that )?"
    r"(i|we) (can't|cannot|can not|won't|will not|am unable|am not able|'m unable|'m not able)",
    r"(unfortunately, )?(i|we) (can't|cannot|can not|won't|will not) (help|assist|provide|answer"
    r"|do that|comply|discuss|give|create|write|support|fulfil|engage|share|continue|offer)",
    r"(unfortunately, )?(i'm|i am|we're|we are) (unable|not able|not allowed|not permitted) to",
    r"as an? (ai|artificial|language model|large language)",
    r"(sorry, )?(but )?i must (decline|refuse)",
    r"i('d| would) rather not",
    r"i (don't|do not) feel comfortable",
    r"(sorry|apologies), (but )?(that|this) (is|isn't|is not) (something|a topic)",
    r"(i apologi[sz]e|my apologies),? but (i|we) (can't|cannot|am|'m|won't)",
)
"""How refusals begin, in English; others are not found, and a few that help are."""
REFUSAL = re.compile("(?:" + "|".join(REFUSALS) + ")", re.IGNORECASE)


@dataclass(frozen=True)
class AnswerMeasures:
    """Means over the answers of one side; `words` and `tokens` a piece, `repetition` 0 to 1."""

    answers: int
    words: float
    tokens: float
    repetition: float


def refuses(text: str) -> bool:
    """Whether an answer begins like a refusal: a heuristic, by the phrases in `REFUSALS`."""
    return REFUSAL.match(text.strip().replace("\u2019", "'")) is not None


def behaviour(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What one side's answers are like: counts, and one value an answer.

    Args:
        answers: Each with `text`, and `finish` where it is known.

    Returns:
        `no_eos` (cut by the length limit), `empty`, `refused` and `loops` (more than half of it
        repeats) as counts; `repetition` and `words` of each answer.
    """
    texts = [str(answer.get("text") or "") for answer in answers]
    shares = [repetition(text) for text in texts]
    return {
        "no_eos": sum(answer.get("finish") == "length" for answer in answers),
        "empty": sum(not text.strip() for text in texts),
        "refused": sum(refuses(text) for text in texts),
        "loops": sum(one > LOOPS for one in shares),
        "repetition": shares,
        "words": [len(text.split()) for text in texts],
    }


def measure(comparisons: Iterable[Mapping[str, Any]], side: str) -> AnswerMeasures:
    """Measure one side's answers in comparisons as `save_comparison` keeps them."""
    answers = [c["answers"][side] for c in comparisons if side in c["answers"]]
    texts = [str(answer.get("text") or "") for answer in answers]
    count = max(1, len(answers))
    return AnswerMeasures(
        answers=len(answers),
        words=sum(len(text.split()) for text in texts) / count,
        tokens=sum(answer.get("tokens") or 0 for answer in answers) / count,
        repetition=sum(repetition(text) for text in texts) / count,
    )
