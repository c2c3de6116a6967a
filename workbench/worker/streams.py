"""Standard streams that a full disk cannot break: what cannot be written is left out."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Forgiving(io.RawIOBase):
    """Writes to a file descriptor, and takes what the disk refuses for written."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._handle

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return os.write(self._handle, data)
        except OSError:
            return memoryview(data).nbytes


def forgive_full_disk() -> None:
    """Let no `print` of any library end the training because train.log cannot grow."""
    for name, handle in (("stdout", 1), ("stderr", 2)):
        raw = io.BufferedWriter(_Forgiving(handle))
        text = io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True)
        setattr(sys, name, text)
