"""Transcripts of HH-RLHF: texts with a marker before each turn."""

from __future__ import annotations

import re

from workbench.data.formats.assemble import pair_row
from workbench.data.formats.columns import Sample, kept
from workbench.data.formats.messages import Message
from workbench.data.formats.model import TrlRow, UnusableRowError
from workbench.data.formats.shape import Reading, Row, Shape
from workbench.data.formats.texts import splits_word
from workbench.data.formats.trl_pairs import IMPLICIT, left_alone

# The marker with the blank behind it belongs to the format; the rest of a turn is its text.
_TURN = re.compile(r"(?:\A|\n\n)(Human|Assistant): ?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def is_transcript(value: object) -> bool:
    """Whether a text holds turns of Human and Assistant."""
    if not isinstance(value, str):
        return False
    first = _TURN.match(value)
    return first is not None and first[1] == "Human" and "\n\nAssistant:" in value


def find(sample: Sample) -> Reading | None:
    """Two transcripts a row; TRL reads them as texts, split at the first letter that differs."""
    chosen, rejected = sample.pair()
    if not chosen:
        return None
    read = [
        (row[chosen], row[rejected])
        for row in sample.rows
        if is_transcript(row.get(chosen)) and is_transcript(row.get(rejected))
    ]
    if not read or len(read) * 2 < len(sample.rows):
        return None
    columns = {"chosen": chosen, "rejected": rejected}
    if (chosen, rejected) != IMPLICIT or "prompt" in sample.columns:
        return Reading(columns)
    split = sum(splits_word(*pair) for pair in read)
    said = (
        f"TRL ends the prompt where the two texts differ: inside a word in {split} of the "
        f"{len(read)} rows looked at. `data_format: hh_rlhf` splits them between turns."
    )
    return Reading(columns, {"kind": "texts"}, as_is=True, notes=(said,))


def make(row: Row, reading: Reading) -> list[TrlRow]:
    """The two texts, or messages where they were asked for."""
    if reading.as_is:
        return [left_alone(row, reading, IMPLICIT)]
    chosen, rejected = (
        parse(row.get(reading.columns[name]), reading.columns[name]) for name in IMPLICIT
    )
    return [pair_row([], chosen, rejected, kept(row))]


def parse(transcript: object, what: str) -> list[Message]:
    """The turns of a transcript.

    Raises:
        UnusableRowError: it is none.
    """
    if not isinstance(transcript, str):
        raise UnusableRowError(f"{what} is no text")
    markers = list(_TURN.finditer(transcript))
    if not markers or transcript[: markers[0].start()].strip():
        raise UnusableRowError(f"{what} does not begin with a turn of Human or Assistant")
    ends = [marker.start() for marker in markers[1:]] + [len(transcript)]
    return [
        {"role": _ROLES[marker[1]], "content": transcript[marker.end() : end]}
        for marker, end in zip(markers, ends, strict=True)
    ]


SHAPES = (Shape("hh_rlhf", find, make),)
