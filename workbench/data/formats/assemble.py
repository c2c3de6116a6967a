"""Putting a row together in TRL's columns: prompt, chosen and rejected as lists of messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.data.formats.columns import kept
from workbench.data.formats.messages import (
    ROLE_NAMES,
    Message,
    from_history,
    is_messages,
    to_messages,
    with_system,
)
from workbench.data.formats.model import TrlRow, UnusableRowError
from workbench.data.formats.turns import prompt_turns

PICTURES = ("image", "images", "video", "videos", "audio", "audios")


def text_cell(row: Mapping[str, Any], columns: Mapping[str, str], role: str) -> str:
    """The text of a part of a row.

    Raises:
        UnusableRowError: the cell is empty or no text.
    """
    column = columns.get(role, role)
    value = row.get(column)
    if not isinstance(value, str):
        state = "missing" if value is None else "no text"
        raise UnusableRowError(f"{column} is {state}")
    return value


def asked(row: Mapping[str, Any], columns: Mapping[str, str]) -> list[Message]:
    """Everything before the answer: system message, earlier turns, prompt and its further part."""
    messages: list[Message] = []
    if "prompt" in columns:
        column = columns["prompt"]
        value = row.get(column)
        messages = to_messages(value, column, "user")
        if isinstance(value, str):
            turns = prompt_turns(value) if "input" not in columns else None
            text = {"role": "user", "content": _with_input(value, row, columns)}
            messages = turns or [text]
    messages = from_history(row.get(columns.get("history", ""))) + messages
    return with_system(row.get(columns.get("system", "")), messages)


def _with_input(prompt: str, row: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    further = row.get(columns.get("input", ""))
    if further is None or (isinstance(further, str) and not further.strip()):
        return prompt
    if not isinstance(further, str):
        raise UnusableRowError(f"{columns['input']} is no text")
    return f"{prompt}\n{further}" if prompt.strip() else further


def refuse_pictures(row: Mapping[str, Any]) -> None:
    """Refuse a row with a picture or a sound, which would be lost without a word."""
    for name in PICTURES:
        if row.get(name) not in (None, "", [], {}):
            raise UnusableRowError(f"the row has an {name} column; only text can be trained")


def pair_row(
    before: list[Message], chosen: list[Message], rejected: list[Message], rest: Mapping[str, Any]
) -> TrlRow:
    """A row of TRL's: answers alone follow `before`; whole conversations are split by turns.

    Args:
        before: What is asked, where the row says it apart from the answers.
        chosen, rejected: The answers alone, or whole conversations; one of each is possible.
        rest: Columns that go along.

    Raises:
        UnusableRowError: there is no prompt, or an answer is empty or does not begin and end with
            a turn of the assistant.
    """
    whole = [messages for messages in (chosen, rejected) if not _is_answer(messages)]
    if len(whole) == 2:
        split = common_turns(chosen, rejected)
        before, chosen, rejected = (
            _led(before, chosen[:split]),
            chosen[split:],
            rejected[split:],
        )
    elif whole:
        split = _last_answer(whole[0])
        before = _led(before, whole[0][:split])
        chosen, rejected = (
            messages[split:] if messages is whole[0] else messages
            for messages in (chosen, rejected)
        )
    check_answer(chosen, "the chosen answer")
    check_answer(rejected, "the rejected answer")
    if not any(message["role"] != "system" for message in before):
        raise UnusableRowError("there is no prompt before the answers")
    return {"prompt": before, "chosen": chosen, "rejected": rejected, **rest}


def _is_answer(messages: list[Message]) -> bool:
    return bool(messages) and messages[0]["role"] == "assistant"


def _last_answer(messages: list[Message]) -> int:
    """Where the turns after the last one of the user begin."""
    users = [at for at, message in enumerate(messages) if message["role"] == "user"]
    return users[-1] + 1 if users else 0


def _led(before: list[Message], prompt: list[Message]) -> list[Message]:
    """The prompt inside the answers, with the row's own system message if it has none."""
    if prompt and prompt[0]["role"] == "system":
        return prompt
    return [message for message in before if message["role"] == "system"] + prompt


def common_turns(chosen: list[Message], rejected: list[Message]) -> int:
    """How many whole messages two conversations begin with alike, leaving each an answer."""
    most = min(len(chosen), len(rejected)) - 1
    alike = 0
    while alike < most and chosen[alike] == rejected[alike]:
        alike += 1
    return alike


def check_answer(messages: list[Message], what: str) -> None:
    """Refuse what a model could not learn as an answer.

    Raises:
        UnusableRowError: it does not begin and end with a turn of the assistant, or the last turn
            is empty.
    """
    if not messages:
        raise UnusableRowError(f"{what} is missing")
    for message, end in ((messages[0], "begins"), (messages[-1], "ends")):
        if message["role"] != "assistant":
            where = "; the two differ before the answer" if end == "begins" else ""
            raise UnusableRowError(f"{what} {end} with a turn of {message['role']}{where}")
    last = messages[-1]
    if not (last.get("content") or "").strip() and not last.get("tool_calls"):
        raise UnusableRowError(f"{what} is empty")


def answer_pair(
    row: Mapping[str, Any], columns: Mapping[str, str], chosen: Any, rejected: Any
) -> TrlRow:
    """A row of TRL's from two answers to what the row asks."""
    refuse_pictures(row)
    return pair_row(
        asked(row, columns),
        to_messages(chosen, columns.get("chosen", "the chosen answer")),
        to_messages(rejected, columns.get("rejected", "the rejected answer")),
        kept(row, tools=columns.get("tools", "")),
    )


def completion_row(
    row: Mapping[str, Any], before: list[Message], answer: list[Message], tools: str = ""
) -> TrlRow:
    """A row for SFT: what is asked and the answer to it."""
    if not before:
        raise UnusableRowError("there is no prompt before the answer")
    check_answer(answer, "the answer")
    return {"prompt": before, "completion": answer, **kept(row, tools=tools)}


def whole_conversation(value: Any) -> bool:
    """Whether it is a conversation that begins before the answer."""
    if not is_messages(value):
        return False
    role = value[0].get("role") or value[0].get("from")
    return isinstance(role, str) and ROLE_NAMES.get(role.lower(), "") in ("user", "system")
