"""metrics.jsonl: what the trainer logged, read while it grows."""

from __future__ import annotations

from collections import deque
from typing import Any, TypeGuard

from workbench.base.files import is_number
from workbench.base.tail import LineTail, parse_json_objects
from workbench.run.curves import Curve, Points
from workbench.run.directory import RunDirectory
from workbench.run.stage_totals import Totals

NOT_METRICS = frozenset(("time", "stage", "step", "event", "non_finite", "epoch"))
CHUNKS_PER_POLL = 8
RECENT_ROWS = 200
KEPT_EVENTS = 1000
KEPT_FAULTS = 200
RATE_ROWS = 20
MAX_NAMES = 512
MAX_STAGES = 16
MAX_STEP = 2**53


class MetricsReader:
    """Follows a run's metrics; opening an old run and following a live one are the same.

    Its memory does not grow with the run: curves are thinned (`Curve`), of the records only
    the last ones are kept.

    Attributes:
        recent: The last log records, without those that a resume superseded.
        events: Stage starts, resumes, checkpoints and the end; not the progress messages.
        latest: The newest value of each metric in the newest stage.
        totals: What the records of each stage add up to, superseded ones included.
        faults: `(stage, step, metric)` of the last non-finite values.
        more: The last poll left something in the file for the next one.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._tail = LineTail(run.metrics)
        self.more = False
        self._clear()

    def _clear(self) -> None:
        self.recent: deque[dict[str, Any]] = deque(maxlen=RECENT_ROWS)
        self.events: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)
        self.latest: dict[str, float] = {}
        self.faults: deque[tuple[str, int, str]] = deque(maxlen=KEPT_FAULTS)
        self.totals = Totals()
        self._curves: dict[str, dict[str, Curve]] = {}
        self._stage = ""
        self._begun = ""

    def poll(self) -> bool:
        """Read what is new, at most a few megabytes; whether there was anything."""
        changed = False
        for _ in range(CHUNKS_PER_POLL):
            lines = self._tail.read()
            if self._tail.restarted:
                self._clear()
            changed = changed or bool(lines) or self._tail.restarted
            for line in lines:
                for record in parse_json_objects(line):
                    self._take(record)
            if not self._tail.more:
                break
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

    def _take(self, record: dict[str, Any]) -> None:
        self.totals.take(record)
        if "event" in record:
            self._take_event(record)
            return
        stage, step = record.get("stage"), record.get("step")
        if not isinstance(stage, str) or not is_step(step):
            return
        if stage == self._begun:
            # The stage has begun anew, without a checkpoint to go on from.
            self._supersede(stage, -1)
        if stage != self._stage:
            self._stage, self.latest = stage, {}
        curves = self._curves.get(stage)
        if curves is None:
            if len(self._curves) >= MAX_STAGES:
                return
            curves = self._curves[stage] = {}
        self.recent.append(record)
        faults = record.get("non_finite")
        if isinstance(faults, list):
            self.faults += [(stage, step, str(name)) for name in faults[:MAX_NAMES]]
        for name, value in record.items():
            if is_metric(name, value):
                self._add(curves, name, step, float(value))

    def _add(self, curves: dict[str, Curve], name: str, step: int, value: float) -> None:
        curve = curves.get(name)
        if curve is None:
            if len(curves) >= MAX_NAMES:
                return
            curve = curves[name] = Curve()
        curve.add(step, value)
        self.latest[name] = value

    def _take_event(self, record: dict[str, Any]) -> None:
        kind, stage = record["event"], record.get("stage")
        if kind == "progress":
            return
        self.events.append(record)
        if kind == "stage":
            self.latest = {}
            self._stage = self._begun = str(stage)
        elif kind == "resume" and isinstance(stage, str):
            step = record.get("step", 0)
            self._supersede(stage, step if is_step(step) else 0)

    def _supersede(self, stage: str, last_step: int) -> None:
        """Steps behind the checkpoint are trained again: forget their first attempt."""
        self._begun = ""
        curves = self._curves.get(stage, {})
        for curve in curves.values():
            curve.forget_after(last_step)
        for name in [name for name, curve in curves.items() if not len(curve)]:
            del curves[name]
        self.recent = deque(
            (row for row in self.recent if row["stage"] != stage or row["step"] <= last_step),
            RECENT_ROWS,
        )
        self.faults = deque(
            (fault for fault in self.faults if fault[0] != stage or fault[1] <= last_step),
            KEPT_FAULTS,
        )
        lasts = ((name, curve.last) for name, curve in curves.items())
        self.latest = {name: last for name, last in lasts if last is not None}

    def stages(self) -> list[str]:
        """The stages that have logged something, in their order."""
        return [stage for stage, curves in self._curves.items() if curves]

    def names(self) -> list[str]:
        """All metrics seen, in the order of their first appearance."""
        return list(dict.fromkeys(name for curves in self._curves.values() for name in curves))

    def points(self, name: str, stage: str | None = None) -> Points:
        """`(step, value)` of a metric, finite values only, of one stage or of all in turn.

        A bounded number: see `Curve`.
        """
        if stage is not None:
            curve = self._curves.get(stage, {}).get(name)
            return curve.points() if curve else ()
        return tuple(point for known in self._curves for point in self.points(name, known))

    def last(self, name: str, stage: str) -> float | None:
        """The value of a metric at the highest step of a stage; None before there is one."""
        curve = self._curves.get(stage, {}).get(name)
        return curve.last if curve else None

    def resumes(self) -> list[tuple[str, int]]:
        """`(stage, step)` of each checkpoint that the run went on from."""
        return [
            (str(event.get("stage")), event["step"])
            for event in self.events
            if event["event"] == "resume" and is_step(event.get("step"))
        ]

    def steps_per_second(self, stage: str) -> float | None:
        """The pace of the last log records of a stage; None while it is unknown."""
        rows = [
            (float(row["time"]), row["step"])
            for row in self.recent
            if row["stage"] == stage and is_number(row.get("time"))
        ][-RATE_ROWS:]
        if len(rows) < 2:
            return None
        seconds, steps = rows[-1][0] - rows[0][0], rows[-1][1] - rows[0][1]
        return steps / seconds if seconds > 0 and steps > 0 else None


def is_step(value: Any) -> TypeGuard[int]:
    """Whether a value is the number of an optimizer step."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_STEP


def is_metric(name: str, value: Any) -> bool:
    """Whether an entry of a log record is a metric with a finite value."""
    return name not in NOT_METRICS and is_number(value)
