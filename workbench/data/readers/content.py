"""The bytes of a text file: decompressed, in UTF-8, forwards once and anywhere afterwards."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import open_regular

CHUNK_BYTES = 1 << 20
# A zstd block of four bytes may stand for 128 KB, so that a piece unfolds to 32 MB at most.
ZSTD_PIECE_BYTES = 1 << 10
SPOOL_CHECK_BYTES = 64 << 20
SPOOL_SPARE_BYTES = 1 << 30
LOOK_AGAIN = "Read the file again."

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
# UTF-32 first: its mark begins as UTF-16's does.
WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Content:
    """One file's bytes, as text in UTF-8.

    What is compressed, or in another encoding, is kept as it was read in a temporary file without
    a name, so that `read_at` finds any place of it again.

    Attributes:
        size: Bytes on the disk.
        compression: "gzip", "zstd" or empty.
        encoding: "utf-16" or "utf-32" where it is read from that, otherwise empty.
        mark: Length of the byte order mark of UTF-8, which every read leaves out.
        fault: What ended the newest reading too early, in words; empty where nothing did.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_regular(path)
        status = os.fstat(self._file.fileno())
        self.size = status.st_size
        self._version = (status.st_size, status.st_mtime_ns)
        first = os.pread(self._file.fileno(), 8, 0)
        zstd = "zstd" if first.startswith(ZSTD) else ""
        self.compression = "gzip" if first.startswith(GZIP) else zstd
        self.fault = ""
        self.encoding = ""
        self.mark = 0
        self._spool: int | None = None
        self._spooled = 0
        self._spool_whole = False
        self._spool_open = True
        self._newest: _Pread | None = None
        self.encoding = _wide(self.open().read(16))
        self._spooled, self._spool_whole = 0, False
        start = self.open().read(3)
        self.mark = 3 if start == codecs.BOM_UTF8 else 0

    @property
    def position(self) -> int:
        """Bytes of `size` that the newest reading has read."""
        if self._newest is None:
            return 0
        done = self._newest.at
        if self._newest.handle == self._spool:
            done = done * self.size // max(1, self._spooled)
        return min(done, self.size)

    def open(self) -> io.BufferedReader[Any]:
        """The text's bytes from the start, behind a byte order mark; `fault` tells of its end."""
        self.fault = ""
        handle = self._file.fileno()
        if self._spool_whole and self._spool is not None:
            handle = self._spool
        self._newest = raw = _Pread(handle)
        self._newest.content = self
        if handle == self._spool or not (self.compression or self.encoding):
            raw.at = self.mark
            return io.BufferedReader(raw, CHUNK_BYTES)
        file: io.BufferedReader[Any] = io.BufferedReader(
            _Unpacked(self, self._unpacked(raw)), CHUNK_BYTES
        )
        file.read(self.mark)
        return file

    def _unpacked(self, raw: io.RawIOBase) -> Iterator[bytes]:
        file: io.BufferedReader[Any] = io.BufferedReader(raw, CHUNK_BYTES)
        chunks = iter(lambda: file.read1(CHUNK_BYTES), b"")
        if self.compression == "gzip":
            chunks = _gunzip(file)
        elif self.compression == "zstd":
            chunks = _unzstd(file, self.path)
        yield from _narrow(chunks, self.encoding) if self.encoding else chunks

    def read_at(self, offset: int, length: int) -> bytes:
        """Bytes at a place that was read before.

        Raises:
            ProblemError: The file is not what it was, or the place was not kept.
        """
        if self.compression or self.encoding:
            if self._spool is None or (offset >= self._spooled and not self._spool_open):
                what = "this row was not kept: the disk for temporary files is full"
                raise ProblemError(Problem(what, str(self.path), "Decompress the file first."))
            return os.pread(self._spool, length, offset)
        if self.changed:
            what = "the file was changed after it was read"
            raise ProblemError(Problem(what, str(self.path), LOOK_AGAIN))
        return os.pread(self._file.fileno(), length, offset)

    @property
    def changed(self) -> bool:
        """Whether the file is not what it was when it was opened."""
        status = os.fstat(self._file.fileno())
        return (status.st_size, status.st_mtime_ns) != self._version

    def keep(self, chunk: bytes, offset: int) -> None:
        """Keep what was unpacked, as long as the disk has room for it."""
        new = chunk[max(0, self._spooled - offset) :]
        if not new or not self._spool_open:
            return
        try:
            if self._spool is None:
                self._spool = _nameless_file()
            checked = self._spooled // SPOOL_CHECK_BYTES
            os.pwrite(self._spool, new, self._spooled)
            self._spooled += len(new)
            if self._spooled // SPOOL_CHECK_BYTES > checked:
                free = shutil.disk_usage(_spool_folder()).free
                self._spool_open = free > SPOOL_SPARE_BYTES
        except OSError:
            self._spool_open = False

    def ended(self, length: int) -> None:
        """All of it was unpacked: the next reading takes what was kept."""
        self._spool_whole = not self.fault and self._spooled == length > 0

    def close(self) -> None:
        """Close the file and delete what was kept."""
        self._file.close()
        if self._spool is not None:
            os.close(self._spool)
            self._spool = None


