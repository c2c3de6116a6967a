"""What the lint looks at, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Example:
    """What one row, or one pair of a row of ranked answers, comes to.

    Attributes:
        row, line: Where it stands (`readers.row.SourceRow`).
        part: Which pair of the row, from 0.
        prompt: All of the prompt as one text, messages as `role: content` blocks.
        answers: Texts: chosen and rejected, or SFT's one answer (a whole text or conversation has
            its last assistant turn, or the text).
        trl: The row in TRL's columns.
    """

    row: int
    line: int
    part: int
    prompt: str
    answers: tuple[str, ...]
    trl: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One row that a rule has something to say about.

    Attributes:
        rule: Name of the rule.
        row, line: Where it stands; row 0 for a finding about the whole set.
        detail: What is there, in a few words that need not name the row.
        others: Numbers of further rows that it is about, the first ones.
        part: Which pair of the row, from 0.
    """

    rule: str
    row: int
    line: int
    detail: str
    others: tuple[int, ...] = ()
    part: int = 0


@dataclass(frozen=True)
class RuleInfo:
    """What people are told of a rule.

    Attributes:
        name: As in the output of `data --json`: `identical_answers`.
        title: A line of a table: "chosen and rejected are the same".
        severity: An error stops the training or loses the row; a warning harms; a note informs.
        why: What it does to a training, in a sentence.
        next_step: What to do.
        fix: What `--fix` does with the row: drops it, mends its text, or leaves it.
    """

    name: str
    title: str
    severity: Severity
    why: str
    next_step: str
    fix: Literal["drop", "mend", ""] = ""
