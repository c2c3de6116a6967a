"""Pairs under other names, and pairs whose conversation stands apart from the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.data.formats.assemble import answer_pair, pair_row, refuse_pictures, text_cell
from workbench.data.formats.columns import Sample, kept, plain
from workbench.data.formats.messages import from_history, is_messages, to_messages, with_system
from workbench.data.formats.model import TrlRow, UnusableRowError
from workbench.data.formats.names import CONVERSATION
from workbench.data.formats.shape import Reading, Row, Shape

OPENAI = {"input": "input", "chosen": "preferred_output", "rejected": "non_preferred_output"}
IGNORED_PROMPT = "TRL would train these pairs without their prompt ({}); it is mapped."


def find_columns(sample: Sample) -> Reading | None:
    """A prompt and two answers under any of the names that people use."""
    chosen, rejected = sample.pair()
    if not chosen:
        return None
    columns, notes = sample.asked(chosen, rejected)
    columns |= {"chosen": chosen, "rejected": rejected}
    prompt = columns.get("prompt")
    if not prompt and not any(is_messages(row.get(chosen)) for row in sample.rows):
        return None
    if (chosen, rejected) == ("chosen", "rejected") and prompt not in ("prompt", None):
        notes = (*notes, IGNORED_PROMPT.format(prompt))
    return Reading(columns, notes=notes)


def find_alpaca(sample: Sample) -> Reading | None:
    """Instruction and perhaps input, with chosen and rejected."""
    found = _plain_pairs(sample)
    return found if found and plain(found.columns.get("prompt", "")) == "instruction" else None


def find_orca(sample: Sample) -> Reading | None:
    """System and question, with chosen and rejected."""
    found = _plain_pairs(sample)
    if found is None or "system" not in found.columns:
        return None
    return found if plain(found.columns.get("prompt", "")) == "question" else None


def _plain_pairs(sample: Sample) -> Reading | None:
    found = find_columns(sample)
    if found is None or "prompt" not in found.columns:
        return None
    names = (plain(found.columns["chosen"]), plain(found.columns["rejected"]))
    return found if names == ("chosen", "rejected") else None


def find_swift(sample: Sample) -> Reading | None:
    """A response beside a rejected response, or a conversation whose last answer is the better."""
    rejected = sample.wished.get("rejected") or sample.named("rejected_response")
    conversation = sample.role("messages", ("messages",), "list")
    if conversation and not rejected:
        rejected = sample.named("rejected_messages", "list")
    if not rejected or "chosen" in sample.wished:
        return None
    if conversation and not sample.named("chosen_response"):
        return Reading({"messages": conversation, "rejected": rejected} | sample.further())
    found = find_columns(sample)
    same = found is not None and plain(found.columns["chosen"]) == "response"
    return found if same else None


def find_sharegpt(sample: Sample) -> Reading | None:
    """A conversation of its own, and two answers to it."""
    chosen, rejected = sample.pair()
    conversation = sample.role("messages", CONVERSATION, "list")
    if not chosen or not conversation or conversation in (chosen, rejected):
        return None
    columns = {"messages": conversation, "chosen": chosen, "rejected": rejected}
    return Reading(columns | sample.further())


def find_openai(sample: Sample) -> Reading | None:
    """OpenAI's names: input, preferred_output, non_preferred_output."""
    columns = {role: sample.wished.get(role, name) for role, name in OPENAI.items()}
    if not set(columns.values()) <= set(sample.columns):
        return None
    holds = [isinstance(_messages_in(row.get(columns["input"])), list) for row in sample.rows]
    return Reading(columns) if any(holds) else None


def _messages_in(value: Any) -> Any:
    return value.get("messages") if isinstance(value, Mapping) else value


def make_columns(row: Row, reading: Reading) -> list[TrlRow]:
    """The pair as messages."""
    columns = reading.columns
    return [answer_pair(row, columns, row.get(columns["chosen"]), row.get(columns["rejected"]))]


def make_texts(row: Row, reading: Reading) -> list[TrlRow]:
    """The pair as texts under TRL's names."""
    refuse_pictures(row)
    names = ("prompt", "chosen", "rejected")
    if any(role in reading.columns for role in ("system", "history")):
        raise UnusableRowError("plain texts have no place for a system message or earlier turns")
    return [{name: text_cell(row, reading.columns, name) for name in names} | kept(row)]


def make_conversation(row: Row, reading: Reading) -> list[TrlRow]:
    """Two answers to a conversation; the better one may be the conversation's own last turn."""
    columns = reading.columns
    refuse_pictures(row)
    before = to_messages(row.get(columns["messages"]), columns["messages"])
    before = from_history(row.get(columns.get("history", ""))) + before
    before = with_system(row.get(columns.get("system", "")), before)
    rejected = to_messages(row.get(columns["rejected"]), columns["rejected"])
    rest = kept(row, tools=columns.get("tools", ""))
    if "chosen" in columns:
        chosen = to_messages(row.get(columns["chosen"]), columns["chosen"])
        return [pair_row(before, chosen, rejected, rest)]
    if before[-1]["role"] != "assistant":
        raise UnusableRowError(f"{columns['messages']} does not end with the better answer")
    return [pair_row([], before, rejected, rest)]


def make_openai(row: Row, reading: Reading) -> list[TrlRow]:
    """OpenAI's row; the tools stand inside its input."""
    columns = reading.columns
    refuse_pictures(row)
    inside = row.get(columns["input"])
    before = to_messages(_messages_in(inside), "input.messages", "user")
    chosen = to_messages(row.get(columns["chosen"]), columns["chosen"])
    rejected = to_messages(row.get(columns["rejected"]), columns["rejected"])
    tools = inside.get("tools") if isinstance(inside, Mapping) else None
    rest = kept({**row, "tools": tools or row.get("tools")})
    return [pair_row(before, chosen, rejected, rest)]


SHAPES = (
    Shape("sharegpt_pairs", find_sharegpt, make_conversation),
    Shape("openai_preference", find_openai, make_openai),
    Shape("alpaca_pairs", find_alpaca, make_columns),
    Shape("orca_pairs", find_orca, make_columns),
    Shape(
        "swift_pairs",
        find_swift,
        lambda row, reading: (
            make_conversation(row, reading)
            if "messages" in reading.columns
            else make_columns(row, reading)
        ),
    ),
    Shape("pair_columns", find_columns, make_columns),
    Shape("pair_texts", find_columns, make_texts, by_name_only=True),
)
