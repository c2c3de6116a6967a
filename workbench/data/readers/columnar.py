"""Rows of parquet and arrow files, and of folders that `save_to_disk` wrote."""

from __future__ import annotations

import contextlib
import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import read_small
from workbench.data.readers.content import LOOK_AGAIN
from workbench.data.readers.remarks import Remarks
from workbench.data.readers.row import BrokenRow, SourceRow

BATCH_ROWS = 256
# All that pyarrow raises at damaged files.
FAULTS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    NotImplementedError,
    MemoryError,
    SystemError,
)
STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"


class Part(Protocol):
    """One file of columns. `position` is how many of its `size` bytes were read."""

    size: int
    position: int

    def batches(self) -> Iterator[Any]:
        """Its record batches."""
        ...

    def slice(self, start: int) -> tuple[int, list[dict[str, Any]]]:
        """Some rows around row `start`, from 0, and the number of the first of them."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Parquet:
    """A parquet file. Rows are found again by their row group."""

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet

        self.size = path.stat().st_size
        self.position = 0
        self._file = parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
        starts = [0]
        for group in range(self._file.num_row_groups):
            starts.append(starts[-1] + self._file.metadata.row_group(group).num_rows)
        self._starts = starts

    def batches(self) -> Iterator[Any]:
        """Its rows, a few hundred at a time."""
        done = 0
        for batch in self._file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            done += batch.num_rows
            self.position = self.size * done // max(1, self._starts[-1])
            yield batch

    def slice(self, start: int) -> tuple[int, list[dict[str, Any]]]:
        """The rows around one, from 0."""
        if start >= self._starts[-1]:
            raise IndexError(start)
        group = bisect_right(self._starts, start) - 1
        first = self._starts[group]
        for batch in self._file.iter_batches(
            batch_size=BATCH_ROWS, row_groups=[group], use_threads=False
        ):
            if start < first + batch.num_rows:
                return first, _rows(batch)
            first += batch.num_rows
        raise IndexError(start)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Arrow:
    """An arrow file or stream, mapped into memory: a batch costs nothing until it is looked at."""

    def __init__(self, path: Path) -> None:
        import pyarrow

        self.size = path.stat().st_size
        self.position = 0
        self._map = pyarrow.memory_map(str(path))
        try:
            self._stream = self._map.read(6) != b"ARROW1"
            self._open()
        except BaseException:
            self._map.close()
            raise

    def _open(self) -> Any:
        from pyarrow import ipc

        self._map.seek(0)
        return ipc.open_stream(self._map) if self._stream else ipc.open_file(self._map)

    def _whole(self) -> Iterator[Any]:
        reader = self._open()
        if self._stream:
            yield from reader
            return
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)

    def batches(self) -> Iterator[Any]:
        """Its rows, a few hundred at a time."""
        for batch in self._whole():
            with contextlib.suppress(OSError, ValueError):
                self.position = min(self.size, max(self.position, self._map.tell()))
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(start, BATCH_ROWS)

    def slice(self, start: int) -> tuple[int, list[dict[str, Any]]]:
        """The rows around one, from 0."""
        first = 0
        for batch in self._whole():
            if start < first + batch.num_rows:
                begin = (start - first) // BATCH_ROWS * BATCH_ROWS
                return first + begin, _rows(batch.slice(begin, BATCH_ROWS))
            first += batch.num_rows
        raise IndexError(start)

    def close(self) -> None:
        """Close the file."""
        self._map.close()


@dataclass(frozen=True)
class _Piece:
    """The rows that were looked at last."""

    first: int
    rows: list[dict[str, Any]]


class Columnar:
    """A reader of one file of columns, or of several that are one set."""

    def __init__(self, path: Path, parts: list[Part], remarks: Remarks) -> None:
        self.path = path
        self.parts = parts
        self.remarks = remarks
        self.size = sum(part.size for part in parts)
        self.passed = 0
        self._starts = [0]
        self._piece = _Piece(0, [])

    @property
    def position(self) -> int:
        """Bytes of the files that were read."""
        return sum(part.position for part in self.parts)

    def rows(self) -> Iterator[SourceRow | BrokenRow]:
        """Every row, from the start; a file that is damaged ends with a broken one."""
        number = 0
        for part in self.parts:
            part.position = 0
        for place, part in enumerate(self.parts):
            try:
                for batch in part.batches():
                    for values in _rows(batch):
                        number += 1
                        yield SourceRow(number, 0, values)
            except FAULTS as error:
                self.remarks.as_is = False
                yield BrokenRow(0, f"the file is damaged behind row {number} ({_first(error)})")
                return
            part.position = part.size
            if len(self._starts) == place + 1:
                self._starts.append(number)

    def at(self, number: int) -> SourceRow:
        """One row again.

        Raises:
            IndexError: It was not passed yet.
            ProblemError: The file was changed since.
        """
        place = number - 1
        if not self._piece.first <= place < self._piece.first + len(self._piece.rows):
            index = min(bisect_right(self._starts, place), len(self.parts)) - 1
            base = self._starts[index]
            try:
                if place < 0:
                    raise IndexError
                first, rows = self.parts[index].slice(place - base)
            except IndexError:
                raise IndexError(f"row {number} was not read") from None
            except FAULTS as error:
                what = f"the row cannot be read again ({_first(error)})"
                raise ProblemError(Problem(what, str(self.path), LOOK_AGAIN)) from None
            self._piece = _Piece(base + first, rows)
        return SourceRow(number, 0, self._piece.rows[place - self._piece.first])

    def close(self) -> None:
        """Close the files."""
        for part in self.parts:
            part.close()


def _rows(batch: Any) -> list[dict[str, Any]]:
    """Rows of a record batch; what is damaged in it must not be followed into the memory."""
    batch.validate(full=True)
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows


def open_columns(path: Path, kind: str, remarks: Remarks) -> Columnar:
    """A parquet or arrow file.

    Raises:
        ProblemError: It is cut or damaged.
    """
    return Columnar(path, [_part(path, kind)], remarks)


def _part(path: Path, kind: str) -> Part:
    try:
        return Parquet(path) if kind == "parquet" else Arrow(path)
    except FAULTS as error:
        what = f"it begins as {kind} and is cut or damaged ({_first(error)})"
        raise ProblemError(Problem(what, str(path), "Fetch or write the file again.")) from None


def _first(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")[:200] or type(error).__name__


def is_saved(folder: Path) -> bool:
    """Whether a folder is what `save_to_disk` of `datasets` writes."""
    return (folder / SPLITS).is_file() or ((folder / STATE).is_file() and (folder / INFO).is_file())


def open_saved(folder: Path, split: str, remarks: Remarks) -> Columnar:
    """A folder that `save_to_disk` wrote, of one set or of several splits.

    Raises:
        ProblemError: It has no such split, or is not whole.
    """
    if (folder / SPLITS).is_file():
        splits = _document(folder / SPLITS).get("splits")
        names = [str(name) for name in splits] if isinstance(splits, list) else []
        if split not in names or not _plain(split):
            what = f"the folder has no split {split}, but {', '.join(names) or 'none at all'}"
            raise ProblemError(Problem(what, str(folder), "Name one of its splits."))
        folder = folder / split
    listed = _document(folder / STATE).get("_data_files")
    files = [item.get("filename") if isinstance(item, dict) else None for item in listed or []]
    if not files or not all(isinstance(name, str) and _plain(name) for name in files):
        what = "its state.json names no data files"
        raise ProblemError(Problem(what, str(folder), "Save the data set again."))
    parts: list[Part] = []
    try:
        for name in files:
            path = folder / str(name)
            if not path.is_file():
                what = f"{name} of the saved data set is missing"
                raise ProblemError(Problem(what, str(folder), "Save the data set again."))
            parts.append(_part(path, "arrow"))
    except ProblemError:
        for part in parts:
            part.close()
        raise
    return Columnar(folder, parts, remarks)


def _plain(name: str) -> bool:
    """Whether a name stays in its folder."""
    return Path(name).name == name and name not in ("", ".", "..")


def _document(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_small(path))
    except (OSError, ValueError, RecursionError) as error:
        what = f"it cannot be read: {_first(error)}"
        raise ProblemError(Problem(what, str(path), "Save the data set again.")) from None
    return found if isinstance(found, dict) else {}
