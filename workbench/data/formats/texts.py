"""A row in TRL's columns as plain texts, split the way TRL splits it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def example_parts(trl_row: Mapping[str, Any], stage: str) -> tuple[str, tuple[str, ...]]:
    """The prompt as one text, and the answers: chosen and rejected for DPO, the one for SFT.

    A prompt that is inside the answers is found as TRL finds it. Messages become
    `role: content` blocks; an answer of one turn is its content.
    """
    if stage == "dpo":
        prompt, chosen, rejected = split_pair(trl_row)
        return as_text(prompt), (answer_text(chosen), answer_text(rejected))
    if "messages" in trl_row:
        messages = trl_row["messages"]
        at = _answer_start(messages)
        return as_text(messages[:at]), (answer_text(messages[at:]),)
    if "completion" in trl_row:
        return as_text(trl_row.get("prompt", "")), (answer_text(trl_row["completion"]),)
    return "", (as_text(trl_row.get("text", "")),)


def split_pair(trl_row: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Prompt, chosen and rejected of a row, the prompt taken out of the answers where it is."""
    chosen, rejected = trl_row["chosen"], trl_row["rejected"]
    if "prompt" in trl_row:
        return trl_row["prompt"], chosen, rejected
    at = implicit_split(chosen, rejected)
    return chosen[:at], chosen[at:], rejected[at:]


def implicit_split(chosen: Sequence[Any], rejected: Sequence[Any]) -> int:
    """Where TRL 1.16 ends the prompt of two texts or two conversations (`trl.extract_prompt`).

    At the first letter or message that differs, one earlier behind a space; of equal ones the
    last stays an answer.
    """
    shorter, at = min(len(chosen), len(rejected)), common_start(chosen, rejected)
    if at == shorter:
        return max(shorter - 1, 0)
    return at - 1 if chosen[at - 1] == " " else at


def common_start(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many letters or messages two sequences begin with alike, by halving."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def splits_word(chosen: str, rejected: str) -> bool:
    """Whether TRL's prompt of two texts ends inside a word of at least one of them."""
    at = implicit_split(chosen, rejected)
    if at <= 0 or not chosen[at - 1].isalnum():
        return False
    return any(text[at : at + 1].isalnum() for text in (chosen, rejected))


def as_text(value: Any) -> str:
    """A text, or messages as `role: content` blocks with a blank line between them."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    return "\n\n".join(f"{message.get('role')}: {_said(message)}" for message in value)


def answer_text(value: Any) -> str:
    """An answer: a text, or messages; of a single message its content alone."""
    if isinstance(value, list) and len(value) == 1:
        return _said(value[0])
    return as_text(value)


def _said(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    calls = message.get("tool_calls")
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, Mapping)]
        content = "".join(text for text in texts if isinstance(text, str))
    parts = [content] if isinstance(content, str) and content else []
    if calls:
        parts.append(json.dumps(calls, ensure_ascii=False))
    return "\n".join(parts)


def _answer_start(messages: Sequence[Mapping[str, Any]]) -> int:
    """Where the last turn of the assistant begins, with the calls that led to it."""
    users = [at for at, message in enumerate(messages) if message.get("role") == "user"]
    return min(users[-1] + 1, len(messages)) if users else 0
