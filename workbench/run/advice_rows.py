"""One row of the table of known causes, and how its sentences are filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem
from workbench.base.secrets import redact
from workbench.base.text import clean

VALUE_CHARACTERS = 160
SENTENCE_CHARACTERS = 400


@dataclass(frozen=True)
class Facts:
    """What is known about the run that failed; everything may be missing.

    Attributes:
        stage: `sft` or `dpo`.
        config: The stage's resolved TRL config.
        model: The base model as the run names it.
        folder: The run directory.
        free_bytes: Free space of its disk.
        phase: What the process did, one of `memory_advice.PHASES`; read off the traceback if empty.
    """

    stage: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    folder: Path | None = None
    free_bytes: int | None = None
    phase: str = ""


Found = re.Match[str]
Teller = Callable[[Found, Facts], Problem | None]


@dataclass(frozen=True)
class Row:
    """A known cause.

    Attributes:
        name: For tests and people who read the table.
        pattern: Finds it in a traceback's messages. Texts are untrusted: every repetition in it
            has an upper bound, so that the search takes linear time.
        tell: What the person is told; None where the facts speak against this cause.
    """

    name: str
    pattern: re.Pattern[str]
    tell: Teller


def row(name: str, pattern: str, what: str, where: str, next_step: str) -> Row:
    """A row whose sentences are templates.

    They may hold `{model}`, `{stage}`, `{folder}`, `{data}` (the key that names the data) and the
    named groups of the pattern.
    """

    def tell(found: Found, facts: Facts) -> Problem:
        values = {**known(facts), **{k: short(v or "") for k, v in found.groupdict().items()}}
        parts = (template.format_map(values) for template in (what, where, next_step))
        # A group that found nothing leaves a gap or a colon behind.
        return problem(*(re.sub(r" {2,9}", " ", part).strip(" :") for part in parts))

    return Row(name, re.compile(pattern), tell)


def known(facts: Facts) -> dict[str, str]:
    """The facts as values of templates."""
    by_name = bool(facts.config.get("dataset_name")) and not facts.config.get("datasets")
    return {
        "model": short(facts.model) or "the model",
        "stage": facts.stage or "this stage",
        "folder": str(facts.folder or ""),
        "data": "dataset_name" if by_name else "datasets",
    }


def problem(what: str, where: str, next_step: str) -> Problem:
    """A problem of inert, bounded texts."""
    return Problem(
        clean(what[:SENTENCE_CHARACTERS], newlines=False),
        clean(where[:SENTENCE_CHARACTERS], newlines=False),
        clean(next_step[: 3 * SENTENCE_CHARACTERS], newlines=False),
    )


def short(text: str) -> str:
    """A piece of outside text as one short line, without secrets."""
    return clean(redact(text)[:VALUE_CHARACTERS], newlines=False).strip()
