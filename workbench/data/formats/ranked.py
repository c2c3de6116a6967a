"""Several answers to one prompt, each with a rank, a score or a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workbench.data.formats.assemble import asked, pair_row, refuse_pictures
from workbench.data.formats.columns import Sample, kept, plain
from workbench.data.formats.messages import Message, is_message, to_messages
from workbench.data.formats.model import Pairing, TrlRow, UnusableRowError
from workbench.data.formats.names import (
    ANSWER_LISTS,
    ANSWER_TEXT,
    ORDERED,
    RANKS,
    RATINGS,
    SCORES,
    VERDICTS,
)
from workbench.data.formats.pairwise import number
from workbench.data.formats.shape import Reading, Row, Shape

MOST_ANSWERS = 100


def pairs_of(
    answers: Sequence[tuple[list[Message], float]], how: Pairing
) -> list[tuple[list[Message], list[Message]]]:
    """Pairs of answers, the better one first; equal scores give none.

    Args:
        answers: Each with its score, higher is better.
        how: Every two; each with the next lower one; or the best with the worst.
    """
    ordered = sorted(answers, key=lambda answer: -answer[1])
    last = len(ordered) - 1
    if how == "best_worst":
        chosen = [(0, last)] if last > 0 else []
    elif how == "adjacent":
        chosen = [(at, at + 1) for at in range(last)]
    else:
        if len(ordered) > MOST_ANSWERS:
            what = f"{len(ordered)} answers would give too many pairs of every two"
            raise UnusableRowError(f"{what}; ask for adjacent or best_worst pairs")
        chosen = [(at, other) for at in range(last) for other in range(at + 1, last + 1)]
    return [
        (ordered[at][0], ordered[other][0])
        for at, other in chosen
        if ordered[at][1] > ordered[other][1]
    ]


def rated_rows(
    row: Row, reading: Reading, answers: Sequence[tuple[list[Message], float]]
) -> list[TrlRow]:
    """The pairs of a row with what it asks before them."""
    refuse_pictures(row)
    before = asked(row, reading.columns)
    rest = kept(row, tools=reading.columns.get("tools", ""))
    return [
        pair_row(list(before), list(chosen), list(rejected), rest)
        for chosen, rejected in pairs_of(answers, reading.pairs)
    ]


def _own(answer: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first of the names that an answer has a value for."""
    by_name = {plain(key): key for key in answer}
    found = (by_name[name] for name in names if name in by_name)
    return next((key for key in found if answer[key] is not None), "")


def scored(answer: Any) -> tuple[list[Message], float] | None:
    """An answer with its score, higher is better; None where it has none."""
    if not isinstance(answer, Mapping):
        return None
    verdict = _own(answer, VERDICTS)
    score: float | None
    if verdict and isinstance(answer[verdict], bool):
        score = float(answer[verdict])
    else:
        key = _own(answer, SCORES)
        score = number(answer[key]) if key else None
        if score is not None and plain(key) in RANKS:
            score = -score
    if score is None:
        return None
    text = _own(answer, ANSWER_TEXT)
    value = answer if is_message(answer) else answer.get(text)
    return to_messages(value, "an answer"), score


