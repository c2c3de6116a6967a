"""From a run directory to what the rules look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workbench.base.repetition import repetition
from workbench.run.curves import Points
from workbench.run.health.rows import RowSample
from workbench.run.health.stage import Answer, StageHistory
from workbench.run.metrics import MetricsReader, is_step
from workbench.run.record import RunRecord
from workbench.run.samples import BASE, Returns, Sample

TEXT_CHARACTERS = 4000


def measure(samples: Iterable[Sample]) -> tuple[tuple[Sample, float], ...]:
    """Each answer with the share of it that is repetition; of long ones the beginning."""
    return tuple((one, repetition(one.answer[:TEXT_CHARACTERS])) for one in samples)


def answers_of(
    stage: str, stages: list[str], measured: Iterable[tuple[Sample, float]]
) -> tuple[Answer, ...]:
    """A stage's answers, and each prompt's newest one from before the stage."""
    before: dict[str, Answer] = {}
    found = []
    earlier = stages[: stages.index(stage)] if stage in stages else []
    for sample, repeats in measured:
        # A checkpoint's answers are bounded by what they may cost: a cut says nothing.
        cut = sample.cut and not sample.checkpoint
        if sample.side == BASE or sample.stage in earlier:
            before[sample.prompt] = Answer(-1, sample.prompt, sample.tokens, repeats, cut)
        elif sample.stage == stage:
            found.append(Answer(sample.step, sample.prompt, sample.tokens, repeats, cut))
    return (*before.values(), *found)


def stage_history(
    stage: str,
    reader: MetricsReader,
    record: RunRecord,
    config: Mapping[str, Any],
    measured: Iterable[tuple[Sample, float]],
    sample: RowSample,
    *,
    sampled: bool = False,
) -> StageHistory:
    """Put together what is known of a stage.

    Args:
        sampled: The reader knows the end of the file alone, so the sample is all there is.
    """
    stages = reader.stages()
    return StageHistory(
        name=stage,
        curves=_curves(stage, reader, sample, sampled=sampled),
        config=config,
        whole=not record.imported,
        max_steps=_max_steps(stage, reader, record),
        faults=tuple((step, name) for at, step, name in reader.faults if at == stage),
        answers=answers_of(stage, stages, measured),
        stalls=tuple(_stalls(stage, reader)),
        state=record.state if record.stage == stage else "",
        processes=max(record.processes, 1),
    )


def _curves(
    stage: str, reader: MetricsReader, sample: RowSample, *, sampled: bool
) -> dict[str, Points]:
    names = reader.names()
    curves = {name: points for name in names if (points := reader.points(name, stage))}
    if not sampled and reader.is_whole("loss", stage):
        return curves
    sample.update()
    held_out = {name: points for name, points in curves.items() if name.startswith("eval_")}
    return {**sample.curves(stage, Returns(reader.events)), **held_out}


def _max_steps(stage: str, reader: MetricsReader, record: RunRecord) -> int:
    for event in reversed(reader.events):
        steps = event.get("max_steps")
        if event["event"] == "stage" and event.get("stage") == stage and is_step(steps):
            return steps
    return int(record.max_steps) if record.stage == stage else 0


def _stalls(stage: str, reader: MetricsReader) -> Iterable[int]:
    for event in reader.events:
        step = event.get("step")
        if event["event"] == "stalled" and event.get("stage") == stage and is_step(step):
            yield step
