"""metrics.jsonl: what the trainer logged, read while it grows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal

from workbench.base.tail import LineTail, parse_json_line
from workbench.run.axes import Axis
from workbench.run.batches import RowCollector
from workbench.run.curves import LIMIT_POINTS, Curve, Points, thin_points
from workbench.run.directory import RunDirectory
from workbench.run.marks import Mark
from workbench.run.stage_history import (
    MAX_NAMES,
    Budget,
    StageHistory,
    as_number,
    is_metric,
    is_step,
)
from workbench.run.stage_totals import Totals
from workbench.run.step_index import Piece, StepIndex, read_lines_between

__all__ = ["MAX_NAMES", "MetricsReader", "is_metric", "is_step"]

READ_BYTES = 256 * 1024
POLL_SECONDS = 0.08
FIRST_CHUNKS = 4
"""The first curves come soon."""
WINDOW_BYTES = 32 * 1024 * 1024
"""At most so much is read again for an exact window: some 40,000 records, 0.3 s."""
FEW_ROWS = 4
"""So many rows are read faster one by one."""
RECENT_ROWS = 200
KEPT_EVENTS = 1000
KEPT_FAULTS = 200
MAX_STAGES = 16


class MetricsReader:
    """Follows a run's metrics; opening an old run and following a live one are the same.

    Its memory does not grow with the run: curves are thinned (`Curve`), of the records only
    the last ones are kept. Many records are taken by columns (`RowCollector`), which comes to
    the same as one by one.

    Attributes:
        recent: The last log records, without those that a resume superseded.
        events: Stage starts, resumes, checkpoints and the end; not the progress messages.
        latest: The newest value of each metric in the newest stage.
        totals: What the records of each stage add up to, superseded ones included.
        faults: `(stage, step, metric)` of the last non-finite values.
        more: The last poll left something in the file for the next one.
    """

    def __init__(self, run: RunDirectory, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._tail = LineTail(run.metrics, READ_BYTES)
        self._clock = clock
        self._polled = False
        self.more = False
        self._clear()

    def _clear(self) -> None:
        self.recent: deque[dict[str, Any]] = deque(maxlen=RECENT_ROWS)
        self.events: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)
        self.latest: dict[str, float] = {}
        self.faults: deque[tuple[str, int, str]] = deque(maxlen=KEPT_FAULTS)
        self.totals = Totals()
        self._stages: dict[str, StageHistory] = {}
        self._budget = Budget()
        self._index = StepIndex()
        self._again: tuple[str, list[Piece], MetricsReader] | None = None
        self._stage = ""
        self._begun = ""

    def poll(self) -> bool:
        """Read what is new, for about `POLL_SECONDS` at most; whether there was anything."""
        changed = False
        end = self._clock() + POLL_SECONDS
        chunks = 0
        while True:
            # Reading lets other threads work, so chunks are small.
            start = self._tail.position
            lines = self._tail.read_lines()
            if self._tail.restarted:
                start = 0
                self._clear()
            self._index.enter(start, self._tail.position)
            changed = changed or bool(lines) or self._tail.restarted
            self._take_lines(lines)
            chunks += 1
            full = chunks == FIRST_CHUNKS and not self._polled
            if not self._tail.more or full or self._clock() >= end:
                break
        self._polled = True
        self.more = self._tail.more
        return changed

    def read_all(self) -> None:
        """Read to the end of the file; for where nobody waits for a screen."""
        self.poll()
        while self.more:
            self.poll()

    def skip_to_last(self, byte_count: int) -> None:
        """Begin near the end of the file: for where only the newest values are wanted."""
        self._tail.skip_to_last(byte_count)

    def _take_lines(self, lines: list[bytes]) -> None:
        collector = RowCollector()
        group: list[dict[str, Any]] = []
        entries: tuple[str, ...] | None = None
        for line in lines:
            for record in parse_json_line(line):
                names = tuple(record)
                if names != entries:
                    if "event" in names or not collector.fits(names):
                        self._take_collected(collector)
                        collector, entries = RowCollector(), None
                    if "event" in names:
                        self._take_event(record)
                        continue
                    group, entries = collector.group(names), names
                group.append(record)
                collector.rows.append(record)
        self._take_collected(collector)

    def _take_collected(self, collector: RowCollector) -> None:
        rows, start = collector.rows, 0
        if len(rows) - collector.head > FEW_ROWS:
            # The first ones settle which stage it is and which metrics there are.
            for record in rows[: collector.head]:
                self._take(record)
            start = len(rows) if self._take_batch(collector) else collector.head
        for record in rows[start:]:
            self._take(record)

    def _take_batch(self, collector: RowCollector) -> bool:
        stage = collector.rows[-1].get("stage")
        if not isinstance(stage, str) or stage != self._stage or stage == self._begun:
            return False
        history, batch = self._stages.get(stage), collector.batch()
        lasts = history.add_batch(batch) if history and batch else None
        if lasts is None or batch is None:
            return False
        self._index.note(stage, batch.steps[0], batch.steps[-1])
        for part in batch.parts:
            self.totals.take_rows(stage, part)
        self.recent.extend(collector.rows[collector.head :][-RECENT_ROWS:])
        self.latest.update(lasts)
        return True

    def _take(self, record: dict[str, Any]) -> None:
        self.totals.take(record)
        stage, step = record.get("stage"), record.get("step")
        if not isinstance(stage, str) or not is_step(step):
            return
        if stage == self._begun:
            # The stage has begun anew, without a checkpoint to go on from.
            self._supersede(stage, -1)
            if stage in self._stages:
                self._stages[stage].begin_anew()
        if stage != self._stage:
            self._stage, self.latest = stage, {}
        history = self._history(stage)
        if history is None:
            return
        self._index.note(stage, step, step)
        self.recent.append(record)
        faults = record.get("non_finite")
        if isinstance(faults, list):
            self.faults += [(stage, step, str(name)) for name in faults[:MAX_NAMES]]
        self.latest.update(history.add_row(step, record))

    def _history(self, stage: str) -> StageHistory | None:
        if stage not in self._stages and len(self._stages) < MAX_STAGES:
            self._stages[stage] = StageHistory(self._budget)
        return self._stages.get(stage)

    def _take_event(self, record: dict[str, Any]) -> None:
        self.totals.take(record)
        kind, stage = record["event"], record.get("stage")
        if kind == "progress":
            return
        self.events.append(record)
        when = as_number(record.get("time"))
        if kind == "stage":
            self.latest = {}
            self._stage = self._begun = str(stage)
        elif kind == "end":
            stage = self._stage
        history = self._history(stage) if isinstance(stage, str) else None
        step = record.get("step", 0)
        step = step if is_step(step) else 0
        if kind == "resume" and isinstance(stage, str):
            self._supersede(stage, step)
        if history is None:
            return
        if kind == "stage":
            history.begin(when)
        elif kind == "resume":
            history.go_on(step, when)
            self.latest = history.lasts()
        elif kind == "checkpoint":
            history.checkpoint(step, when)
        elif kind == "end":
            history.end(record.get("state"), when)

    def _supersede(self, stage: str, last_step: int) -> None:
        """Steps behind the checkpoint are trained again: forget their first attempt."""
        self._begun = ""
        self.latest = {}
        self._index.forget_after(stage, last_step)
        self.recent = deque(
            (row for row in self.recent if row["stage"] != stage or row["step"] <= last_step),
            RECENT_ROWS,
        )
        self.faults = deque(
            (fault for fault in self.faults if fault[0] != stage or fault[1] <= last_step),
            KEPT_FAULTS,
        )

    def _curve(self, name: str, stage: str) -> Curve | None:
        history = self._stages.get(stage)
        return history.curves.get(name) if history else None

    def stages(self) -> list[str]:
        """The stages that have logged something, in their order."""
        return [stage for stage, history in self._stages.items() if history.curves]

    def names(self) -> list[str]:
        """All metrics seen, in the order of their first appearance."""
        histories = self._stages.values()
        return list(dict.fromkeys(name for history in histories for name in history.curves))

    def points(self, name: str, stage: str | None = None) -> Points:
        """`(step, value)` of a metric, finite values only, of one stage or of all in turn.

        A bounded number: see `Curve`.
        """
        if stage is not None:
            curve = self._curve(name, stage)
            return curve.points() if curve else ()
        return tuple(point for known in self._stages for point in self.points(name, known))

    def is_whole(self, name: str, stage: str) -> bool:
        """Whether `points` leaves out nothing of a metric that was logged."""
        curve = self._curve(name, stage)
        return curve is None or len(curve) <= LIMIT_POINTS

    def window(
        self, name: str, stage: str, low: float, high: float, limit: int = LIMIT_POINTS
    ) -> Points:
        """At most `limit` points between two steps, and one more on either side: see `Curve`."""
        curve = self._curve(name, stage)
        return curve.window(low, high, limit) if curve else ()

    def read_window(
        self, stage: str, names: Iterable[str], low: float, high: float, limit: int = LIMIT_POINTS
    ) -> dict[str, Points]:
        """As `window` of each metric, but exact in thinned curves too. Call it from a thread.

        Reads the records of thinned steps again, unless they are more than `WINDOW_BYTES`; of
        the same ones only once.
        """
        found = {name: self.window(name, stage, low, high, limit) for name in names}
        thinned = {name: edge for name in found if (edge := self.exact_from(name, stage)) > low}
        if not thinned:
            return found
        pieces = self._index.pieces(stage, low, min(high, max(thinned.values())))
        if sum(piece.end - piece.start for piece in pieces) > WINDOW_BYTES:
            return found
        try:
            again = self._read_again(stage, pieces)
        except OSError:
            return found
        for name, edge in thinned.items():
            before = again.points_between(name, stage, low, min(high, edge - 1))
            behind = self.points_between(name, stage, edge, high)
            # The neighbours on either side are those of the curve itself.
            around = [point for point in found[name] if not low <= point[0] <= high]
            found[name] = thin_points(tuple(sorted((*around, *before, *behind))), limit)
        return found

    def points_between(self, name: str, stage: str, low: float, high: float) -> Points:
        """All points that are kept of a metric from one step to another."""
        curve = self._curve(name, stage)
        points = curve.window(low, high, len(curve)) if curve else ()
        return tuple(point for point in points if low <= point[0] <= high)

    def _read_again(self, stage: str, pieces: list[Piece]) -> MetricsReader:
        if self._again is not None and self._again[:2] == (stage, pieces):
            return self._again[2]
        again = MetricsReader(self._run)
        for piece in pieces:
            again._take_lines(read_lines_between(self._run.metrics, piece.start, piece.end))
            # What follows in the file need not follow here.
            again._begun = ""
            if piece.cut and stage in again._stages:
                again._stages[stage].forget_after(piece.high)
        self._again = stage, [replace(piece) for piece in pieces], again
        return again

    def exact_from(self, name: str, stage: str) -> int:
        """The step from which on `window` has every point of a metric; before it, some."""
        curve = self._curve(name, stage)
        return curve.exact_from if curve else 0

    def best(
        self, name: str, stage: str, better: Literal["lower", "higher"] | None
    ) -> tuple[float, int] | None:
        """The best value of a metric in a stage and its step, the earliest of several."""
        curve = self._curve(name, stage)
        return curve.best(better) if curve and better else None

    def axis(self, kind: str, stage: str) -> Axis:
        """What the steps of a stage are worth; `kind` is one of `axes.AXES`.

        `tokens` are `num_tokens`; `time` is seconds of training since the stage began, without
        the pause before a resume.
        """
        history = self._stages.get(stage)
        return history.axis(kind) if history else Axis(kind)

    def marks(self, stage: str) -> tuple[Mark, ...]:
        """Checkpoints, resumes, stops and the best evaluation of a stage, by step."""
        history = self._stages.get(stage)
        return history.all_marks() if history else ()

    def last(self, name: str, stage: str) -> float | None:
        """The value of a metric at the highest step of a stage; None before there is one."""
        curve = self._curve(name, stage)
        return curve.last if curve else None
