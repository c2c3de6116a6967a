"""Examines a run that grows: reads what is new, and looks again only where something is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.run.directory import RunDirectory
from workbench.run.health.examine import RunHistory, examine
from workbench.run.health.finding import Finding
from workbench.run.health.history import measure, stage_history
from workbench.run.health.rows import RowSample
from workbench.run.metrics import MetricsReader
from workbench.run.record import RunRecord, read_record
from workbench.run.resolved_config import stage_config
from workbench.run.samples import Sample, read_samples

LARGE_BYTES, REACH_BYTES = 16 * 1024 * 1024, 4 * 1024 * 1024
NEWS_SHARE = 0.003
"""Share of a stage's steps that may be new before it is examined again: each row of a short run,
each sixth of two thousand."""


class Doctor:
    """Keeps what it knows of a run between looks. Call it from a thread.

    Of a very large file that nobody else reads it takes the newest part, and an even sample of
    the rest.

    Args:
        run: The run.
        reader: Its metrics; the caller polls it. Without one the doctor reads them itself.
    """

    def __init__(self, run: RunDirectory, reader: MetricsReader | None = None) -> None:
        self.run = run
        self._own = reader is None
        self._reader = reader or MetricsReader(run)
        self._sample = RowSample(run.metrics)
        self._sampled = self._own and _size(run.metrics) > LARGE_BYTES
        if self._sampled:
            self._reader.skip_to_last(REACH_BYTES)
        self._configs: dict[str, Mapping[str, Any]] = {}
        self._answers: tuple[tuple[Sample, float], ...] = ()
        self._answers_seen: object = None
        self._seen: object = None
        self._restarts = 0
        self._examined: dict[str, int] = {}
        self._findings: tuple[Finding, ...] = ()

    def look(self, record: RunRecord | None = None) -> tuple[Finding, ...]:
        """What is wrong now, worst first; the last answer where nothing has changed.

        Args:
            record: The run's record, if it has been read already.
        """
        if self._own:
            self._reader.read_all()
        record = record or read_record(self.run)
        if self._reader.more:
            return self._findings  # a part of the history would be judged as if it were all
        samples = self._samples_mark()
        seen = self._mark(), samples, record.state, record.stage
        steps = self._steps()
        if seen != self._seen or not self._near(steps):
            self._seen, self._examined = seen, steps
            self._read_answers(samples)
            history = self.history(record)
            self._findings = examine(history, self._known())
        return self._findings

    def _near(self, steps: dict[str, int]) -> bool:
        """Whether hardly anything was trained since the last examination."""
        return steps.keys() == self._examined.keys() and all(
            0 <= step - self._examined[stage] <= NEWS_SHARE * step for stage, step in steps.items()
        )

    def _known(self) -> dict[tuple[str, str], int]:
        """Since when the last findings were true; nothing where steps were trained again."""
        restarts = sum(event["event"] == "stage" for event in self._reader.events)
        same, self._restarts = restarts == self._restarts, restarts
        return {(one.stage, one.rule): one.step for one in self._findings} if same else {}

    def history(self, record: RunRecord) -> RunHistory:
        """The run as the rules see it."""
        stages = []
        for stage in self._reader.stages():
            config = self._configs.get(stage)
            if config is None:
                config = self._configs[stage] = stage_config(self.run, stage)
            stages.append(
                stage_history(
                    stage,
                    self._reader,
                    record,
                    config,
                    self._answers,
                    self._sample,
                    sampled=self._sampled,
                )
            )
        return RunHistory(tuple(stages))

    def _steps(self) -> dict[str, int]:
        """The last step that each stage has logged."""
        losses = {stage: self._reader.points("loss", stage) for stage in self._reader.stages()}
        return {stage: points[-1][0] for stage, points in losses.items() if points}

    def _mark(self) -> object:
        """What changes when there is news in the metrics beside one more row of training."""
        reader = self._reader
        held_out = [reader.points("eval_loss", stage)[-1:] for stage in reader.stages()]
        return held_out, list(reader.events)[-1:], list(reader.faults)[-1:], len(reader.events)

    def _samples_mark(self) -> object:
        try:
            status = self.run.samples.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size

    def _read_answers(self, mark: object) -> None:
        mark = mark, len(self._reader.events)
        if mark != self._answers_seen:
            self._answers_seen = mark
            self._answers = measure(read_samples(self.run, self._reader))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def examine_run(run: RunDirectory, reader: MetricsReader | None = None) -> tuple[Finding, ...]:
    """All findings on a run, worst first.

    Args:
        reader: The run's metrics, if they have been read already.
    """
    return Doctor(run, reader).look()