class _Pread(io.RawIOBase):
    """A file from a place on, beside other readers of the same handle."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.at = 0
        self.content: Content | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            count = os.preadv(self.handle, [buffer], self.at)
        except OSError as error:
            if self.content is not None:
                self.content.fault = f"the file cannot be read any further: {error.strerror}"
            return 0
        self.at += count
        return count


class _Unpacked(io.RawIOBase):
    """What pieces of bytes come to, each kept in the spool."""

    def __init__(self, content: Content, chunks: Iterator[bytes]) -> None:
        self.content = content
        self.chunks = chunks
        self.rest = memoryview(b"")
        self.at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.rest:
            try:
                chunk = next(self.chunks)
            except StopIteration:
                self.content.ended(self.at)
                return 0
            except (EOFError, OSError, zlib.error, _ZstdError) as error:
                self.content.fault = self.content.fault or _fault(error, self.content.compression)
                return 0
            self.content.keep(chunk, self.at)
            self.at += len(chunk)
            self.rest = memoryview(chunk)
        count = min(len(buffer), len(self.rest))
        buffer[:count] = self.rest[:count]
        self.rest = self.rest[count:]
        return count


class _ZstdError(Exception):
    pass


def _fault(error: Exception, compression: str) -> str:
    if isinstance(error, EOFError):
        return f"the file is cut: its {compression} data has no end"
    return f"the {compression} data is damaged here ({error})"


def _gunzip(file: io.BufferedReader[Any]) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as unpacked:
        while chunk := unpacked.read1(CHUNK_BYTES):
            yield chunk


def _unzstd(file: io.BufferedReader[Any], path: Path) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        step = "Run pip install zstandard, or decompress the file: zstd -d FILE"
        what = "it is compressed with zstd, and the package zstandard is missing"
        raise ProblemError(Problem(what, str(path), step)) from None
    unpack: Any = None
    piece = b""
    try:
        while piece := piece or file.read(ZSTD_PIECE_BYTES):
            if unpack is None:
                unpack = zstandard.ZstdDecompressor().decompressobj()
            if chunk := unpack.decompress(piece):
                yield chunk
            piece = b""
            if unpack.eof:
                piece, unpack = unpack.unused_data, None
    except zstandard.ZstdError as error:
        raise _ZstdError(str(error)) from None
    if unpack is not None:
        raise EOFError


def _narrow(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """UTF-16 and UTF-32 as UTF-8; what is no letter becomes the replacement mark."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for chunk in chunks:
        yield decoder.decode(chunk).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _wide(start: bytes) -> str:
    """The name of an encoding of two or four bytes a letter; empty for all others."""
    for mark, encoding in WIDE_MARKS:
        if start.startswith(mark):
            return encoding
    pairs = list(zip(start[::2], start[1::2], strict=False))
    if len(pairs) > 3 and all(low and not high for low, high in pairs):
        return "utf-16-le"
    if len(pairs) > 3 and all(high and not low for high, low in [(b, a) for a, b in pairs]):
        return "utf-16-be"
    return ""


def _spool_folder() -> str:
    """Where large temporary files go: /tmp is often in memory, /var/tmp never."""
    own = os.environ.get("TMPDIR")
    return own or ("/var/tmp" if os.access("/var/tmp", os.W_OK) else tempfile.gettempdir())


def _nameless_file() -> int:
    handle, name = tempfile.mkstemp(dir=_spool_folder(), prefix="dpo-workbench-")
    Path(name).unlink()
    return handle
