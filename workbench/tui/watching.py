"""Following one run's files: everything a monitor shows, read in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.base.files import LineTail
from workbench.base.text import clean
from workbench.tui.board import RunRow, read_row

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory

LOG_LINES = 2000
LOG_START_BYTES = 262_144
RATE_ROWS = 20

Points = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class RunView:
    """One look at a run.

    Attributes:
        points: Curves by stage and metric, whole history.
        latest: Newest value of each metric in the newest stage.
        log: New lines of the log since the last look, made inert.
        log_restarted: Whether the log began anew.
        steps_per_second: Over the last records of the current stage, None while unknown.
        faults: Metrics that were not finite, newest last.
    """

    row: RunRow
    points: Mapping[str, Mapping[str, Points]] = field(default_factory=dict)
    latest: Mapping[str, float] = field(default_factory=dict)
    log: tuple[str, ...] = ()
    log_restarted: bool = False
    steps_per_second: float | None = None
    faults: tuple[tuple[str, int, str], ...] = ()
    notes: tuple[str, ...] = ()
    model: str = ""


class RunWatcher:
    """Keeps the readers of one run between looks.

    Args:
        run: The run.
        plotted: The metrics whose curves are wanted.
    """

    def __init__(self, run: RunDirectory, plotted: frozenset[str]) -> None:
        from workbench.run.metrics import MetricsReader

        self.run = run
        self._plotted = plotted
        self._metrics = MetricsReader(run)
        self._log = LineTail(run.log)
        self._log.skip_to_last(LOG_START_BYTES)
        self._points: dict[str, dict[str, Points]] = {}

    def look(self) -> RunView:
        """Read what is new and say how the run stands. Call it from a thread."""
        from workbench.run.record import read_record

        record = read_record(self.run)
        if self._metrics.poll():
            self._points = self._curves()
        lines, restarted = self._log_lines()
        return RunView(
            row=read_row(self.run),
            points=self._points,
            latest=dict(self._metrics.latest),
            log=lines,
            log_restarted=restarted,
            steps_per_second=self._rate(record.stage),
            faults=tuple(self._metrics.faults),
            notes=tuple(clean(str(note), newlines=False) for note in record.notes),
            model=record.model_source,
        )

    def _curves(self) -> dict[str, dict[str, Points]]:
        names = [name for name in self._metrics.names() if name in self._plotted]
        stages = dict.fromkeys(row["stage"] for row in self._metrics.rows)
        return {
            stage: {name: tuple(self._metrics.points(name, stage)) for name in names}
            for stage in stages
        }

    def _log_lines(self) -> tuple[tuple[str, ...], bool]:
        lines: list[str] = []
        restarted = False
        while True:
            new = self._log.read()
            restarted = restarted or self._log.restarted
            if not new:
                break
            # Of a progress bar that redraws itself only the last state is worth a line.
            lines += [clean(line.rstrip("\r").rpartition("\r")[2]) for line in new]
            lines = lines[-LOG_LINES:]
        return tuple(lines), restarted

    def _rate(self, stage: str) -> float | None:
        rows = [row for row in self._metrics.rows[-RATE_ROWS:] if row["stage"] == stage]
        rows = [row for row in rows if isinstance(row.get("time"), int | float)]
        if len(rows) < 2:
            return None
        seconds = rows[-1]["time"] - rows[0]["time"]
        steps = rows[-1]["step"] - rows[0]["step"]
        return steps / seconds if seconds > 0 and steps > 0 else None
