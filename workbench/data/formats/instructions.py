"""Rows with one answer: what SFT trains on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.data.formats.assemble import asked, completion_row, refuse_pictures
from workbench.data.formats.columns import Sample, kept, plain
from workbench.data.formats.messages import is_messages, to_messages, with_system
from workbench.data.formats.model import TrlRow, UnusableRowError
from workbench.data.formats.names import COMPLETION, CONVERSATION
from workbench.data.formats.shape import Reading, Row, Shape
from workbench.data.formats.trl_pairs import (
    NO_TEMPLATE,
    left_alone,
    lost_columns,
    one_kind,
    own_names,
    why_mapped,
)

PROMPT_COMPLETION = ("prompt", "completion")


def find_messages(sample: Sample) -> Reading | None:
    """Conversations whose messages have a role."""
    column = sample.role("messages", CONVERSATION, "list")
    if not column or _dialect(sample, column) != "role":
        return None
    columns = sample.further() | {"messages": column}
    kind, lost = one_kind(sample, (column,)), lost_columns(sample, columns)
    if column != "messages":
        return Reading(columns)
    if kind == "messages" and not lost:
        return Reading(columns, {"kind": kind}, as_is=True)
    return Reading(columns, notes=why_mapped(kind, lost))


def find_sharegpt(sample: Sample) -> Reading | None:
    """Conversations whose turns are `from` and `value`."""
    column = sample.role("messages", CONVERSATION, "list")
    if not column or _dialect(sample, column) != "from":
        return None
    return Reading(sample.further() | {"messages": column})


def _dialect(sample: Sample, column: str) -> str:
    for value in sample.values(column):
        if is_messages(value):
            return "role" if "role" in value[0] else "from"
    return ""


def make_messages(row: Row, reading: Reading) -> list[TrlRow]:
    """The conversation, as it is or as TRL reads it."""
    if reading.as_is:
        return [left_alone(row, reading, ("messages",))]
    refuse_pictures(row)
    column = reading.columns["messages"]
    messages = to_messages(row.get(column), column, "user")
    messages = with_system(row.get(reading.columns.get("system", "")), messages)
    if not any(message["role"] == "assistant" for message in messages):
        raise UnusableRowError(f"{column} has no turn of the assistant")
    last = messages[-1]
    if not (last.get("content") or "").strip() and not last.get("tool_calls"):
        raise UnusableRowError(f"the last turn of {column} is empty")
    return [{"messages": messages, **kept(row, tools=reading.columns.get("tools", ""))}]


def find_completion(sample: Sample) -> Reading | None:
    """TRL's prompt and completion."""
    if not own_names(sample, PROMPT_COMPLETION):
        return None
    columns = {name: name for name in PROMPT_COMPLETION} | sample.further()
    kind = one_kind(sample, PROMPT_COMPLETION)
    lost = lost_columns(sample, columns)
    if kind and not lost:
        notes = (NO_TEMPLATE.format("question_answer"),) if kind == "texts" else ()
        return Reading(columns, {"kind": kind}, as_is=True, notes=notes)
    return Reading(columns, notes=why_mapped(kind, lost))


def find_answer(sample: Sample) -> Reading | None:
    """A prompt and one answer under any of the names that people use."""
    completion = sample.role("completion", COMPLETION, "text object list")
    if not completion or any(map(_is_answer_list, sample.values(completion))):
        return None
    columns, notes = sample.asked(completion)
    if "prompt" not in columns:
        return None
    return Reading(columns | {"completion": completion}, notes=notes)


def _is_answer_list(value: Any) -> bool:
    return isinstance(value, list) and not is_messages(value)


def find_alpaca(sample: Sample) -> Reading | None:
    """Instruction, perhaps input, and output."""
    found = find_answer(sample)
    if found is None or plain(found.columns["prompt"]) != "instruction":
        return None
    return found


def make_completion(row: Row, reading: Reading) -> list[TrlRow]:
    """The row itself where TRL reads it; else prompt and completion as messages."""
    if reading.as_is:
        return [left_alone(row, reading, PROMPT_COMPLETION)]
    refuse_pictures(row)
    column = reading.columns["completion"]
    answer = to_messages(row.get(column), column)
    before = asked(row, reading.columns)
    return [completion_row(row, before, answer, reading.columns.get("tools", ""))]


def find_instances(sample: Sample) -> Reading | None:
    """An instruction with a list of inputs and outputs."""
    column = sample.named("instances", "list")
    columns, _ = sample.asked(column)
    if not column or "prompt" not in columns:
        return None
    return Reading(columns | {"answers": column})


def make_instances(row: Row, reading: Reading) -> list[TrlRow]:
    """A row for each instance."""
    refuse_pictures(row)
    column = reading.columns["answers"]
    instances = row.get(column)
    if not isinstance(instances, list) or not instances:
        raise UnusableRowError(f"{column} is no list of inputs and outputs")
    found: list[TrlRow] = []
    for instance in instances:
        if not isinstance(instance, Mapping):
            raise UnusableRowError(f"{column} holds something without input and output")
        columns = dict(reading.columns) | {"input": "input"}
        before = asked({**row, "input": instance.get("input")}, columns)
        answer = to_messages(instance.get("output"), "the output")
        found.append(completion_row(row, before, answer))
    return found


def find_text(sample: Sample) -> Reading | None:
    """Plain texts."""
    column = sample.role("text", ("text",))
    if not column or sample.named("parent_id"):
        return None
    return Reading({"text": column}, {"kind": "texts"}, as_is=column == "text")


def make_text(row: Row, reading: Reading) -> list[TrlRow]:
    """The text."""
    column = reading.columns["text"]
    if not isinstance(row.get(column), str):
        raise UnusableRowError(f"{column} is no text")
    return [{"text": row[column], **kept(row)}]


SHAPES = (
    Shape("messages", find_messages, make_messages),
    Shape("sharegpt", find_sharegpt, make_messages),
    Shape("prompt_completion", find_completion, make_completion),
    Shape("alpaca", find_alpaca, make_completion),
    Shape("instances", find_instances, make_instances),
    Shape("question_answer", find_answer, make_completion),
    Shape("text", find_text, make_text),
)
