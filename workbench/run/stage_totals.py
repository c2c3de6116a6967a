"""What a stage's log records add up to, in constant memory: time by kind, rows, tokens."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.base.files import amount, is_number

if TYPE_CHECKING:
    from workbench.run.batches import Rows

TIME_NAMES = ("data", "forward", "backward", "optimizer", "eval", "save", "other")
"""What a stage spends its time on: the metrics `seconds/NAME`."""
_KEYS = tuple((name, f"seconds/{name}") for name in TIME_NAMES)
APART = ("eval", "save")
MOST_SECONDS = 1e9
MAX_STAGES = 16
MAX_ATTEMPTS = 1000


@dataclass
class StageTotals:
    """Sums over all log records of a stage, those that a resume superseded included.

    Attributes:
        seconds: By kind, see `TIME_NAMES`.
        paced_tokens, paced_rows: Tokens and rows that were trained on in `tokens_seconds` and
            `rows_seconds`, evaluations and saves not counted.
        attempts: When the stage began or was resumed, and when it was heard of last.
    """

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TIME_NAMES, 0.0))
    paced_tokens: float = 0.0
    tokens_seconds: float = 0.0
    paced_rows: float = 0.0
    rows_seconds: float = 0.0
    attempts: list[list[float]] = field(default_factory=list)
    _last: tuple[float, float] | None = None

    def begin(self, when: float) -> None:
        """The stage begins, or goes on after a pause."""
        self._last = None
        if len(self.attempts) < MAX_ATTEMPTS:
            self.attempts.append([when, when])

    def heard(self, when: float) -> None:
        """It was still at work at this time."""
        if self.attempts:
            self.attempts[-1][1] = max(self.attempts[-1][1], when)

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a log record of training steps."""
        spent = 0.0
        for name, key in _KEYS:
            value: Any = row.get(key)
            if type(value) in (float, int) and 0.0 < value < MOST_SECONDS:
                self.seconds[name] += value
                if name not in APART:
                    spent += value
        when: Any = row.get("time")
        tokens: Any = row.get("num_tokens")
        if is_number(when) and is_number(tokens):
            self._pace_tokens(spent, float(when), float(tokens))
        else:
            self._last = None
        if spent and (rows := amount(row, "samples")):
            self.paced_rows += rows
            self.rows_seconds += spent

    def add_rows(self, rows: Rows) -> None:
        """Take such log records by columns; comes to the same as `add` of each."""
        spent = 0.0
        for name, key in _KEYS:
            seconds = sum(_amounts(rows.metrics.get(key)))
            self.seconds[name] += seconds
            if name not in APART:
                spent += seconds
        tokens = rows.metrics.get("num_tokens")
        if rows.times and tokens:
            self._pace_tokens(spent, rows.times[-1], tokens[-1])
        else:
            self._last = None
        if spent and (samples := sum(_amounts(rows.metrics.get("samples")))):
            self.paced_rows += samples
            self.rows_seconds += spent

    def _pace_tokens(self, spent: float, when: float, tokens: float) -> None:
        if self._last is not None:
            gained, passed = tokens - self._last[1], spent or when - self._last[0]
            if gained > 0 and passed > 0:
                self.paced_tokens += gained
                self.tokens_seconds += passed
        self._last = when, tokens


class Totals:
    """The totals of each stage, fed with every line of metrics.jsonl."""

    def __init__(self) -> None:
        self.stages: dict[str, StageTotals] = {}

    def take(self, record: Mapping[str, Any]) -> None:
        """Take a record: an event, or values of a step."""
        stage = record.get("stage")
        known = self._stage(stage) if isinstance(stage, str) else None
        if known is None:
            return
        when = amount(record, "time")
        if when and record.get("event") == "stage":
            known.begin(when)
        elif when:
            known.heard(when)
        if "loss" in record and "event" not in record:
            known.add(record)

    def take_rows(self, stage: str, rows: Rows) -> None:
        """Take log records of a stage by columns."""
        if (known := self._stage(stage)) is None:
            return
        if rows.times:
            known.heard(rows.times[-1])
        if "loss" in rows.metrics:
            known.add_rows(rows)

    def _stage(self, name: str) -> StageTotals | None:
        if name not in self.stages and len(self.stages) < MAX_STAGES:
            self.stages[name] = StageTotals()
        return self.stages.get(name)


def _amounts(column: array[float] | None) -> Iterable[float]:
    """The positive numbers of a column that can be seconds or counts."""
    if not column or (min(column) >= 0.0 and max(column) < MOST_SECONDS):
        return column or ()
    return (value for value in column if 0.0 < value < MOST_SECONDS)
