"""What a report is made of, whatever it is written in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.judge.differences import Piece
from workbench.judge.report.svg import Chart

Shade = tuple[str, float]


@dataclass(frozen=True)
class Paragraph:
    """A sentence or two; outside text in it is shown as it is."""

    text: str


@dataclass(frozen=True)
class Missing:
    """What is not there yet, and the command that makes it."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under a header; the columns behind the first are numbers where `numbers` says so."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    numbers: bool = True


@dataclass(frozen=True)
class Code:
    """A text as typed."""

    text: str


@dataclass(frozen=True)
class Charts:
    """Curves side by side."""

    charts: Sequence[Chart]


@dataclass(frozen=True)
class Answer:
    """One answer of a comparison or of a checkpoint.

    Attributes:
        facts: Length, margin and the like, in a few words.
        pieces: The text, with what is not in the answer that it is compared with.
        shades: Token by token: text, and log p(tuned) - log p(first) in nats; empty where
            nobody has asked for it.
    """

    title: str
    facts: str
    pieces: Sequence[Piece]
    shades: Sequence[Shade] = ()


@dataclass(frozen=True)
class Answers:
    """Answers to one prompt, side by side or in a row."""

    prompt: str
    answers: Sequence[Answer]


Block = Paragraph | Missing | Table | Code | Charts | Answers


@dataclass(frozen=True)
class Section:
    """A part of the report; `name` is its place in the file."""

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
        facts: Of the run, in a few words each.
        verdict: Two sentences.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    verdict: Sequence[str]
    sections: Sequence[Section]
