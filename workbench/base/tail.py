"""Reading files that others write, cut, replace or damage: never blocks, never takes it all."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

import orjson

READ_LIMIT_BYTES = 256 * 1024
LINE_LIMIT_BYTES = 1024 * 1024
SMALL_FILE_BYTES = 8 * 1024 * 1024
CUT_KEEP_BYTES = 4096
CUT_MARK = "… "
CHECK_BYTES = 64
_DECODER = json.JSONDecoder()


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, without waiting for anybody.

    Raises:
        OSError: It cannot be opened, or is a pipe, device or folder.
    """
    # Opening a pipe would wait for its writer, which may never come.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(handle, "rb", buffering=0)


def read_small(path: Path, limit_bytes: int = SMALL_FILE_BYTES) -> str:
    """The text of a file that has no reason to be large.

    Raises:
        OSError: It cannot be read, is no regular file, or is larger than the limit.
        UnicodeDecodeError: It is no UTF-8 (a ValueError).
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > limit_bytes:
            raise OSError(errno.EFBIG, "far too large", str(path))
        return file.read(limit_bytes).decode("utf-8")


def parse_json_objects(line: str) -> list[dict[str, Any]]:
    """The JSON objects of a line: one, several where lines were glued, none where it is foreign.

    What follows the last whole object is left out.
    """
    found: list[dict[str, Any]] = []
    text = line.lstrip("\ufeff").strip()
    while text.startswith("{"):
        try:
            record, end = _DECODER.raw_decode(text)
        except (ValueError, RecursionError):
            break
        found.append(record)
        text = text[end:].lstrip()
    return found


def parse_json_line(line: bytes) -> list[dict[str, Any]]:
    """The JSON objects of a line as it stands in the file; see `parse_json_objects`."""
    try:
        # What it refuses (NaN, no UTF-8), `parse_json_objects` reads.
        record = orjson.loads(line)
    except (ValueError, RecursionError):
        return parse_json_objects(line.decode("utf-8", "replace"))
    return [record] if type(record) is dict else []


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All whole records of a JSON-lines file; a file that cannot be read has none."""
    tail = LineTail(path)
    records: list[dict[str, Any]] = []
    while tail.more:
        for line in tail.read_lines():
            records += parse_json_line(line)
    return records + parse_json_objects(tail.partial)


class LineTail:
    """Reads the lines that a growing text file got since the last call.

    The file may be missing at first, cut short, overwritten or replaced by another: then
    reading starts again at its beginning and `restarted` is true until the next call. A last
    line without its line end is kept back until the rest arrives. Of a line longer than
    `LINE_LIMIT_BYTES` only the end is given, behind `CUT_MARK`.

    Attributes:
        restarted: The last call began the file anew.
        more: The last call met its limit, so another one will find more.
        whole: Nothing was skipped at the file's beginning.
    """

    def __init__(self, path: Path, limit_bytes: int = READ_LIMIT_BYTES) -> None:
        self.path = path
        self.limit_bytes = limit_bytes
        self.restarted = False
        self.more = True
        self.whole = True
        self._inode = 0
        self._begin(0)

    def _begin(self, offset: int) -> None:
        self._offset = offset
        self._partial = b""
        self._cut = False
        self._skip_first = False
        # The bytes just before the offset: where they have changed, it is another text.
        self._before = b""

    @property
    def position(self) -> int:
        """The byte of the file at which the next line begins."""
        return self._offset - len(self._partial)

    @property
    def partial(self) -> str:
        """The beginning of a line whose end has not been written yet."""
        return "" if self._skip_first else self._whole(self._partial).decode("utf-8", "replace")

    def read(self) -> list[str]:
        """The new complete lines of the next `limit_bytes`; empty when there are none."""
        return [line.decode("utf-8", "replace") for line in self.read_lines()]

    def read_lines(self) -> list[bytes]:
        """The same as they stand in the file."""
        self.restarted = self.more = False
        try:
            with open_regular(self.path) as file:
                chunk = self._next_chunk(file)
        except OSError:
            return []
        self.more = len(chunk) == self.limit_bytes
        self._offset += len(chunk)
        self._before = (self._before + chunk[-CHECK_BYTES:])[-CHECK_BYTES:]
        return self._split(chunk)

    def _next_chunk(self, file: BinaryIO) -> bytes:
        status = os.fstat(file.fileno())
        replaced = self._inode not in (0, status.st_ino) or status.st_size < self._offset
        self._inode = status.st_ino
        if not replaced:
            known = len(self._before)
            file.seek(self._offset - known)
            data = file.read(known + self.limit_bytes)
            if data[:known] == self._before:
                return data[known:]
        self.restarted = True
        self._begin(0)
        file.seek(0)
        return file.read(self.limit_bytes)

    def _split(self, chunk: bytes) -> list[bytes]:
        lines = chunk.split(b"\n")
        self._partial += lines[0]
        if len(lines) > 1:
            lines[0], self._partial = self._whole(self._partial), lines.pop()
            if self._skip_first:
                del lines[0]
            self._cut = self._skip_first = False
        else:
            lines = []
        if len(self._partial) > LINE_LIMIT_BYTES or (self._cut and self._partial):
            self._partial, self._cut = self._partial[-CUT_KEEP_BYTES:], True
        return lines

    def _whole(self, line: bytes) -> bytes:
        return CUT_MARK.encode() + line if self._cut else line

    def skip_to_last(self, byte_count: int) -> None:
        """Start near the end of the file: only whole lines of its last bytes are read."""
        try:
            status = self.path.stat()
        except OSError:
            return
        offset = max(0, status.st_size - byte_count)
        self.whole = offset == 0
        self._inode = status.st_ino
        # One byte earlier: where it ends a line, the empty rest of that line is what is skipped.
        self._begin(max(0, offset - 1))
        self._skip_first = offset > 0