def _holds_scores(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    if not all(isinstance(answer, Mapping) and _own(answer, ANSWER_TEXT) for answer in value):
        return False
    return any(_own(answer, (*SCORES, *VERDICTS)) for answer in value)


def find_ranked(sample: Sample) -> Reading | None:
    """A list of answers with a score in each."""
    column = sample.role("answers", ANSWER_LISTS, "list")
    if not column or not any(_holds_scores(value) for value in sample.values(column)):
        return _answer_columns(sample, _rated)
    columns, notes = sample.asked(column)
    if "prompt" not in columns:
        return None
    return Reading(columns | {"answers": column}, notes=notes)


def make_ranked(row: Row, reading: Reading) -> list[TrlRow]:
    """Pairs of the answers that have a score."""
    answers = _list(row, reading) if "answers" in reading.columns else _cells(row, reading)
    return rated_rows(row, reading, [found for one in answers if (found := scored(one))])


def _cells(row: Row, reading: Reading) -> list[Any]:
    """The answers that stand in a column each."""
    return [row.get(name) for part, name in reading.columns.items() if part.startswith("answer_")]


def _list(row: Row, reading: Reading) -> list[Any]:
    column = reading.columns["answers"]
    value = row.get(column)
    if not isinstance(value, list) or not value:
        raise UnusableRowError(f"{column} is no list of answers")
    return value


def find_rated(sample: Sample) -> Reading | None:
    """A list of answers beside a list of ratings."""
    column = sample.role("answers", ANSWER_LISTS, "list")
    ratings = sample.role("ratings", RATINGS, "list")
    if not column or not ratings:
        return None
    columns, notes = sample.asked(column, ratings)
    if "prompt" not in columns:
        return None
    return Reading(columns | {"answers": column, "ratings": ratings}, notes=notes)


def make_rated(row: Row, reading: Reading) -> list[TrlRow]:
    """Pairs of the answers that have a rating; of ranks, the lower is better."""
    answers, column = _list(row, reading), reading.columns["ratings"]
    ratings = row.get(column)
    if not isinstance(ratings, list) or len(ratings) != len(answers):
        raise UnusableRowError(f"{column} does not hold one number for each answer")
    sign = -1 if plain(column) in RANKS else 1
    found = [
        (to_messages(answer, "an answer"), sign * score)
        for answer, rating in zip(answers, ratings, strict=True)
        if (score := number(rating)) is not None and answer
    ]
    return rated_rows(row, reading, found)


def find_ordered(sample: Sample) -> Reading | None:
    """A list of answers, the best first."""
    column = sample.role("answers", ORDERED, "list")
    if not column and sample.named("instruction") and _two_texts(sample, "output"):
        column = sample.named("output")  # how Alpaca rankings were written once
    columns, notes = sample.asked(column)
    if not column or "prompt" not in columns:
        return None
    return Reading(columns | {"answers": column}, notes=(*notes, "The first answer is the best."))


def _two_texts(sample: Sample, name: str) -> bool:
    values = [v for v in sample.values(sample.named(name, "list")) if isinstance(v, list)]
    two = [value for value in values if len(value) == 2 and all(isinstance(v, str) for v in value)]
    return bool(two) and len(two) == len(values)


def make_ordered(row: Row, reading: Reading) -> list[TrlRow]:
    """Pairs by the place in the list."""
    answers = [to_messages(answer, "an answer") for answer in _list(row, reading)]
    return rated_rows(row, reading, [(answer, -at) for at, answer in enumerate(answers)])


def _answer_columns(sample: Sample, fits: Callable[[Mapping[str, Any]], bool]) -> Reading | None:
    """Columns that hold an answer each, as objects that fit."""
    found = [
        name
        for name in sample.columns
        if sample.kind(name) == "object"
        and all(isinstance(value, dict) and fits(value) for value in sample.values(name))
    ]
    columns, notes = sample.asked(*found)
    if len(found) < 2 or "prompt" not in columns:
        return None
    numbered = {f"answer_{at}": name for at, name in enumerate(found, start=1)}
    return Reading(columns | numbered, notes=notes)


def find_solutions(sample: Sample) -> Reading | None:
    """Columns that hold a solution each, and whether it is correct."""
    return _answer_columns(sample, _judged)


def _rated(value: Mapping[str, Any]) -> bool:
    return bool(_own(value, ANSWER_TEXT) and _own(value, SCORES) and not _judged(value))


def _judged(value: Mapping[str, Any]) -> bool:
    verdict = _own(value, VERDICTS)
    return bool(verdict and isinstance(value[verdict], bool) and _own(value, ANSWER_TEXT))


def make_solutions(row: Row, reading: Reading) -> list[TrlRow]:
    """Each correct solution over each wrong one."""
    found = [answer for one in _cells(row, reading) if (answer := scored(one))]
    if not found:
        raise UnusableRowError("there is no solution that is marked as correct or wrong")
    return rated_rows(row, reading, found)


SHAPES = (
    Shape("rated_generations", find_rated, make_rated),
    Shape("ranked_answers", find_ranked, make_ranked),
    Shape("ordered_answers", find_ordered, make_ordered),
    Shape("checked_solutions", find_solutions, make_solutions),
)
