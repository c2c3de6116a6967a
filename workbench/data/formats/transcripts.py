"""Transcripts of HH-RLHF: texts with a marker before each turn."""

from __future__ import annotations

from workbench.data.formats.assemble import pair_row
from workbench.data.formats.columns import Sample, kept
from workbench.data.formats.model import TrlRow
from workbench.data.formats.shape import Reading, Row, Shape
from workbench.data.formats.texts import splits_word
from workbench.data.formats.trl_pairs import IMPLICIT, left_alone
from workbench.data.formats.turns import is_transcript, parse


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


SHAPES = (Shape("hh_rlhf", find, make),)
