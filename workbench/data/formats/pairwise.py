"""Two answers a row, and a label, votes or scores that tell which is better."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from workbench.data.formats.assemble import answer_pair
from workbench.data.formats.columns import Sample, plain
from workbench.data.formats.model import TrlRow, UnusableRowError
from workbench.data.formats.names import ANSWER_WORDS, LABEL, RANKS, SCORE_WORDS, TIES
from workbench.data.formats.shape import Reading, Row, Shape

_TWINS = (("1", "2"), ("a", "b"), ("0", "1"), ("first", "second"), ("left", "right"))
_PARTS = re.compile(r"[^\W\d_]+|\d+")
_VOTER = re.compile(r"(annotator|vote|voter|rater|judge|labeler|labeller|annotation)s?_?\w*")
_FIRST = {"a", "first", "left"}
_SECOND = {"b", "second", "right"}
FROM_0, FROM_1, SIGNED = "from 0", "from 1", "signed"


def twins(sample: Sample, words: Iterable[str], kinds: str) -> Iterator[tuple[str, str]]:
    """Columns whose names differ in one mark alone: output_1 and output_2."""
    named = {tuple(_PARTS.findall(plain(name))): name for name in reversed(sample.columns)}
    wanted, allowed = set(words), set(kinds.split())
    for first_mark, second_mark in _TWINS:
        for parts, column in named.items():
            if first_mark not in parts or wanted.isdisjoint(parts):
                continue
            at = len(parts) - 1 - parts[::-1].index(first_mark)
            partner = named.get((*parts[:at], second_mark, *parts[at + 1 :]), "")
            if partner and {sample.kind(column), sample.kind(partner)} <= allowed:
                yield column, partner


def two_answers(sample: Sample) -> tuple[str, str]:
    """The columns of two answers; empty where there are none."""
    first, second = sample.wished.get("first", ""), sample.wished.get("second", "")
    if first and second:
        return first, second
    found = list(twins(sample, ANSWER_WORDS, "text list object"))
    if len(found) > 1:  # conversations beside the models' names
        found.sort(key=lambda pair: -sum(len(str(value)) for value in sample.values(pair[0])))
    return found[0] if found else ("", "")


def number(value: Any) -> float | None:
    """A number, also one that is written as a text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def numeric(sample: Sample, column: str) -> bool:
    """Whether a column holds numbers, perhaps written as texts."""
    values = sample.values(column)
    return bool(values) and all(number(value) is not None for value in values)


def _base(sample: Sample, reading: dict[str, str]) -> tuple[str, float, tuple[str, ...]]:
    """How numbers in a label mean the first or the second answer, how sure it is, and why."""
    label = reading["label"]
    seen = {number(value) for value in sample.values(label)} - {None}
    if not seen or sample.kind(label) == "empty":
        return "", 1.0, ()
    if any(value is not None and value < 0 for value in seen):
        return SIGNED, 0.9, (f"{label} below 0 is read as: {reading['first']} is better.",)
    if (seen <= {1, 2} and 2 in seen) or 2 in seen:
        return FROM_1, 1.0, ()
    if re.search(r"0(\D|$)", plain(reading["first"])):
        return FROM_0, 1.0, ()
    counted = bool(re.search(r"1(\D|$)", plain(reading["first"])))
    if counted and seen == {1}:
        return FROM_1, 0.9, ()
    swap = f"columns: {{first: {reading['second']}, second: {reading['first']}}}"
    said = f"{label} 0 is read as: {reading['first']} is better. Else write `{swap}`."
    return FROM_0, 0.6, (said,)


def _found(sample: Sample) -> tuple[dict[str, str], tuple[str, ...]] | None:
    first, second = two_answers(sample)
    if not first:
        return None
    columns, notes = sample.asked(first, second)
    return columns | {"first": first, "second": second}, notes


def find_label(sample: Sample) -> Reading | None:
    """Two answers, and a column that names the better one."""
    found = _found(sample)
    if found is None:
        return None
    columns, notes = found
    taken = set(columns.values())
    names = [name for name in LABEL if sample.named(name, "text number") not in taken]
    label = sample.role("label", names, "text number")
    if not label or label in taken or ("prompt" not in columns and not _whole(sample, columns)):
        return None
    columns["label"] = label
    base, certainty, said = _base(sample, columns)
    others = [name for name in names if sample.named(name, "text number") not in ("", label)]
    if others and "label" not in sample.wished:
        said = (*said, f"{others[0]} may be meant too: `columns: {{label: {others[0]}}}`.")
        certainty *= 0.8
    options = {"labels": base} if base else {}
    return Reading(columns, options, notes=(*notes, *said), certainty=certainty)


def _whole(sample: Sample, columns: dict[str, str]) -> bool:
    """Whether the answers hold the prompt: lists of messages."""
    return sample.kind(columns["first"]) == "list"


def find_arena(sample: Sample) -> Reading | None:
    """Two whole conversations and a winner."""
    found = find_label(sample)
    if found is None or "conversation" not in plain(found.columns["first"]):
        return None
    return found


