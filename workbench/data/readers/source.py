"""One file or folder of training data, opened: its rows, whatever it is written in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from workbench.base.problems import Problem, ProblemError
from workbench.data.readers.columnar import is_saved, open_columns, open_saved
from workbench.data.readers.content import CHUNK_BYTES, Content
from workbench.data.readers.json_lines import JsonLines
from workbench.data.readers.json_shape import Shape, json_shape
from workbench.data.readers.json_stream import JsonStream
from workbench.data.readers.json_text import ROW_LIMIT_BYTES
from workbench.data.readers.kinds import foreign
from workbench.data.readers.remarks import Remarks
from workbench.data.readers.row import BrokenRow, SourceRow
from workbench.data.readers.table import Header, Table, header_of

HEAD_BYTES = 1 << 16
COLUMN_MAGIC = ((b"PAR1", "parquet"), (b"ARROW1", "arrow"), (b"\xff\xff\xff\xff", "arrow"))
COMPRESSION = {"": "", "gzip": ".gz", "zstd": ".zst"}
JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}
TABLE_SUFFIXES = {".csv", ".tsv"}
WORDS = {",": "commas", ";": "semicolons", "\t": "tabs"}
NAME_DATA = "Name a file with data."


class Reader(Protocol):
    """What reads one kind of file."""

    @property
    def position(self) -> int:
        """Bytes of the file that were read."""
        ...

    @property
    def passed(self) -> int:
        """Bytes of text before the last row that was ever read."""
        ...

    def rows(self) -> Iterator[SourceRow | BrokenRow]:
        """Its rows from the start."""
        ...

    def at(self, number: int) -> SourceRow:
        """One row again."""
        ...

    def close(self) -> None:
        """Close its files."""
        ...


@dataclass
class Source:
    """A file or folder of rows. It holds none of them, however many there are.

    Attributes:
        kind: "jsonl", "json", "csv", "tsv", "parquet", "arrow" or "saved" (a folder).
        compression: "gzip", "zstd" or empty.
        size: Bytes on the disk.
    """

    path: Path
    kind: str
    compression: str
    size: int
    reader: Reader = field(repr=False)
    remarks: Remarks = field(repr=False)

    @property
    def notes(self) -> list[str]:
        """What is unusual about it, a sentence each; complete after a full reading."""
        return self.remarks.notes()

    @property
    def as_is(self) -> bool:
        """Whether `datasets` reads the same rows of it, as far as it was read.

        The name of the loader is `kind`, "csv" and "json" for all of their forms.
        """
        return self.remarks.as_is

    @property
    def passed(self) -> int:
        """Bytes of text, decompressed, before the last row that was ever read; 0 for columns."""
        return self.reader.passed

    @property
    def position(self) -> int:
        """How many bytes of `size` were read, to show progress."""
        return self.reader.position

    def rows(self) -> Iterator[SourceRow | BrokenRow]:
        """All rows and all broken places from the start, one by one; may be called again."""
        return self.reader.rows()

    def at(self, number: int) -> SourceRow:
        """One row, from 1, after `rows` has passed it.

        Raises:
            IndexError: It was not passed yet.
            ProblemError: The file was changed since, or the row was not kept.
        """
        return self.reader.at(number)

    def close(self) -> None:
        """Close it, and delete what was kept of it for `at`."""
        self.reader.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_saved_folder(path: Path) -> bool:
    """Whether a folder is what `save_to_disk` of `datasets` writes."""
    return is_saved(path)


def text_suffix(path: Path) -> str:
    """What a file's name says it holds, as a suffix: `.jsonl` of `train.jsonl.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return next((s for s in reversed(suffixes) if s not in COMPRESSION.values()), "")


