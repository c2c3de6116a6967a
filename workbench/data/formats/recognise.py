"""Which shape the rows of a data set have, by its first ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.data.formats.catalogue import LEFT_ALONE, SHAPES, ShapeInfo, shapes
from workbench.data.formats.columns import ROLES, TRL_COLUMNS, Sample
from workbench.data.formats.model import Recognised, Stage, UnusableRowError, Wish
from workbench.data.formats.notes import of_values
from workbench.data.formats.registry import ALL, alike
from workbench.data.formats.shape import Reading
from workbench.data.formats.unfit import (
    FIXED_WORDS,
    nothing_fits,
    unpaired_words,
)

MOST_ROWS = 50
LEAST_SHARE = 0.3
"""A pair shape that fewer of the looked-at rows fit is no guess."""
CONTEST = 0.75
"""A second reading this near to the first one is told, and lowers the confidence."""


@dataclass(frozen=True)
class _Guess:
    info: ShapeInfo
    reading: Reading
    share: float

    @property
    def score(self) -> float:
        return self.info.weight * self.share * self.reading.certainty


def recognise(rows: Sequence[Mapping[str, Any]], wish: Wish | None = None) -> Recognised:
    """The shape of a data set.

    The confidence is the share of the looked-at rows that something can be made of, times how
    distinctive the shape's columns are (`catalogue.ShapeInfo.weight`), less where the values can
    mean something else or a second shape fits nearly as well.

    Args:
        rows: Its first rows; the first 50 are looked at.
        wish: What somebody said of it.

    Raises:
        ProblemError: the wish names a shape or a column that is not there, or there is no row.
    """
    wish = wish or Wish()
    if not rows:
        raise ProblemError(Problem("there is no row to look at", "", "Look at the file."))
    sample = Sample(rows[:MOST_ROWS], _checked_columns(rows[:MOST_ROWS], wish))
    if wish.data_format == LEFT_ALONE:
        return _left_alone(sample)
    if wish.data_format:
        return _asked_for(sample, wish)
    guesses = list(_guesses(sample, wish))
    if not guesses:
        missing, step = _no_row_fits(sample) or nothing_fits(sample)
        return Recognised("", "no known shape", "", 0.0, missing=missing, next_step=step)
    return _told(sample, guesses[0], guesses[1:])


def _guesses(sample: Sample, wish: Wish) -> Iterable[_Guess]:
    """The shapes that fit, the best first."""
    found = []
    for name, shape in ALL.items():
        reading = None if shape.by_name_only else shape.find(sample)
        if reading is None or not wish.columns.keys() <= reading.columns.keys():
            continue
        guess = _Guess(SHAPES[name], reading, _share(sample, name, reading))
        if guess.score > 0 and (guess.info.stage != "dpo" or guess.share >= LEAST_SHARE):
            found.append(guess)
    return sorted(found, key=_rank)


def _rank(guess: _Guess) -> tuple[bool, bool, bool, bool, float, int]:
    """What sorts a better guess before a worse one.

    Answers beat none, two of them beat one, and a pair that somebody chose beats one that scores
    would make. Of two readings for SFT the one wins that TRL itself would take.
    """
    name, stage = guess.info.name, guess.info.stage
    chosen = alike(name, "explicit")
    place = list(SHAPES).index(name)
    mapped = stage == "sft" and not guess.reading.as_is
    return name == "prompts", stage == "sft", not chosen, mapped, -guess.score, place


def _no_row_fits(sample: Sample) -> tuple[str, str] | None:
    """What the columns look like, where none of the rows holds what they promise."""
    for name in SHAPES:
        shape = ALL[name]
        reading = None if shape.by_name_only else shape.find(sample)
        if reading is None or SHAPES[name].stage == "":
            continue
        try:
            shape.make(sample.rows[0], reading)
        except UnusableRowError as error:
            what = f"the columns are those of {SHAPES[name].title}, but no row fits: {error}"
            return what, f"A row needs {SHAPES[name].row}."
    return None


def _share(sample: Sample, name: str, reading: Reading) -> float:
    """Share of the rows that the reading makes something of, a tie included."""
    made = 0
    for row in sample.rows:
        try:
            ALL[name].make(row, reading)
        except UnusableRowError:
            continue
        made += 1
    return made / len(sample.rows)


def _told(sample: Sample, best: _Guess, others: Sequence[_Guess]) -> Recognised:
    rivals = [
        other
        for other in others
        if other.info.stage == best.info.stage
        and not alike(other.info.name, best.info.name)
        and other.score >= CONTEST * best.score
    ]
    notes = tuple(
        f"It could also be {rival.info.title}: write `data_format: {rival.info.name}` for that."
        for rival in rivals[:2]
    )
    confidence = best.score * (0.8 if rivals else 1.0)
    return _result(sample, best.info, best.reading, round(confidence, 4), notes)


def _result(
    sample: Sample,
    info: ShapeInfo,
    reading: Reading,
    confidence: float,
    notes: tuple[str, ...] = (),
) -> Recognised:
    missing = step = ""
    if info.name == "unpaired":
        missing, step = unpaired_words(sample, reading)
    elif info.name in FIXED_WORDS:
        missing, step = FIXED_WORDS[info.name]
    return Recognised(
        info.name,
        info.title,
        info.stage,
        confidence,
        as_is=reading.as_is,
        columns=reading.columns,
        options=reading.options,
        notes=(*reading.notes, *notes, *of_values(sample, reading)),
        missing=missing,
        next_step=step,
    )


def _asked_for(sample: Sample, wish: Wish) -> Recognised:
    """The shape that somebody named.

    Raises:
        ProblemError: there is none of that name, or the columns are not there.
    """
    name = wish.data_format
    if name not in shapes():
        what = f"data_format {name!r} is not known"
        raise ProblemError(Problem(what, "data_format", nearest(name, shapes())))
    reading = ALL[name].find(sample)
    if reading is None:
        what = f"the data are not of the shape {name}: they have {', '.join(sample.columns)}"
        raise ProblemError(Problem(what, "data_format", f"It needs {SHAPES[name].row}."))
    unread = wish.columns.keys() - reading.columns.keys()
    if unread:
        what = f"the shape {name} has no {' and no '.join(sorted(unread))}"
        raise ProblemError(Problem(what, "columns", f"It has {', '.join(reading.columns)}."))
    if name == "hh_rlhf":
        reading = replace(reading, as_is=False, options={}, notes=())
    return _result(sample, SHAPES[name], reading, 1.0)


def _left_alone(sample: Sample) -> Recognised:
    """TRL's own columns, whatever they hold.

    Raises:
        ProblemError: there are none.
    """
    columns = {name: name for name in TRL_COLUMNS if name in sample.columns}
    stage: Stage = "dpo" if {"chosen", "rejected"} <= columns.keys() else "sft"
    if not columns or (stage == "sft" and set(columns) <= {"prompt", "chosen", "rejected"}):
        what = f"the data have no columns that TRL trains on: {', '.join(sample.columns)}"
        raise ProblemError(Problem(what, "data_format", "Leave data_format out."))
    title = shapes()[LEFT_ALONE]
    return Recognised(LEFT_ALONE, title, stage, 1.0, as_is=True, columns=columns)


def _checked_columns(rows: Sequence[Mapping[str, Any]], wish: Wish) -> dict[str, str]:
    """The wished columns, all of which are there.

    Raises:
        ProblemError: one is not, or nothing is called so.
    """
    present = list(dict.fromkeys(str(name) for row in rows for name in row))
    for role, column in wish.columns.items():
        if role not in ROLES:
            what = f"columns: {role!r} is no part of a row"
            raise ProblemError(Problem(what, "columns", nearest(role, ROLES)))
        if column not in present:
            what = f"the data have no column {column!r}"
            raise ProblemError(Problem(what, "columns", nearest(column, present)))
    return dict(wish.columns)


def nearest(name: str, known: Iterable[str]) -> str:
    """The names that are most like one that is not known, as advice."""
    names = list(known)
    lowered = {str(one).lower(): one for one in names}
    close = difflib.get_close_matches(str(name).lower(), lowered, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(str(lowered[one]) for one in close)}?"
    return f"There are: {', '.join(map(str, names))}."
