"""Messages of any dialect, as TRL's `{"role", "content"}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from workbench.data.formats.model import UnusableRowError

Message = dict[str, Any]

ROLE_NAMES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "customer": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "function_call": "function_call",
    "tool_call": "function_call",
}
TEXT_PARTS = ("text", "input_text", "output_text")
KEPT_KEYS = ("name", "tool_call_id", "reasoning_content", "thinking")
"""Further keys of a message that chat templates read."""


def is_message(value: Any) -> bool:
    """Whether it is a message of any dialect."""
    return isinstance(value, Mapping) and bool({"role", "from"} & set(value))


def is_messages(value: Any) -> bool:
    """Whether it is a list of messages of any dialect."""
    return isinstance(value, list) and bool(value) and all(map(is_message, value))


def trl_messages(value: Any) -> bool:
    """Whether it is a list of messages that TRL reads as it stands."""
    return isinstance(value, list) and bool(value) and all(map(_trl_message, value))


def _trl_message(value: Any) -> bool:
    if not isinstance(value, Mapping) or value.get("role") not in _TRL_ROLES:
        return False
    if isinstance(value.get("content"), str):
        return True
    return value.get("content") is None and isinstance(value.get("tool_calls"), list)


_TRL_ROLES = ("system", "developer", "user", "assistant", "tool")


def to_messages(value: Any, what: str, role: str = "assistant") -> list[Message]:
    """A text, one message or a list of them, as messages.

    Args:
        what: What it is, for an error: "the chosen answer".
        role: Whose turn a bare text is.

    Raises:
        UnusableRowError: it is something else, or holds what text training cannot take.
    """
    if value is None or value == []:
        raise UnusableRowError(f"{what} is missing")
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if isinstance(value, Mapping):
        if isinstance(value.get("messages"), list):
            return to_messages(value["messages"], what, role)
        if is_message(value):
            return [to_message(value, what)]
        if _content(value, what) is not None:
            return [{"role": role, "content": _content(value, what)}]
    if isinstance(value, list) and value:
        if all(map(is_message, value)):
            return [to_message(message, what) for message in value]
        if all(map(_is_part, value)):
            return [{"role": role, "content": join_parts(value, what)}]
    raise UnusableRowError(f"{what} is neither a text nor a list of messages")


def to_message(raw: Mapping[str, Any], what: str) -> Message:
    """One message with TRL's names of roles and keys."""
    named = raw.get("role") or raw.get("from")
    role = ROLE_NAMES.get(named.strip().lower()) if isinstance(named, str) else None
    if role is None:
        known = "user, assistant, system or tool"
        raise UnusableRowError(f"{what} has a message whose role {named!r} is not {known}"[:200])
    content = _content(raw, what)
    if role == "function_call":
        return {"role": "assistant", "content": "", "tool_calls": parse_calls(content, what)}
    message: Message = {"role": role, "content": content}
    calls = raw.get("tool_calls")
    if isinstance(calls, list) and calls:
        message["tool_calls"] = calls
    elif content is None:
        raise UnusableRowError(f"{what} has a message of {named} without a content")
    return message | {key: raw[key] for key in KEPT_KEYS if isinstance(raw.get(key), str)}


def _content(raw: Mapping[str, Any], what: str) -> str | None:
    for key in ("content", "value", "text", "full_text"):
        if key in raw and raw[key] is not None:
            found = raw[key]
            if isinstance(found, str):
                return found
            if isinstance(found, list) and all(map(_is_part, found)):
                return join_parts(found, what)
            raise UnusableRowError(f"{what} has a message whose {key} is no text")
    return None


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("type"), str)


def join_parts(parts: list[Any], what: str) -> str:
    """The text of typed content parts, put together without anything between them."""
    texts: list[str] = []
    for part in parts:
        text = part.get("text", part.get("value"))
        if part["type"] not in TEXT_PARTS:
            kind = part["type"][:40]
            raise UnusableRowError(f"{what} has a part of type {kind!r}; only text can be trained")
        if not isinstance(text, str):
            raise UnusableRowError(f"{what} has a text part without a text")
        texts.append(text)
    return "".join(texts)


def parse_calls(content: str | None, what: str) -> list[dict[str, Any]]:
    """The calls in a ShareGPT `function_call` turn: JSON of one call, or of a list of them."""
    try:
        found = json.loads(content or "")
    except (ValueError, RecursionError):
        raise UnusableRowError(f"{what} has a call of a tool that is not JSON") from None
    calls = found if isinstance(found, list) else [found]
    if not calls or not all(isinstance(call, dict) and "name" in call for call in calls):
        raise UnusableRowError(f"{what} has a call of a tool without a name")
    return [
        {
            "type": "function",
            "function": {"name": call["name"], "arguments": call.get("arguments", {})},
        }
        for call in calls
    ]


def from_history(value: Any) -> list[Message]:
    """Earlier turns: messages, or pairs of a question and its answer."""
    if value is None or value in ("", []):
        return []
    if is_messages(value):
        return to_messages(value, "the history")
    found: list[Message] = []
    for turn in value if isinstance(value, list) else [value]:
        if not (isinstance(turn, list | tuple) and len(turn) == 2):
            raise UnusableRowError("the history is neither messages nor [question, answer] pairs")
        for role, text in zip(("user", "assistant"), turn, strict=True):
            if not isinstance(text, str):
                raise UnusableRowError("the history has a turn that is no text")
            found.append({"role": role, "content": text})
    return found


def with_system(system: Any, messages: list[Message]) -> list[Message]:
    """Messages with the system message of a column of its own in front.

    Raises:
        UnusableRowError: they begin with another one already.
    """
    if system is None or system == "":
        return messages
    if not isinstance(system, str):
        raise UnusableRowError("the system message is no text")
    own = [message["content"] for message in messages if message["role"] == "system"]
    if own and own != [system]:
        raise UnusableRowError("the system column and the conversation's system message differ")
    return messages if own else [{"role": "system", "content": system}, *messages]
