"""What happens to a run, one thing after the other: log records, events, notes, states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.base.files import amount
from workbench.base.tail import LineTail, parse_json_objects
from workbench.run.directory import RunDirectory
from workbench.run.record import RunRecord, is_submitted
from workbench.run.slurm.status import job_words
from workbench.run.stage_history import is_metric, is_step

REACH_BYTES = 32 * 1024 * 1024
KEPT = 512
EVAL = "eval_"
SHOWN_EVENTS = ("stage", "resume", "checkpoint", "checkpoint_skipped", "save_failed", "stalled")


@dataclass(frozen=True)
class Item:
    """One thing that happened.

    Attributes:
        kind: `metrics` (a log record of training), `eval`, `fault` (a value was no number),
            `progress` (what goes on before the first step), another event's name, `note`,
            `finding` or `state`.
        time: Unix seconds, 0 where it is not known.
        step: 0 where it belongs to none.
        values: Metrics by TRL's names, an event's own fields, or `text`.
    """

    kind: str
    time: float = 0.0
    stage: str = ""
    step: int = 0
    max_steps: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)


class Items:
    """Reads what is new in a run's metrics, and compares its record with the one before."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._tail = LineTail(run.metrics)
        self._tail.skip_to_last(REACH_BYTES)
        self._max_steps: dict[str, int] = {}
        self._state = ("", "")
        self._notes: set[str] = set()

    def read(self) -> Iterator[Item]:
        """What was logged since the last call, in its order."""
        while True:
            for line in self._tail.read():
                for record in parse_json_objects(line):
                    yield from self._items(record)
            if not self._tail.more:
                return

    def _items(self, record: Mapping[str, Any]) -> Iterator[Item]:
        stage, step, kind = record.get("stage"), record.get("step"), record.get("event")
        when = amount(record, "time")
        place = (str(stage or ""), step if is_step(step) else 0)
        if kind == "progress":
            yield Item("progress", when, values={"text": str(record.get("message", ""))})
        elif isinstance(kind, str):
            if kind == "stage":
                self._max_steps[place[0]] = round(amount(record, "max_steps"))
            if kind in SHOWN_EVENTS:
                yield Item(kind, when, *place, self._max_steps.get(place[0], 0), record)
        elif isinstance(stage, str) and is_step(step):
            yield from self._values(record, when, *place)

    def _values(
        self, record: Mapping[str, Any], when: float, stage: str, step: int
    ) -> Iterator[Item]:
        faults, max_steps = record.get("non_finite"), self._max_steps.get(stage, 0)
        for name in faults[:KEPT] if isinstance(faults, list) else []:
            yield Item("fault", when, stage, step, max_steps, {"text": str(name)})
        values = {name: value for name, value in record.items() if is_metric(name, value)}
        if "loss" in values:
            yield Item("metrics", when, stage, step, max_steps, values)
        elif any(name.startswith(EVAL) for name in values):
            yield Item("eval", when, stage, step, max_steps, values)

    def changes(self, record: RunRecord) -> Iterator[Item]:
        """What the record tells that the one before did not: notes, another state."""
        for note in record.notes:
            if note not in self._notes:
                self._notes.add(note)
                yield Item("note", record.heartbeat, record.stage, values={"text": note})
        waiting = job_words(self._run, record.slurm_job) if is_submitted(record) else ""
        if (record.state, waiting) != self._state:
            self._state = (record.state, waiting)
            what = waiting or (record.error or {}).get("what", "")
            values = {"state": record.state, "text": what}
            when = record.finished or record.heartbeat
            yield Item("state", when, record.stage, record.step, values=values)


class History:
    """The past of a run, thinned to what a screen shows; its memory does not grow."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, Item]] = []
        self._rest: list[tuple[int, Item]] = []
        self._count = 0

    def take(self, items: Iterable[Item]) -> None:
        """Add what happened next."""
        for item in items:
            self._count += 1
            if item.kind == "progress":
                continue
            if item.kind == "resume":
                self._forget(item)
            kept = self._rows if item.kind == "metrics" else self._rest
            kept.append((self._count, item))
            if len(self._rows) > KEPT:
                self._rows = self._rows[1::2]
            if len(self._rest) > KEPT:
                del self._rest[: KEPT // 2]

    def _forget(self, resume: Item) -> None:
        """What was trained behind the checkpoint is trained again."""
        self._rows = [
            (number, row)
            for number, row in self._rows
            if row.stage != resume.stage or row.step <= resume.step
        ]

    def shown(self, most: int) -> list[Item]:
        """So many items in their order: the newest events, and log records at equal distances."""
        rest = self._rest[-max(1, most // 2) :]
        room = max(1, most - len(rest))
        rows = self._rows
        if len(rows) > room:
            last = len(rows) - 1
            rows = [rows[round(last * (place + 1) / room)] for place in range(room)]
        return [item for _, item in sorted([*rest, *rows], key=lambda pair: pair[0])]
