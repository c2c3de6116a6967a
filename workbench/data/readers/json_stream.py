"""Rows of a JSON list, of an object that wraps them, or of objects one after another."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from workbench.data.readers.content import CHUNK_BYTES, Content
from workbench.data.readers.json_shape import Shape
from workbench.data.readers.json_text import (
    HALF,
    ROW_LIMIT_BYTES,
    mended,
    no_object,
    reason,
    scanner,
)
from workbench.data.readers.remarks import Remarks
from workbench.data.readers.row import BrokenRow, SourceRow
from workbench.data.readers.text_lines import TOO_LONG, TextReader, value_at

# So near to the end of what was read, an error may only mean that the rest is missing.
NEAR_END = 16
SEARCH_LIMIT_BYTES = 256 << 20
NO_END = "the list has no end: the file is cut"
NOT_READ = "the rest of the file was not read"
_BLANK = re.compile(r"[ \t\r\n\ufeff]*")
_FIRST_KEY = re.compile(r'\{\s*("(?:[^"\\]|\\.)*")\s*:')
_COLON = re.compile(r"\s*:\s*")


class _Feed:
    """A window of text that moves over the file.

    Attributes:
        text: What is in the window.
        base, line: Offset of the window in the file's bytes, and line, from 1.
        foreign: There were bytes that are no UTF-8, kept as `surrogateescape` does.
    """

    def __init__(self, content: Content, start: int, line: int) -> None:
        self.file = content.open()
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.text = ""
        self.base = content.mark
        self.line = line
        self.foreign = False
        self.ended = False
        while start > self.base:
            self.base += len(self.file.read(min(CHUNK_BYTES, start - self.base)))

    def more(self, at: int) -> bool:
        """Leave out what stands before `at`, and read on; false at the end of the file."""
        self.line += self.text.count("\n", 0, at)
        self.base = self.place(at)
        rest = self.text[at:]
        raw = self.file.read(max(CHUNK_BYTES, len(rest)))
        self.ended = not raw
        self.text = rest + self._decoded(raw)
        return not self.ended or len(self.text) > len(rest)

    def _decoded(self, raw: bytes) -> str:
        state = self.decoder.getstate()
        try:
            return self.decoder.decode(raw, final=not raw)
        except UnicodeDecodeError:
            self.foreign = True
            self.decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
            self.decoder.setstate(state)
            return self.decoder.decode(raw, final=not raw)

    def place(self, at: int) -> int:
        """Offset in the file of a place in the window."""
        if self.text.isascii():
            return self.base + at
        return self.base + len(self.text[:at].encode("utf-8", "surrogateescape"))


class JsonStream(TextReader):
    """A reader of JSON values that are held apart by commas or blanks."""

    def __init__(self, content: Content, remarks: Remarks, shape: Shape) -> None:
        super().__init__(content, remarks)
        self.shape = shape
        self._scan = scanner(remarks)
        self._keys: set[str] = set()
        self._end = {"list": "]", "keyed": "}"}.get(shape.form, "")

    def rows(self) -> Iterator[SourceRow | BrokenRow]:
        """Every row and every broken place, from the start."""
        self.remarks.begin()
        feed = _Feed(self.content, self.shape.offset, self.shape.line)
        walk = _Walk(feed)
        number = 0
        while True:
            kind, value = self._next(walk)
            if kind == "end":
                break
            if kind == "broken":
                self.remarks.as_is = False
                yield BrokenRow(walk.line, str(value))
                continue
            number += 1
            if number == 1:
                self._keys = set(value)
            self.index.add(number, walk.offset, walk.line)
            yield SourceRow(number, walk.line, value)
        if self._end and not (walk.closed or walk.given_up or self.content.fault):
            self.remarks.as_is = False
            yield BrokenRow(walk.last_line(), NO_END)
        yield from self.ending(walk.last_line())

    def _next(self, walk: _Walk) -> tuple[str, Any]:
        """A row, a fault in words, or the end; `walk` stands behind it."""
        feed = walk.feed
        while not walk.closed and not walk.given_up:
            sign = walk.peek()
            if not sign:
                break
            if sign == ",":
                walk.commas += 1
                walk.at += 1
            elif sign == self._end:
                walk.at += 1
                walk.close(self.shape.form)
                if not walk.closed:
                    self.remarks.count("lists")
                if walk.closed and walk.tail and not self.shape.wrapped:
                    return "broken", "something follows the end of the list"
            elif self.shape.form == "keyed" and sign == '"' and self._skip_key(walk):
                continue
            else:
                return self._element(walk, feed)
        return "end", None

    def _skip_key(self, walk: _Walk) -> bool:
        """Pass the name of a row in an object of rows."""
        while True:
            try:
                _, end = scanstring(walk.feed.text, walk.at + 1)
                colon = _COLON.match(walk.feed.text, end)
                if colon:
                    walk.at = colon.end()
                    return True
            except ValueError:
                pass
            if walk.left > CHUNK_BYTES or not walk.more():
                return False

    def _element(self, walk: _Walk, feed: _Feed) -> tuple[str, Any]:
        walk.mark()
        while True:
            try:
                value, end = self._scan(feed.text, walk.at)
            except (StopIteration, ValueError, RecursionError) as error:
                if _maybe_cut(error, feed.text):
                    if walk.left > ROW_LIMIT_BYTES:
                        return self._broken(walk, TOO_LONG, walk.at)
                    if walk.more():
                        continue
                    if self.content.fault:
                        walk.given_up = True
                        return "end", None
                where = _error_place(error, walk.at)
                first = f"element {walk.seen + 1}" if self._end else "the object"
                return self._broken(
                    walk, f"{first} is not JSON ({reason(error, feed.text)})", where
                )
            if end == len(feed.text) and not isinstance(value, dict) and walk.more():
                continue
            break
        return self._taken(walk, value, end)

    def _taken(self, walk: _Walk, value: Any, end: int) -> tuple[str, Any]:
        text, begin = walk.feed.text, walk.at
        walk.seen += 1
        walk.at = end
        if self._end and walk.commas != (walk.seen > 1):
            self.remarks.count("commas")
        walk.commas = 0
        if not isinstance(value, dict):
            return "broken", f"element {walk.seen} is not a JSON object but {no_object(value)}"
        if walk.feed.foreign or HALF(text, begin, end):
            value = mended(value, self.remarks, foreign=walk.feed.foreign)
        return "row", value

    def _broken(self, walk: _Walk, what: str, where: int) -> tuple[str, str]:
        """Say what is broken, and go to the next object that is surely a row, if there is one.

        Inside a text of JSON no bare quote can stand. So `{"first key":` is the beginning of an
        object, and it is a row if it also has the rows' other keys.
        """
        walk.line = walk.feed.line + walk.feed.text.count("\n", 0, where)
        walk.seen += 1
        first = _FIRST_KEY.match(walk.feed.text, walk.at)
        key = next(iter(self._first_keys()), first[1] if first else "")
        if not key:
            walk.given_up = True
            return "broken", f"{what}; {NOT_READ}"
        start = re.compile(r"\{\s*" + re.escape(key) + r"\s*:")
        walk.at += 1
        if self._find(walk, start):
            walk.commas = 1
            return "broken", what
        walk.given_up = True
        return "broken", f"{what}; no row was found behind it"

    def _first_keys(self) -> list[str]:
        if not self.index.offsets:
            return []
        head = self.content.read_at(self.index.offsets[0], CHUNK_BYTES // 16)
        found = _FIRST_KEY.match(head.decode("utf-8", "replace"))
        return [found[1]] if found else []

    def _find(self, walk: _Walk, start: re.Pattern[str]) -> bool:
        limit = walk.feed.base + SEARCH_LIMIT_BYTES
        while walk.feed.base < limit:
            found = start.search(walk.feed.text, walk.at)
            if found is None:
                # A beginning may be cut by the window's end.
                walk.at = max(walk.at, len(walk.feed.text) - CHUNK_BYTES // 16)
                if not walk.more():
                    return False
                continue
            walk.at = found.start()
            try:
                value, _ = self._scan(walk.feed.text, walk.at)
                if not self._keys or 2 * len(self._keys & set(value)) >= len(self._keys):
                    return True
            except (StopIteration, ValueError, RecursionError) as error:
                cut = _maybe_cut(error, walk.feed.text)
                if cut and walk.left < ROW_LIMIT_BYTES and walk.more():
                    continue
            walk.at += 1
        return False

    def at(self, number: int) -> SourceRow:
        """One row again.

        Raises:
            IndexError: It was not passed yet.
            ProblemError: The file was changed since.
        """
        offset, line = self.index.place(number)
        return SourceRow(number, line, value_at(self.content, offset))


class _Walk:
    """A place in the window, and what was passed before it.

    Attributes:
        at: Place in the window.
        line, offset: Of the element that was read last.
        seen: Elements so far, the broken ones too.
        commas: Commas since the last one.
        closed, tail: The list has ended; something stands behind it.
        given_up: No more rows can be found safely.
    """

    def __init__(self, feed: _Feed) -> None:
        self.feed = feed
        self.at = 0
        self.line = feed.line
        self.offset = feed.base
        self.seen = 0
        self.commas = 0
        self.closed = False
        self.tail = False
        self.given_up = False
        self._marked = (0, feed.base, feed.line, feed.base)

    @property
    def left(self) -> int:
        """Letters in the window that were not passed."""
        return len(self.feed.text) - self.at

    def more(self) -> bool:
        """Move the window to the place, and read on."""
        if self.feed.ended:
            return False
        got = self.feed.more(self.at)
        self.at = 0
        return got

    def peek(self) -> str:
        """The next letter that is no blank; empty at the end of the file."""
        while True:
            found = _BLANK.match(self.feed.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.feed.text):
                return self.feed.text[self.at]
            if not self.more():
                return ""

    def mark(self) -> None:
        """Take line and offset of the element that begins here, counting from the last one."""
        at, base, line, offset = self._marked
        feed = self.feed
        if base != feed.base:
            at, line, offset = 0, feed.line, feed.base
        piece = "" if feed.text.isascii() else feed.text[at : self.at]
        length = len(piece.encode("utf-8", "surrogateescape")) if piece else self.at - at
        self.line = line + feed.text.count("\n", at, self.at)
        self.offset = offset + length
        self._marked = (self.at, feed.base, self.line, self.offset)

    def close(self, form: str) -> None:
        """The list has ended; another list behind it goes on with the rows."""
        sign = self.peek()
        if form == "list" and sign == "[":
            self.at += 1
            self.commas = 1
            return
        self.closed = True
        self.tail = bool(sign)

    def last_line(self) -> int:
        """Line of the place."""
        return self.feed.line + self.feed.text.count("\n", 0, self.at)


def _maybe_cut(error: BaseException, text: str) -> bool:
    """Whether an error may come from the window's end alone."""
    if isinstance(error, StopIteration):
        return int(error.value) >= len(text) - NEAR_END
    if isinstance(error, json.JSONDecodeError):
        return error.pos >= len(text) - NEAR_END or error.msg.startswith("Unterminated")
    return False


def _error_place(error: BaseException, at: int) -> int:
    if isinstance(error, StopIteration):
        return int(error.value)
    return error.pos if isinstance(error, json.JSONDecodeError) else at
