"""Rows that no stage can train on: what they are, what is missing, what to do."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from workbench.data.formats.columns import Sample
from workbench.data.formats.messages import is_messages
from workbench.data.formats.model import TrlRow, UnusableRowError
from workbench.data.formats.names import (
    ANSWER_LISTS,
    BETTER,
    COMPLETION,
    CONVERSATION,
    ORDERED,
    PROMPT,
    PROMPT_LISTS,
    THUMBS,
    WORSE,
)
from workbench.data.formats.pairwise import number
from workbench.data.formats.shape import Reading, Row, Shape

NAMES_SHOWN = 12


def find_unpaired(sample: Sample) -> Reading | None:
    """Single answers with a thumb."""
    label = sample.role("label", THUMBS, "truth number text")
    if not label or not all(_is_thumb(value) for value in sample.values(label)):
        return None
    conversation = sample.role("messages", CONVERSATION, "list")
    if conversation and any(map(is_messages, sample.values(conversation))):
        return Reading({"messages": conversation, "label": label})
    completion = sample.role("completion", COMPLETION, "text list object")
    prompt = sample.role("prompt", PROMPT, "text list")
    if not completion or not prompt or prompt == completion:
        return None
    return Reading({"prompt": prompt, "completion": completion, "label": label})


def _is_thumb(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return True
    return isinstance(value, bool) or number(value) in (0, 1, -1)


def seen_row(row: Row, reading: Reading) -> list[TrlRow]:
    """Nothing; the cells that the shape needs must be there.

    Raises:
        UnusableRowError: one is empty.
    """
    for column in reading.columns.values():
        if row.get(column) is None:
            raise UnusableRowError(f"{column} is missing")
    return []


def both_thumbs(sample: Sample, reading: Reading) -> tuple[int, int]:
    """How many prompts of a sample have answers of both kinds, and how many prompts there are."""
    thumbs: dict[str, set[bool]] = defaultdict(set)
    for row in sample.rows:
        conversation = row.get(reading.columns.get("messages", ""))
        asked = conversation[:-1] if isinstance(conversation, list) else None
        asked = asked if asked is not None else row.get(reading.columns.get("prompt", ""))
        thumb = row.get(reading.columns["label"])
        up = str(thumb).lower() == "true" or (number(thumb) or 0) > 0
        thumbs[json.dumps(asked, sort_keys=True, default=str)].add(up)
    return sum(len(kinds) == 2 for kinds in thumbs.values()), len(thumbs)


def unpaired_words(sample: Sample, reading: Reading) -> tuple[str, str]:
    """What is missing in rows with a thumb, and what to do."""
    both, prompts = both_thumbs(sample, reading)
    missing = (
        "one answer a row with a thumb up or down (KTO); DPO needs two answers to one prompt, "
        f"and {both} of the {prompts} prompts looked at have both kinds"
    )
    step = "Train it with TRL's KTO trainer."
    if both:
        step += " Or write rows of prompt, chosen and rejected for the prompts that have both."
    return missing, f"{step} For SFT on the good answers, keep those rows and drop the label."


def find_prompts(sample: Sample) -> Reading | None:
    """Prompts without any answer."""
    column = sample.role("prompt", (*PROMPT_LISTS, *PROMPT), "text list")
    if not column or any(map(is_messages, sample.values(column))) or _holds_answers(sample):
        return None
    return Reading({"prompt": column})


def _holds_answers(sample: Sample) -> bool:
    """Whether there are answers, of which no shape can make anything."""
    names = (*ANSWER_LISTS, *ORDERED, *COMPLETION, *BETTER, *WORSE)
    return bool(
        sample.role("answers", names, "text list object number truth") or all(sample.pair())
    )


def find_loose(sample: Sample) -> Reading | None:
    """Messages of a tree, one a row."""
    columns = sample.roles(
        messages=sample.named("parent_id"), text=sample.named("text"), prompt=sample.named("role")
    )
    return Reading(columns) if len(columns) == 3 else None


_PROMPTS = "prompts alone: there is no answer to learn from"
_LOOSE = "one message of a conversation a row; what belongs together must be put together"
_LOOSE_STEP = "Take the file of whole trees (prompt with replies), or join the rows by parent_id."
_PROMPTS_STEP = "This is a prompt set: use it with `compare --prompts`."
FIXED_WORDS = {"prompts": (_PROMPTS, _PROMPTS_STEP), "loose_messages": (_LOOSE, _LOOSE_STEP)}
"""What is missing in shapes without an answer, and what to do."""


def nothing_fits(sample: Sample) -> tuple[str, str]:
    """What rows of no known shape lack, and how to name their columns."""
    names = [str(name)[:60] for name in sample.columns[:NAMES_SHOWN]]
    more = len(sample.columns) - len(names)
    there = ", ".join(names) + (f" and {more} more" if more else "")
    texts = [name for name in sample.columns if sample.kind(name) in ("text", "list", "object")]
    missing = f"no known shape: the columns are {there or 'none'}; {_nearest(sample)}"
    if not texts:
        return missing, "Write rows with the columns prompt, chosen and rejected."
    return missing, f"If they hold it, say so: `columns: {{{_example(sample, texts)}}}`."


def _nearest(sample: Sample) -> str:
    """The nearest shape and what it lacks."""
    chosen, rejected = sample.pair()
    if chosen and rejected:
        return f"nearest are pairs ({chosen}, {rejected}), which lack a prompt"
    better = sample.role("chosen", ("chosen", "preferred", "accepted", "winner"), "text list")
    worse = sample.role("rejected", ("rejected", "dispreferred", "loser"), "text list")
    if better or worse:
        lacking = "the rejected answer" if better else "the chosen answer"
        return f"nearest are pairs ({better or worse}), which lack {lacking}"
    answers = sample.role("answers", ANSWER_LISTS, "list")
    if answers:
        return f"nearest are ranked answers ({answers}), which lack a rank or score for each"
    answer = sample.role("completion", COMPLETION)
    if answer:
        return f"nearest is a prompt with an answer ({answer}), which lacks the prompt"
    return "nearest are pairs (prompt, chosen, rejected), of which there is no column"


def _example(sample: Sample, texts: list[str]) -> str:
    """A `columns:` mapping with the data's own names."""
    known = {
        "prompt": sample.role("prompt", PROMPT, "text list"),
        "chosen": sample.pair()[0],
        "rejected": sample.pair()[1],
    }
    free = [name for name in texts if name not in known.values()]
    if len(texts) == 1:
        return f"text: {texts[0]}"
    parts = ("prompt", "chosen", "rejected") if len(texts) > 2 else ("prompt", "completion")
    named = [(part, known.get(part) or (free.pop(0) if free else "")) for part in parts]
    return ", ".join(f"{part}: {name}" for part, name in named if name)


SHAPES = (
    Shape("unpaired", find_unpaired, seen_row),
    Shape("loose_messages", find_loose, lambda row, reading: []),
    Shape("prompts", find_prompts, seen_row),
)
