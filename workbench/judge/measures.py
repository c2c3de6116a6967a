"""What can be counted in answers without a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

WINDOW = 4


@dataclass(frozen=True)
class AnswerMeasures:
    """Means over the answers of one side; `words` and `tokens` a piece, `repetition` 0 to 1."""

    answers: int
    words: float
    tokens: float
    repetition: float


def repetition(text: str, window: int = WINDOW) -> float:
    """Share of `window`-word sequences that stood in the text before: 0 varied, near 1 a loop.

    This is 1 - distinct-n of Li et al. 2016 (arXiv:1510.03055), over words, in one answer.
    """
    words = text.lower().split()
    windows = [tuple(words[at : at + window]) for at in range(len(words) - window + 1)]
    return 1 - len(set(windows)) / len(windows) if windows else 0.0


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
