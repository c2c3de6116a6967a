"""Files that are written whole or not at all, and JSON lines that are appended whole."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FLOAT_BITS = 1024
NAME_BYTES = 60


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
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:NAME_BYTES]}.")
    try:
        try:
            _write_all(handle, data)
            os.fchmod(handle, mode)
            os.fsync(handle)
        finally:
            os.close(handle)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink(missing_ok=True)
        raise


def _write_all(handle: int, data: bytes) -> None:
    """Write every byte: a disk that is nearly full takes a part and fails at the next."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def json_safe(value: Any) -> Any:
    """A value as strict JSON can hold it: numbers beyond every float become None, paths text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_safe(item) for item in value]
    if isinstance(value, int) and value.bit_length() > FLOAT_BITS:
        return None
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


def amount(row: Mapping[str, Any], name: str) -> float:
    """A positive number of a log record; 0 where it has none."""
    value: Any = row.get(name)
    return float(value) if is_number(value) and value > 0 else 0.0


def append_json(path: Path, record: Mapping[str, Any]) -> None:
    """Append one JSON line in a single write, so that lines of two writers never mix.

    Where the file ends in half a line (the disk was full, the writer was killed), the new one
    begins on a line of its own.

    Raises:
        OSError: It cannot be written, or only a part of it was.
    """
    line = json.dumps(json_safe(record), ensure_ascii=False, allow_nan=False) + "\n"
    data = line.encode("utf-8", "surrogatepass")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        _write_all(handle, b"\n" + data if torn else data)
    finally:
        os.close(handle)
