"""Records on disk, and finding equal hashes among millions of them without holding them all."""

from __future__ import annotations

import hashlib
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

BUCKETS = 64
BUFFER_BYTES = 64 * 1024

Record = tuple[int, ...]


def hash_of(text: str) -> int:
    """64 bits of a text. Among five million texts two have one by chance once in 1.5 million sets.

    The expected number of such pairs is n (n - 1) / 2 / 2**64.
    """
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class Records:
    """Records of whole numbers, all of one size, in a file without a name.

    Args:
        folder: Where the file is.
        layout: Of `struct`.
    """

    def __init__(self, folder: Path, layout: str) -> None:
        self.struct = struct.Struct(layout)
        # Deleted by the system when it is closed.
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder, buffering=BUFFER_BYTES)  # noqa: SIM115

    def add(self, *values: int) -> None:
        """Keep a record."""
        self._file.write(self.struct.pack(*values))

    def pieces(self) -> Iterator[bytes]:
        """Whole records, some thousands at a time."""
        self._file.seek(0)
        while piece := self._file.read(1024 * self.struct.size):
            yield piece

    def __iter__(self) -> Iterator[Record]:
        for piece in self.pieces():
            yield from self.struct.iter_unpack(piece)

    def close(self) -> None:
        """Delete the file."""
        self._file.close()


class Group:
    """Records with one hash, in the order in which they came; read as often as one likes."""

    def __init__(self, layout: struct.Struct, packed: bytes | bytearray) -> None:
        self._struct, self._packed = layout, packed

    def __len__(self) -> int:
        return len(self._packed) // self._struct.size

    def __iter__(self) -> Iterator[Record]:
        return self._struct.iter_unpack(self._packed)


class HashBuckets:
    """Records of fixed size that begin with a hash, kept on disk.

    Records with equal hashes lie in one of 64 files, each of which is read back alone.

    Args:
        folder: Where the files are; they have no names there.
        layout: Of `struct`; its first field is the hash, a `Q`.
    """

    def __init__(self, folder: Path, layout: str) -> None:
        self._files = [Records(folder, layout) for _ in range(BUCKETS)]

    def add(self, key: int, *values: int) -> None:
        """Keep a record."""
        self._files[key % BUCKETS].add(key, *values)

    def groups(self, least: int = 2) -> Iterator[Group]:
        """Groups of at least so many records with one hash."""
        for file in self._files:
            size = file.struct.size
            found: dict[bytes, bytearray | bytes] = {}
            for piece in file.pieces():
                for at in range(0, len(piece), size):
                    key, record = piece[at : at + 8], piece[at : at + size]
                    packed = found.setdefault(key, record)
                    if packed is not record:
                        if isinstance(packed, bytes):
                            packed = found[key] = bytearray(packed)
                        packed += record
            for packed in found.values():
                if len(packed) >= least * size:
                    yield Group(file.struct, packed)

    def close(self) -> None:
        """Delete the files."""
        for file in self._files:
            file.close()
