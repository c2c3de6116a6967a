"""Following one run's files: everything a monitor shows, read in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.base.tail import CUT_MARK, LineTail
from workbench.base.text import clean
from workbench.tui.board import RunRow, last_values, read_row

if TYPE_CHECKING:
    from workbench.run.curves import Points
    from workbench.run.directory import RunDirectory

LOG_LINES = 2000
LOG_START_BYTES = 262_144
LINE_CHARACTERS = 2000
LOG_CHUNKS_PER_LOOK = 4


@dataclass(frozen=True)
class RunView:
    """One look at a run.

    Attributes:
        points: Curves by stage and metric, whole history, thinned where it is long.
        latest: Newest value of each metric in the newest stage.
        log: New lines of the log since the last look, made inert.
        log_restarted: Whether the log began anew.
        steps_per_second: Over the last records of the current stage, None while unknown.
        faults: Metrics that were not finite, newest last.
        resumes: `(stage, step)` of each checkpoint that the run went on from.
        more: The metrics hold more than has been read yet; look again.
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
    resumes: tuple[tuple[str, int], ...] = ()
    more: bool = False


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
        more = self._metrics.more
        return RunView(
            row=read_row(self.run),
            points=self._points,
            # While the history is being read its newest values are old ones.
            latest=last_values(self.run) if more else dict(self._metrics.latest),
            log=lines,
            log_restarted=restarted,
            steps_per_second=None if more else self._metrics.steps_per_second(record.stage),
            faults=tuple(self._metrics.faults),
            notes=tuple(clean(str(note), newlines=False) for note in record.notes),
            model=record.model_source,
            resumes=tuple(self._metrics.resumes()),
            more=more,
        )

    def _curves(self) -> dict[str, dict[str, Points]]:
        names = [name for name in self._metrics.names() if name in self._plotted]
        return {
            stage: {name: self._metrics.points(name, stage) for name in names}
            for stage in self._metrics.stages()
        }

    def _log_lines(self) -> tuple[tuple[str, ...], bool]:
        lines: list[str] = []
        restarted = False
        for chunk in range(LOG_CHUNKS_PER_LOOK):
            new = self._log.read()
            restarted = restarted or self._log.restarted
            lines += [_shown(line) for line in new[-LOG_LINES:]]
            if not self._log.more:
                break
            if chunk == LOG_CHUNKS_PER_LOOK - 3:
                # It grows faster than anybody reads: go on near its end.
                self._log.skip_to_last(LOG_START_BYTES)
                lines.append(CUT_MARK)
        return tuple(lines[-LOG_LINES:]), restarted


def _shown(line: str) -> str:
    """A log line as the screen gets it: inert, and no longer than anybody reads.

    Of a progress bar that redraws itself only the last state is worth a line.
    """
    line = line.rstrip("\r").rpartition("\r")[2]
    shown = clean(line[: 2 * LINE_CHARACTERS])
    long = len(shown) > LINE_CHARACTERS or len(line) > 2 * LINE_CHARACTERS
    return f"{shown[:LINE_CHARACTERS]} …" if long else shown
