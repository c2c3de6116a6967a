"""Rows of a very long metrics.jsonl: an even sample of them, at the same cost for any length."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from workbench.base.files import is_number
from workbench.base.tail import open_regular, parse_json_objects
from workbench.run.curves import Points
from workbench.run.samples import Returns
from workbench.run.stage_history import MAX_NAMES, is_metric, is_step

KEPT_ROWS = 600
CHUNK_BYTES = 32 * 1024


@dataclass(frozen=True)
class Row:
    """A log row of training."""

    time: float
    stage: str
    step: int
    values: dict[str, float]


class RowSample:
    """Log rows of training at even distances in the file, `KEPT_ROWS` to twice as many.

    Curves of long runs keep the extremes of what they leave out, which shows well and misleads
    every mean. These rows are as they were logged, and found by their place in the file, so that
    a gigabyte is not read for them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0
        self._clear()

    def _clear(self) -> None:
        self.rows: list[Row] = []
        self._next = 0
        self._stride = 0

    def update(self) -> None:
        """Take samples of what was appended since the last call."""
        try:
            with open_regular(self._path) as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._next:
                    self._clear()
                    self._inode = status.st_ino
                self._stride = self._stride or max(1, status.st_size // KEPT_ROWS)
                while self._next < status.st_size:
                    file.seek(self._next)
                    found = self._take(file.read(CHUNK_BYTES), whole=self._next == 0)
                    if not found and self._next + CHUNK_BYTES >= status.st_size:
                        break  # the row that stands there is not whole yet
                    self._next += self._stride
        except OSError:
            return

    def _take(self, chunk: bytes, *, whole: bool) -> bool:
        """Keep the first log row of training in a piece of the file; whether there was one."""
        for line in chunk.split(b"\n")[0 if whole else 1 : -1]:
            row = _parse(line.decode("utf-8", "replace"))
            if row is not None:
                self.rows.append(row)
                if len(self.rows) > 2 * KEPT_ROWS:
                    self.rows = self.rows[::2]
                    self._stride *= 2
                return True
        return False

    def curves(self, stage: str, returns: Returns) -> dict[str, Points]:
        """The rows of a stage as curves; without those that a resume superseded."""
        newest: dict[int, Row] = {}
        for row in self.rows:
            if row.stage == stage and not returns.superseded(stage, row.step, row.time):
                newest[row.step] = row
        found: dict[str, list[tuple[int, float]]] = {}
        for step in sorted(newest):
            for name, value in newest[step].values.items():
                if name in found or len(found) < MAX_NAMES:
                    found.setdefault(name, []).append((step, value))
        return {name: tuple(points) for name, points in found.items()}


def _parse(line: str) -> Row | None:
    for record in parse_json_objects(line):
        stage, step, time = record.get("stage"), record.get("step"), record.get("time")
        if "event" in record or "loss" not in record or not isinstance(stage, str):
            continue
        if is_step(step):
            values = {
                name: float(value) for name, value in record.items() if is_metric(name, value)
            }
            when = float(time) if time is not None and is_number(time) else 0.0
            return Row(when, stage, step, values)
    return None
