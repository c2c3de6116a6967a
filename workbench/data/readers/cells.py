"""Lists of messages that somebody wrote into the cells of a table, as text."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

CELL_LIMIT = 4 << 20
# How pandas writes an array of messages: no commas, each on a line of its own.
_ARRAY_GAP = re.compile(r"\}\s*\n\s*\{")


def messages_in(cell: str) -> list[dict[str, Any]] | None:
    """The list of messages that a cell holds as JSON or as Python writes it; None for any other.

    Only what has roles and contents counts: an answer may well be some other piece of JSON.
    """
    text = cell.strip()
    if not text.startswith("[") or len(text) > CELL_LIMIT or not text.endswith("]"):
        return None
    if not ("role" in text or "from" in text):
        return None
    for parse in (json.loads, ast.literal_eval, _array):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if isinstance(value, list) and value and all(_is_message(item) for item in value):
            return value
    return None


def _array(text: str) -> Any:
    return ast.literal_eval(_ARRAY_GAP.sub("}, {", text))


def _is_message(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    keys = item.keys()
    return ("role" in keys and bool(keys & {"content", "tool_calls"})) or {"from", "value"} <= keys
