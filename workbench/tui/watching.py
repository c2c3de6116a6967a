"""Following one run's files: everything a monitor shows, read in a thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.base.tail import CUT_MARK, LineTail
from workbench.base.text import clean
from workbench.tui.board import RunRow, last_values, read_row

if TYPE_CHECKING:
    from workbench.base.paths import Paths
    from workbench.run.axes import Axis
    from workbench.run.curves import Points
    from workbench.run.directory import RunDirectory
    from workbench.run.health import Finding
    from workbench.run.machine.view import MachineView
    from workbench.run.marks import Mark
    from workbench.run.pace import Eta
    from workbench.run.scaling import Scaling

LOG_LINES = 2000
LOG_START_BYTES = 262_144
LINE_CHARACTERS = 2000
LOG_CHUNKS_PER_LOOK = 4
POLLS_PER_LOOK = 4


@dataclass(frozen=True)
class Wanted:
    """What a look shall bring beside the whole curves.

    Attributes:
        axis: What the x axis counts, one of `run.axes.AXES`.
        stage, low, high: The steps that are looked at closely; a `high` of infinity follows.
        names: The metrics whose points are wanted there as they were logged.
    """

    axis: str = "step"
    stage: str = ""
    low: float = 0.0
    high: float = 0.0
    names: frozenset[str] = frozenset()

    def covers(self, stage: str, bounds: tuple[float, float]) -> bool:
        """Whether these steps of a stage were looked at closely."""
        return stage == self.stage and self.low <= bounds[0] and bounds[1] <= self.high


@dataclass(frozen=True)
class RunView:
    """One look at a run.

    Attributes:
        points: Curves by stage and metric, whole history, thinned where it is long.
        latest: Newest value of each metric in the newest stage.
        log: New lines of the log since the last look, made inert.
        log_restarted: Whether the log began anew.
        eta: How long the run still takes, None while that is not known.
        shares: Parts of the newest stage's time by kind, the largest first.
        faults: Metrics that were not finite, newest last.
        more: The metrics hold more than has been read yet; look again.
        wanted: What the look was asked for.
        axes: The wanted x axis of each stage, none where it counts steps.
        detail: The wanted metrics' points in the wanted steps.
        marks: What happened at which step, by stage.
        findings: What is wrong with the run, worst first.
        machine: What it takes of its machine, None where that was never logged.
        scaling: How its processes work together, None of one alone.
    """

    row: RunRow
    points: Mapping[str, Mapping[str, Points]] = field(default_factory=dict)
    latest: Mapping[str, float] = field(default_factory=dict)
    log: tuple[str, ...] = ()
    log_restarted: bool = False
    eta: Eta | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    faults: tuple[tuple[str, int, str], ...] = ()
    notes: tuple[str, ...] = ()
    model: str = ""
    more: bool = False
    wanted: Wanted = Wanted()
    axes: Mapping[str, Axis] = field(default_factory=dict)
    detail: Mapping[str, Points] = field(default_factory=dict)
    marks: Mapping[str, tuple[Mark, ...]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    machine: MachineView | None = None
    scaling: Scaling | None = None


class RunWatcher:
    """Keeps the readers of one run between looks.

    Args:
        run: The run.
        paths: Where past runs tell how long later stages take; None for nowhere.
        clock: Seconds since the epoch.

    Attributes:
        wanted: What the next look shall bring; it may be set while one goes on.
    """

    def __init__(
        self,
        run: RunDirectory,
        paths: Paths | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        from workbench.run.health import Doctor
        from workbench.run.machine.log import MachineLog
        from workbench.run.metrics import MetricsReader
        from workbench.run.pace import Outlook
        from workbench.run.scaling import ScalingOutlook

        self.run = run
        self.wanted = Wanted()
        self._metrics = MetricsReader(run)
        self._doctor = Doctor(run, self._metrics)
        self._machine = MachineLog(run)
        self._outlook = Outlook(run, paths, clock)
        self._scaling = ScalingOutlook(run, paths)
        self._log = LineTail(run.log)
        self._log.skip_to_last(LOG_START_BYTES)
        self._points: dict[str, dict[str, Points]] = {}
        self._marks: dict[str, tuple[Mark, ...]] = {}
        self._begun = False
        self._answered = self.wanted
        self._axes: dict[str, Axis] = {}
        self._detail: dict[str, Points] = {}

    def look(self) -> RunView:
        """Read what is new and say how the run stands. Call it from a thread."""
        from workbench.run.record import read_record
        from workbench.run.summary import shares

        wanted = self.wanted
        record = read_record(self.run)
        changed = self._poll()
        if changed:
            self._points = self._curves()
            self._marks = {stage: self._metrics.marks(stage) for stage in self._points}
        if changed or wanted != self._answered:
            self._answer(wanted)
        self._machine.poll()
        lines, restarted = self._log_lines()
        more = self._metrics.more
        # While the history is being read its newest values are old ones.
        latest = last_values(self.run) if more else dict(self._metrics.latest)
        return RunView(
            row=read_row(self.run, latest),
            points=self._points,
            latest=latest,
            log=lines,
            log_restarted=restarted,
            eta=None if more else self._outlook.eta(record, self._metrics),
            shares=shares(self._metrics, record.stage),
            faults=tuple(self._metrics.faults),
            notes=tuple(clean(str(note), newlines=False) for note in record.notes),
            model=record.model_source,
            more=more,
            wanted=wanted,
            axes=self._axes,
            detail=self._detail,
            marks=self._marks,
            # Half a history would be judged as if it were the whole.
            findings=() if more else self._doctor.look(record),
            machine=self._machine.last.view if self._machine.last else None,
            scaling=None if more else self._scaling.look(record, self._metrics)[1],
        )

    def _poll(self) -> bool:
        """Read what is new; of a long history a little at first, then more at a time."""
        changed = self._metrics.poll()
        for _ in range(POLLS_PER_LOOK - 1 if self._begun else 0):
            if not self._metrics.more:
                break
            changed = self._metrics.poll() or changed
        self._begun = True
        return changed

    def _curves(self) -> dict[str, dict[str, Points]]:
        names = self._metrics.names()
        curves = {
            stage: {name: self._metrics.points(name, stage) for name in names}
            for stage in self._metrics.stages()
        }
        return {
            stage: {name: points for name, points in named.items() if points}
            for stage, named in curves.items()
        }

    def _answer(self, wanted: Wanted) -> None:
        """What was asked for, anew where it is another question or the curves changed."""
        metrics, self._answered = self._metrics, wanted
        stages = self._points if wanted.axis != "step" else ()
        self._axes = {stage: metrics.axis(wanted.axis, stage) for stage in stages}
        known = [name for name in self._points.get(wanted.stage, {}) if name in wanted.names]
        self._detail = metrics.read_window(wanted.stage, known, wanted.low, wanted.high)

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
