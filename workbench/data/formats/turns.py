"""Texts with a marker before each turn: "\\n\\nHuman: ...\\n\\nAssistant: ..."."""

from __future__ import annotations

import re

from workbench.data.formats.messages import Message
from workbench.data.formats.model import UnusableRowError

# The marker with the blank behind it belongs to the format; the rest of a turn is its text.
_TURN = re.compile(r"(?:\A|\n\n)(Human|Assistant): ?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def is_transcript(value: object) -> bool:
    """Whether a text holds turns of Human and Assistant."""
    if not isinstance(value, str):
        return False
    first = _TURN.match(value)
    return first is not None and first[1] == "Human" and "\n\nAssistant:" in value


def parse(transcript: object, what: str) -> list[Message]:
    """The turns of a transcript.

    Raises:
        UnusableRowError: it is none.
    """
    if not isinstance(transcript, str):
        raise UnusableRowError(f"{what} is no text")
    markers = list(_TURN.finditer(transcript))
    if not markers or transcript[: markers[0].start()].strip():
        raise UnusableRowError(f"{what} does not begin with a turn of Human or Assistant")
    ends = [marker.start() for marker in markers[1:]] + [len(transcript)]
    return [
        {"role": _ROLES[marker[1]], "content": transcript[marker.end() : end]}
        for marker, end in zip(markers, ends, strict=True)
    ]


def prompt_turns(prompt: str) -> list[Message] | None:
    """The turns of a prompt that ends with the marker of the answer; None of any other text."""
    if not is_transcript(prompt) or not prompt.rstrip().endswith("\n\nAssistant:"):
        return None
    return parse(prompt, "the prompt")[:-1]
