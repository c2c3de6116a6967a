"""metrics.jsonl: what the trainer logged, read while it grows."""

from __future__ import annotations

from typing import Any

from workbench.base.files import LineTail, is_number, parse_json_line
from workbench.run.directory import RunDirectory

NOT_METRICS = ("time", "stage", "step", "event", "non_finite", "epoch")
MAX_CHUNKS_PER_POLL = 64


class MetricsReader:
    """Follows a run's metrics; opening an old run and following a live one are the same.

    Attributes:
        rows: Log records in order, without those that a resume superseded.
        events: Stage starts, resumes, checkpoints and the end.
        latest: The newest value of each metric in the newest stage.
        faults: `(stage, step, metric)` of each non-finite value.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._tail = LineTail(run.metrics)
        self._clear()

    def _clear(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.latest: dict[str, float] = {}
        self.faults: list[tuple[str, int, str]] = []
        self._begun = ""

    def poll(self) -> bool:
        """Read what is new; whether there was anything."""
        changed = False
        for _ in range(MAX_CHUNKS_PER_POLL):
            lines = self._tail.read()
            if self._tail.restarted:
                self._clear()
                changed = True
            if not lines:
                break
            changed = True
            for line in lines:
                record = parse_json_line(line)
                if record is not None:
                    self._take(record)
        return changed

    def _take(self, record: dict[str, Any]) -> None:
        if "event" in record:
            self.events.append(record)
            if record["event"] == "resume":
                self._supersede(record)
            if record["event"] == "stage":
                self.latest = {}
                self._begun = str(record.get("stage"))
            return
        if not isinstance(record.get("step"), int) or not isinstance(record.get("stage"), str):
            return
        stage, step = record["stage"], record["step"]
        if stage == self._begun:
            # The stage has begun anew, without a checkpoint to go on from.
            self._supersede({"stage": stage, "step": -1})
        self.rows.append(record)
        faults = record.get("non_finite")
        if isinstance(faults, list):
            self.faults += [(stage, step, str(name)) for name in faults]
        self.latest.update((name, record[name]) for name in record if is_metric(name, record[name]))

    def _supersede(self, resume: dict[str, Any]) -> None:
        """Steps behind the checkpoint are trained again: forget their first attempt."""
        self._begun = ""

        def stays(stage: Any, step: int) -> bool:
            return bool(stage != resume.get("stage") or step <= resume.get("step", 0))

        self.rows = [row for row in self.rows if stays(row["stage"], row["step"])]
        self.faults = [fault for fault in self.faults if stays(fault[0], fault[1])]

    def names(self) -> list[str]:
        """All metrics seen, in the order of their first appearance."""
        return list(dict.fromkeys(k for row in self.rows for k in row if is_metric(k, row[k])))

    def points(self, name: str, stage: str | None = None) -> list[tuple[int, float]]:
        """`(step, value)` of a metric, finite values only, of one stage or of all."""
        return [
            (row["step"], float(row[name]))
            for row in self.rows
            if (stage is None or row["stage"] == stage) and is_metric(name, row.get(name))
        ]


def is_metric(name: str, value: Any) -> bool:
    """Whether an entry of a log record is a metric with a finite value."""
    return name not in NOT_METRICS and is_number(value)
