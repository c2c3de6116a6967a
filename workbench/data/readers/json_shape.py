"""How the rows of a JSON text are held together, seen from its first letters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Literal

from workbench.data.readers.json_text import scanner
from workbench.data.readers.remarks import Remarks

LINES_LOOKED_AT = 50
_SCAN = scanner(Remarks())
_BLANK = re.compile(r"[ \t\r\n\ufeff]*")
_LIST = re.compile(r'\[\s*(?:[\[{"\]\d-]|true|false|null|NaN|$)')
_OBJECT = re.compile(r'\{\s*(?:["}]|$)')
# Names under which people put the rows, best first.
WRAPPERS = (
    "train", "training", "data", "rows", "examples", "records", "instances", "items", "samples",
    "dataset", "pairs", "preferences", "comparisons", "conversations", "dialogs", "dialogues",
)  # fmt: skip
# Lists of objects under these names are a row's own.
ROW_LISTS = frozenset(
    [
        "messages",
        "chosen",
        "rejected",
        "prompt",
        "tools",
        "functions",
        "completions",
        "answers",
        "responses",
        "replies",
        "turns",
        "features",
        "columns",
        "fields",
        "schema",
        "history",
        "candidates",
        "generations",
        "choices",
    ]
)
COLUMNS = {"prompt", "chosen", "rejected", "question", "instruction", "text", "messages", "output"}


@dataclass(frozen=True)
class Shape:
    """Where the rows of a JSON text stand.

    Attributes:
        form: One object a line; values of a list; values of an object, by name; or objects one
            after another. "columns": a list for each column, which nobody can read in pieces.
        offset, line: Behind the bracket that opens the list, in letters of the text, and its line.
        wrapped: Name of the list in its object, dotted; empty where there is none.
    """

    form: Literal["lines", "list", "keyed", "objects", "columns"]
    offset: int = 0
    line: int = 1
    wrapped: str = ""


def json_shape(text: str, whole: bool, split: str) -> Shape | None:
    """The form of a JSON text; None where it is no JSON.

    Args:
        text: Its beginning.
        whole: That is all of it.
        split: Which of several lists to take, by its name.
    """
    at = _end(_BLANK, text, 0)
    if _LIST.match(text, at):
        return Shape("list", at + 1, 1 + text.count("\n", 0, at))
    if not _OBJECT.match(text, at):
        return Shape("lines") if any(_is_row(line) for line in _lines(text)) else None
    end = text.find("\n", at)
    first, behind = _value(text, at)
    rest = _end(_BLANK, text, behind) if behind else 0
    more = bool(behind) and (rest < len(text) or not whole)
    if behind and more and (end == -1 or behind <= end):
        return Shape("lines" if -1 < end < rest else "objects")
    if not more:
        found = _wrapper(text, at, split, whole=bool(behind))
        if found is not None:
            return found
    if behind and not more and _by_column(first):
        return Shape("columns")
    if behind:
        return Shape("lines" if end == -1 or behind <= end else "objects")
    if end != -1 and any(_is_row(line) for line in _lines(text)):
        return Shape("lines")
    return Shape("objects")


def _wrapper(text: str, at: int, split: str, *, whole: bool) -> Shape | None:
    """The list of rows inside an object, if it has one."""
    found = list(_members(text, at, "", 0))
    lists = [(name, place) for name, place, kind in found if kind == "list"]
    order = (split, *(name for name in WRAPPERS if name != split))
    for wanted in order:
        for name, place in lists:
            if name.split(".")[-1] == wanted:
                return Shape("list", place + 1, 1 + text.count("\n", 0, place), name)
    tops = [name for name, _, _ in found if "." not in name]
    for name, place in lists:
        # Alone in its object, or so long that it cannot be a row's.
        if len(tops) == 1 or not whole:
            return Shape("list", place + 1, 1 + text.count("\n", 0, place), name)
    inner = [kind for name, _, kind in found if "." not in name]
    if len(inner) > 1 and set(inner) == {"object"} and not COLUMNS & set(tops):
        place = text.index("{", at)
        return Shape("keyed", place + 1, 1 + text.count("\n", 0, place), "its names")
    return None


def _members(text: str, at: int, above: str, depth: int) -> Iterator[tuple[str, int, str]]:
    """Name, place and kind of what stands in an object, as far as the text goes."""
    at = _end(_BLANK, text, at + 1)
    while text[at : at + 1] == '"':
        try:
            key, at = scanstring(text, at + 1)
        except ValueError:
            return
        at = _end(_BLANK, text, at)
        if text[at : at + 1] != ":":
            return
        at = _end(_BLANK, text, at + 1)
        name = f"{above}{key}"
        yield name, at, _kind(text, at, key)
        if text[at : at + 1] == "{" and depth == 0:
            yield from _members(text, at, f"{name}.", depth + 1)
        _, at = _value(text, at)
        if not at:
            return
        at = _end(_BLANK, text, at)
        if text[at : at + 1] == ",":
            at = _end(_BLANK, text, at + 1)


def _kind(text: str, at: int, key: str) -> str:
    """Of a value: "list" where it may be the list of rows, "object", or "other"."""
    if text[at : at + 1] == "{":
        return "object"
    inner = _end(_BLANK, text, at + 1)
    if text[at : at + 1] != "[" or text[inner : inner + 1] not in ("{", "]"):
        return "other"
    if key in ROW_LISTS or (text[inner : inner + 1] == "]" and key not in WRAPPERS):
        return "other"
    item, _ = _value(text, inner)
    if isinstance(item, dict) and item.keys() & {"role", "from"}:
        return "other"
    return "list"


def _by_column(value: Any) -> bool:
    """Whether an object is a table, column by column."""
    if not isinstance(value, dict) or not COLUMNS & set(value):
        return False
    parts = list(value.values())
    if all(isinstance(part, dict) and "0" in part for part in parts):
        return True
    texts = all(
        isinstance(part, list) and len(part) > 1 and not isinstance(part[0], dict) for part in parts
    )
    return texts and len({len(part) for part in parts}) == 1


def _lines(text: str) -> list[str]:
    return text.split("\n", LINES_LOOKED_AT)[:LINES_LOOKED_AT]


def _is_row(line: str) -> bool:
    text = line.strip().removesuffix(",")
    value, end = _value(text, 0) if text.startswith("{") else (None, 0)
    return isinstance(value, dict) and end == len(text)


def _value(text: str, at: int) -> tuple[Any, int]:
    """A value and its end; the end is 0 where there is none, or not all of it."""
    try:
        value, end = _SCAN(text, at)
    except (StopIteration, ValueError, RecursionError):
        return None, 0
    return value, end


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at
