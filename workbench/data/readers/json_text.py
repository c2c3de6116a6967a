"""Parsing one JSON value of a file that others wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from workbench.data.readers.remarks import Remarks

# A row longer than this is given up; its text may take four times as much in memory.
ROW_LIMIT_BYTES = 32 << 20
KINDS = {str: "a text", list: "a list", bool: "true or false", type(None): "null"}
_UNDEFINED = {0x81, 0x8D, 0x8F, 0x90, 0x9D}
_CP1252 = {
    0xDC00 + byte: bytes([byte]).decode("latin-1" if byte in _UNDEFINED else "cp1252")
    for byte in range(0x80, 0x100)
}
_HALVES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
# Finds the escapes that letters beyond the first 65536 are written with, two each.
HALF = re.compile(r"\\u[dD][89a-fA-F]").search
Scan = Callable[[str, int], tuple[Any, int]]


def scanner(remarks: Remarks) -> Scan:
    """The JSON module's own scanner: value and end at a place that is no blank.

    It raises StopIteration where no value begins, ValueError and RecursionError. NaN and Infinity
    are no JSON: they become None, and are counted.
    """

    def not_finite(_: str) -> None:
        remarks.count("not_finite")

    decoder = json.JSONDecoder(parse_constant=not_finite)
    scan: Scan = decoder.scan_once  # type: ignore[attr-defined]
    return scan


def mended(values: Any, remarks: Remarks, *, foreign: bool) -> Any:
    """A value whose texts can all be written as UTF-8.

    Args:
        values: A JSON value; bytes that are no UTF-8 stand in it as `surrogateescape` has them.
        foreign: There were such bytes; they are read as Windows-1252.
    """
    seen: set[str] = set()
    found = _walk(values, foreign, seen)
    for name in sorted(seen):
        remarks.count(name)
    return found


def _walk(value: Any, foreign: bool, seen: set[str]) -> Any:
    if isinstance(value, str):
        if value.isascii():
            return value
        return _text(value, foreign, seen)
    if isinstance(value, list):
        return [_walk(item, foreign, seen) for item in value]
    if isinstance(value, dict):
        return {_walk(k, foreign, seen): _walk(v, foreign, seen) for k, v in value.items()}
    return value


def _text(value: str, foreign: bool, seen: set[str]) -> str:
    try:
        value.encode()
        return value
    except UnicodeEncodeError:
        pass
    if foreign:
        better = value.translate(_CP1252)
        if better != value:
            seen.add("not_utf8")
        value = better
    better = value.translate(_HALVES)
    if better != value:
        seen.add("half_pair")
    return better


def reason(error: BaseException, text: str, start: int = 0) -> str:
    """Why a text is no JSON, in a few words, without a line number."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, StopIteration):
        place, message = int(error.value), "Expecting value"
    elif isinstance(error, json.JSONDecodeError):
        place, message = error.pos, error.msg
    else:
        return str(error).split(";")[0]
    begin = max(start, text.rfind("\n", 0, place) + 1)
    message = message.removesuffix(" at").replace("Expecting", "expecting")
    return f"{message[:1].lower()}{message[1:]}, column {place - begin + 1}"


def no_object(value: Any) -> str:
    """What a value is that should be a row."""
    return KINDS.get(type(value), "a number")
