"""Finding equal hashes among millions without holding them all."""

from __future__ import annotations

import hashlib
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

BUCKETS = 64
BUFFER_BYTES = 64 * 1024


def hash_of(text: str) -> int:
    """64 bits of a text. Among five million texts two have one by chance once in 1.5 million sets.

    The expected number of such pairs is n (n - 1) / 2 / 2**64.
    """
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class HashBuckets:
    """Records of fixed size that begin with a hash, kept on disk.

    Records with equal hashes lie in one of 64 files, each of which is read back alone.

    Args:
        folder: Where the files are; they have no names there.
        layout: Of `struct`; its first field is the hash, a `Q`.
    """

    def __init__(self, folder: Path, layout: str) -> None:
        self._struct = struct.Struct(layout)
        self._files: list[BinaryIO] = [
            tempfile.TemporaryFile(dir=folder, buffering=BUFFER_BYTES)  # noqa: SIM115
            for _ in range(BUCKETS)
        ]

    def add(self, key: int, *values: int) -> None:
        """Keep a record."""
        self._files[key % BUCKETS].write(self._struct.pack(key, *values))

    def groups(self) -> Iterator[list[tuple[int, ...]]]:
        """Records with one hash, in the order in which they came; single ones as well."""
        for file in self._files:
            file.seek(0)
            found: dict[int, list[tuple[int, ...]]] = {}
            for record in self._struct.iter_unpack(file.read()):
                found.setdefault(record[0], []).append(record)
            yield from found.values()

    def close(self) -> None:
        """Delete the files."""
        for file in self._files:
            file.close()