def find_shp(sample: Sample) -> Reading | None:
    """SHP's columns; its label is 1 where A is liked more."""
    names = ("history", "human_ref_a", "human_ref_b", "labels")
    found = [sample.named(name, "text number") for name in names]
    if not all(found):
        return None
    columns = dict(zip(("prompt", "second", "first", "label"), found, strict=True))
    return Reading(columns | sample.wished, {"labels": FROM_0})


def find_votes(sample: Sample) -> Reading | None:
    """Two answers, and a column for each person who voted."""
    found = _found(sample)
    if found is None or "prompt" not in found[0]:
        return None
    columns, notes = found
    voters = [
        name for name in sample.columns if _VOTER.fullmatch(plain(name)) and numeric(sample, name)
    ]
    if len(voters) < 2:
        return None
    if not all(number(value) in (0, 1, 2) for name in voters for value in sample.values(name)):
        return None
    columns |= {f"vote_{at}": name for at, name in enumerate(voters, start=1)}
    return Reading(columns, notes=(*notes, "A row without a majority gives no pair."))


def find_scores(sample: Sample) -> Reading | None:
    """Two answers with a score each."""
    found = _found(sample)
    if found is None or "prompt" not in found[0]:
        return None
    columns, notes = found
    for first, second in twins(sample, SCORE_WORDS, "number text"):
        if numeric(sample, first) and numeric(sample, second):
            scores = {"first_score": first, "second_score": second}
            return Reading(columns | scores, notes=notes)
    return None


def _pair(row: Row, reading: Reading, better: int | None) -> list[TrlRow]:
    if better is None:
        return []
    names = (reading.columns["first"], reading.columns["second"])
    chosen, rejected = names if better == 0 else names[::-1]
    columns = dict(reading.columns) | {"chosen": chosen, "rejected": rejected}
    return [answer_pair(row, columns, row.get(chosen), row.get(rejected))]


def make_label(row: Row, reading: Reading) -> list[TrlRow]:
    """The better answer over the other one; nothing for a tie."""
    label = reading.columns["label"]
    return _pair(row, reading, _better(row.get(label), reading, label))


def _better(value: Any, reading: Reading, label: str) -> int | None:
    """0 for the first answer, 1 for the second, None for a tie."""
    counted = number(value)
    if counted is not None:
        return _better_number(counted, reading.options.get("labels", FROM_1), label)
    if isinstance(value, str):
        said = plain(value)
        names = (reading.columns["first"], reading.columns["second"])
        if said in map(plain, names):
            return 0 if said == plain(names[0]) else 1
        words = set(_PARTS.findall(said))
        if words & set(TIES):
            return None
        marks = (bool(words & _FIRST), bool(words & _SECOND))
        if sum(marks) == 1:
            return 0 if marks[0] else 1
        digits = [word for word in words if word.isdigit()]
        if len(digits) == 1:
            from_0 = re.search(r"0(\D|$)", plain(names[0]))
            return _better_number(float(digits[0]), FROM_0 if from_0 else FROM_1, label)
    raise UnusableRowError(f"{label} does not say which answer is better: {value!r}"[:160])


def _better_number(value: float, base: str, label: str) -> int | None:
    if base == SIGNED:
        return None if value == 0 else int(value > 0)
    known: dict[float, int | None] = (
        {0: 0, 1: 1, 0.5: None} if base == FROM_0 else {1: 0, 2: 1, 0: None, 1.5: None}
    )
    if value not in known:
        raise UnusableRowError(f"{label} is {value:g}, and there are two answers")
    return known[value]


def make_votes(row: Row, reading: Reading) -> list[TrlRow]:
    """The answer that more than half of the voters prefer; nothing where none is."""
    columns = [name for part, name in reading.columns.items() if part.startswith("vote_")]
    votes = [found for name in columns if (found := number(row.get(name))) is not None]
    if not votes:
        raise UnusableRowError("nobody voted")
    for better in (0, 1):
        if votes.count(better + 1) * 2 > len(votes):
            return _pair(row, reading, better)
    return []


def make_scores(row: Row, reading: Reading) -> list[TrlRow]:
    """The answer with the higher score (or the lower rank); nothing for equal ones."""
    names = [reading.columns[f"{place}_score"] for place in ("first", "second")]
    scores = [number(row.get(name)) for name in names]
    if scores[0] is None or scores[1] is None:
        raise UnusableRowError(f"{names[scores.index(None)]} is no number")
    if scores[0] == scores[1]:
        return []
    higher = int(scores[1] > scores[0])
    ranks = not set(RANKS).isdisjoint(plain(names[0]).split("_"))
    return _pair(row, reading, 1 - higher if ranks else higher)


SHAPES = (
    Shape("arena", find_arena, make_label),
    Shape("shp", find_shp, make_label),
    Shape("pairwise_votes", find_votes, make_votes),
    Shape("pairwise_label", find_label, make_label),
    Shape("pairwise_scores", find_scores, make_scores),
)
