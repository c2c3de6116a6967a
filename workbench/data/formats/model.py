"""What is said of the shape of a data set's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Stage = Literal["dpo", "sft"]
Pairing = Literal["all", "adjacent", "best_worst"]
PAIRINGS: tuple[Pairing, ...] = get_args(Pairing)

TrlRow = dict[str, Any]
"""A row in TRL's columns: texts, or lists of `{"role", "content"}` messages."""


@dataclass(frozen=True)
class Wish:
    """What a recipe or a person says of the data's shape; what is empty is guessed.

    Attributes:
        data_format: Name of a shape (`catalogue.SHAPES`); "trl" leaves the rows as they are.
        columns: TRL's column (`prompt`, `chosen`, ...), or another part of a row that
            `columns.ROLES` lists (`system`, `label`, ...), to the data's own.
        pairs: Which pairs are made of ranked answers.
    """

    data_format: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    pairs: Pairing = "all"


@dataclass(frozen=True)
class Recognised:
    """The shape of some rows.

    Attributes:
        shape: Its name in a recipe's `data_format`; empty where none fits.
        title: The same for people.
        stage: Which stage can train on it; empty for none.
        confidence: From 0 to 1; 1 where it cannot be anything else, or somebody said so.
        as_is: TRL reads these rows as they stand and loses no column that matters.
        columns: Which of the data's columns each of TRL's, and each part of them, is made of.
        options: What else the values were found to mean: `{"labels": "from 0"}`.
        notes: What a person should know about it, a sentence each.
        missing: Where no stage can train on it, what it is and what is missing, in a sentence.
        next_step: What to do about that.
    """

    shape: str
    title: str
    stage: Stage | Literal[""]
    confidence: float
    as_is: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    missing: str = ""
    next_step: str = ""


class UnusableRowError(Exception):
    """A row that nothing can be made of; the text says why, without its number."""
