"""Files that are written whole or not at all, and JSON lines that are read while they grow."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

READ_LIMIT_BYTES = 256 * 1024


def make_private_dir(path: Path) -> None:
    """Create a folder and its missing parents, all of them for the owner only (0700)."""
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)


def write_atomic(path: Path, content: str | bytes, *, mode: int = 0o600) -> None:
    """Replace a file in one step: readers see the old content or the new, never a part.

    The new content is on the disk before the old one goes (fsync, then rename).

    Raises:
        OSError: The folder is missing, read-only or full; the old file is untouched then.
    """
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def json_safe(value: Any) -> Any:
    """A value as strict JSON can hold it: non-finite floats become None, paths become text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_safe(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def is_number(value: object) -> bool:
    """Whether a value read from JSON is a number that can be used: finite, and no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def append_json(path: Path, record: Mapping[str, Any]) -> None:
    """Append one JSON line in a single write, so that lines of two writers never mix."""
    line = json.dumps(json_safe(record), ensure_ascii=False, allow_nan=False) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, line.encode("utf-8", "surrogatepass"))
    finally:
        os.close(handle)


def parse_json_line(line: str) -> dict[str, Any] | None:
    """The JSON object of a line, or None for a torn, glued, empty or foreign one."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All whole records of a JSON-lines file; a missing file has none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    records = (parse_json_line(line) for line in text.split("\n"))
    return [record for record in records if record is not None]


class LineTail:
    """Reads the lines that a growing text file got since the last call.

    The file may be missing at first, cut short or replaced by another: then reading starts
    again at its beginning and `restarted` is true until the next call. A last line without
    its line end is kept back until the rest arrives.
    """

    def __init__(self, path: Path, limit_bytes: int = READ_LIMIT_BYTES) -> None:
        self.path = path
        self.limit_bytes = limit_bytes
        self.restarted = False
        self._offset = 0
        self._inode = 0
        self._partial = b""

    def read(self) -> list[str]:
        """The new complete lines, at most `limit_bytes` of them; empty when there are none."""
        self.restarted = False
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                self._notice_replacement(status)
                file.seek(self._offset)
                chunk = file.read(self.limit_bytes)
        except OSError:
            return []
        self._offset += len(chunk)
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]

    def skip_to_last(self, byte_count: int) -> None:
        """Start near the end of the file: the next read yields its last `byte_count` bytes."""
        try:
            status = self.path.stat()
        except OSError:
            return
        self._inode = status.st_ino
        self._offset = max(0, status.st_size - byte_count)
        self._partial = b""

    def _notice_replacement(self, status: os.stat_result) -> None:
        known = self._inode != 0
        if known and (status.st_ino != self._inode or status.st_size < self._offset):
            self.restarted = True
            self._offset = 0
            self._partial = b""
        self._inode = status.st_ino