def open_source(path: Path, *, split: str = "train", text_only: bool = False) -> Source:
    """Open a file or a `save_to_disk` folder, told by what is in it.

    Args:
        path: A file of JSON lines, JSON, CSV, TSV, parquet or arrow; text may be compressed with
            gzip or zstd.
        split: Which split of a saved folder, or which of several lists in a JSON object.
        text_only: Refuse what no text can be, so that no library is imported.

    Raises:
        ProblemError: There is nothing to read, with what it is instead.
    """
    try:
        if path.is_dir() and not text_only:
            return _folder(path, split)
        content = Content(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        return _opened(content, split, text_only)
    except BaseException:
        content.close()
        raise


def _opened(content: Content, split: str, text_only: bool) -> Source:
    head = content.open().read(HEAD_BYTES)
    if not head and not content.fault:
        raise _refused(content, "the file has no rows: it is empty", NAME_DATA)
    for magic, kind in COLUMN_MAGIC:
        if head.startswith(magic) and text_only:
            raise _refused(content, f"it is {kind}, though its name says text", "Rename it.")
        if head.startswith(magic):
            return _columns(content, kind)
    if not content.encoding and (found := foreign(head)):
        raise _refused(content, *found)
    if not head.strip(b" \t\r\n\0"):
        if content.fault:
            what = f"it cannot be read: {content.fault}"
            raise _refused(content, what, "Fetch or write the file again.")
        if _is_blank(content):
            raise _refused(
                content, "the file has no rows: it holds only blanks or zero bytes", NAME_DATA
            )
    return _text(content, head, split)


def _columns(content: Content, kind: str) -> Source:
    if content.compression:
        step = f"Decompress it first: it is {kind} inside."
        raise _refused(content, f"it is compressed with {content.compression}", step)
    remarks = Remarks()
    reader = open_columns(content.path, kind, remarks)
    size = content.size
    content.close()
    return Source(content.path, kind, "", size, reader, remarks)


def _text(content: Content, head: bytes, split: str) -> Source:
    remarks = Remarks(_first_notes(content, head), as_is=not content.encoding)
    if not content.compression and content.path.suffix.lower() in (".gz", ".zst"):
        remarks.as_is = False
    shape = _shape(content, split)
    suffix = text_suffix(content.path)
    if shape is not None:
        return _json(content, shape, remarks)
    text = head.decode("utf-8", "surrogateescape")
    if suffix in JSON_SUFFIXES:
        begin = " ".join(head[:40].decode("utf-8", "replace").split())
        what = f"it is not JSON, though its name says so: it begins with {begin[:30]!r}"
        raise _refused(content, what, "Name a file of JSON lines, or give it its right name.")
    header = header_of(text, suffix)
    if header is None or not (header.sure or suffix in TABLE_SUFFIXES):
        what = "it is plain text, without columns"
        step = 'Write it as JSON lines first: {"text": "..."}, one for each piece of text.'
        raise _refused(content, what, step)
    return _table(content, header, remarks, head)


def _shape(content: Content, split: str) -> Shape | None:
    """The form of a JSON text, of its first megabyte, or of more where its first line is longer."""
    for most in (CHUNK_BYTES, ROW_LIMIT_BYTES):
        raw = content.open().read(most)
        text = raw.decode("utf-8", "surrogateescape")
        found = json_shape(text, len(raw) < most, split)
        if found is None or found.form != "objects" or len(raw) < most or "\n" in text:
            break
    if found is None:
        return None
    offset = len(text[: found.offset].encode("utf-8", "surrogateescape"))
    return Shape(found.form, content.mark + offset, found.line, found.wrapped)


def _json(content: Content, shape: Shape, remarks: Remarks) -> Source:
    if shape.form == "columns":
        what = "it is a table in JSON, written column by column"
        step = 'Write it row by row, in pandas: to_json(FILE, orient="records", lines=True).'
        raise _refused(content, what, step)
    if shape.wrapped:
        where = "values of one object" if shape.form == "keyed" else f'under "{shape.wrapped}"'
        remarks.fixed.append(f"rows are {where}")
        remarks.as_is = False
    if shape.form == "objects":
        remarks.fixed.append("objects follow one another over several lines")
        remarks.as_is = False
    if shape.form == "lines":
        return _source(content, "jsonl", JsonLines(content, remarks), remarks)
    return _source(content, "json", JsonStream(content, remarks, shape), remarks)


def _table(content: Content, header: Header, remarks: Remarks, head: bytes) -> Source:
    if b"\n" not in head and b"\r" in head:
        what = "its lines end with CR alone, as on old Macs"
        raise _refused(content, what, "Convert it first: tr '\\r' '\\n' < FILE > NEW_FILE")
    if header.delimiter != ",":
        remarks.fixed.append(f"cells are apart by {WORDS[header.delimiter]}")
        remarks.as_is = False
    if header.changed:
        remarks.fixed.append("some columns have no name, or the name of another")
    kind = "tsv" if header.delimiter == "\t" else "csv"
    return _source(content, kind, Table(content, remarks, header), remarks)


def _source(content: Content, kind: str, reader: Reader, remarks: Remarks) -> Source:
    return Source(content.path, kind, content.compression, content.size, reader, remarks)


def _first_notes(content: Content, head: bytes) -> list[str]:
    notes = []
    if content.mark:
        notes.append("it starts with a byte order mark")
    if content.encoding:
        notes.append(f"it is in {content.encoding.upper()[:6]}, not in UTF-8")
    if b"\r\n" in head:
        notes.append("lines end with CRLF")
    suffix = content.path.suffix.lower()
    if suffix in (".gz", ".zst") and COMPRESSION[content.compression] != suffix:
        notes.append(f"it is not compressed as its name says ({suffix})")
    elif content.compression and COMPRESSION[content.compression] != suffix:
        notes.append(f"it is compressed with {content.compression}, which its name does not say")
    return notes


def _is_blank(content: Content) -> bool:
    file = content.open()
    while raw := file.read(CHUNK_BYTES):
        if raw.strip(b" \t\r\n\0"):
            return False
    return True


def _folder(path: Path, split: str) -> Source:
    if is_saved(path):
        remarks = Remarks(as_is=False)
        reader = open_saved(path, split, remarks)
        return Source(path, "saved", "", reader.size, reader, remarks)
    try:
        names = sorted(file.name for file in path.iterdir() if file.is_file())[:5]
    except OSError as error:
        raise _unreadable(path, error) from None
    step = f"Name a file in it: {', '.join(names)}." if names else "It has no files."
    raise ProblemError(Problem("it is a folder, not a data file", str(path), step))


def _unreadable(path: Path, error: OSError) -> ProblemError:
    reasons = {"not a regular file": "it is no regular file, but a pipe or a device"}
    words = str(error.strerror or error)
    step = "Check the path." if isinstance(error, FileNotFoundError) else NAME_DATA
    return ProblemError(Problem(reasons.get(words, f"cannot read it: {words}"), str(path), step))


def _refused(content: Content, what: str, step: str) -> ProblemError:
    step = step.replace("FILE", content.path.name)
    if content.compression and "compressed" not in what:
        what = f"{what} ({content.compression} was taken off)"
    return ProblemError(Problem(what, str(content.path), step))
