"""What can be counted in answers without a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WINDOW, LETTER_WINDOW = 4, 12
LONGEST_WORDS = 20
"""Characters a word, on average, from which on a text counts as one without spaces."""
LEAST_WORDS, LEAST_LETTERS = 4, 12
"""What a loop must span at least: "ha ha ha" and "....." are none."""
FIRST_LETTER = 0x10000
LOOP = re.compile(r"(.{1,100}?)\1{2,}", re.DOTALL)
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


def repetition(text: str, window: int = WINDOW) -> float:
    """Share of a text that says again what it has said: 0 varied, near 1 a loop.

    The larger one of two shares. The one is that of `window`-word sequences that stood in the
    text before (1 - distinct-n of Li et al. 2016, arXiv:1510.03055, in one answer), over
    characters where a text has hardly any spaces. The other is the share of words, or of
    characters, in loops: a piece that comes three times or more in a row. It finds short loops,
    of which the first share sees too few, and those of one character.
    """
    words = text.lower().split()
    letters = "".join(words)
    if not words:
        return 0.0
    spaced = len(letters) <= LONGEST_WORDS * len(words)
    again = _seen_before(words, window) if spaced else _seen_before(letters, LETTER_WINDOW)
    return max(again, _looping(_as_letters(words), LEAST_WORDS), _looping(letters, LEAST_LETTERS))


def _seen_before(units: Sequence[str], window: int) -> float:
    windows = [tuple(units[at : at + window]) for at in range(len(units) - window + 1)]
    return 1 - len(set(windows)) / len(windows) if windows else 0.0


def _as_letters(words: Sequence[str]) -> str:
    """A text with one character for each word, the same one for the same word."""
    known: dict[str, str] = {}
    return "".join(known.setdefault(word, chr(FIRST_LETTER + len(known))) for word in words)


def _looping(units: str, least: int) -> float:
    """Share of characters in loops of `least` characters or more."""
    covered = 0
    for loop in LOOP.finditer(units):
        end, period = loop.end(), len(loop[1])
        # The limit of an answer's length cuts the last round of a loop.
        while end < len(units) and units[end] == units[end - period]:
            end += 1
        if end - loop.start() >= least:
            covered += end - loop.start()
    return min(1.0, covered / len(units))


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
