"""What a stage took and reached: time by kind, speed, memory, energy, final and held-out values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.base.files import amount, is_number
from workbench.run.directory import RunDirectory
from workbench.run.metrics import MetricsReader
from workbench.run.record import RunRecord
from workbench.run.stage_totals import StageTotals

GB = 1e9
FINAL = {
    "sft": ("loss", "mean_token_accuracy"),
    "dpo": ("loss", "rewards/accuracies", "rewards/margins"),
}
"""The values that tell how a stage ended, by TRL's names; held out they begin with `eval_`."""

Energy = Callable[[RunDirectory, float, float], float | None]


@dataclass(frozen=True)
class StageSummary:
    """One stage; None and empty where the run has not told.

    Attributes:
        steps: Optimizer steps done.
        seconds: Wall time, that of attempts which a resume superseded included.
        shares: Part of the time by kind, 0 to 1, the largest first.
        tokens: Seen in training.
        tokens_per_second, rows_per_second: Means over the stage, evaluations and saves not
            counted. A row of DPO is a pair.
        tokens_now, rows_now: The same of the last log record.
        peak_rss_bytes, peak_gpu_bytes: Peak memory.
        energy_wh: Watt hours.
        mean_loss: Over all steps, once the stage has ended.
        final, held_out: Last values by TRL's names, without the `eval_`.
    """

    stage: str
    steps: int = 0
    seconds: float | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    tokens: int | None = None
    tokens_per_second: float | None = None
    rows_per_second: float | None = None
    tokens_now: float | None = None
    rows_now: float | None = None
    peak_rss_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    energy_wh: float | None = None
    mean_loss: float | None = None
    final: Mapping[str, float] = field(default_factory=dict)
    held_out: Mapping[str, float] = field(default_factory=dict)


def shares(reader: MetricsReader, stage: str) -> dict[str, float]:
    """Parts of a stage's time by kind, the largest first; empty where it was not measured."""
    totals = reader.totals.stages.get(stage, StageTotals())
    whole = sum(totals.seconds.values())
    ranked = sorted(totals.seconds.items(), key=lambda item: -item[1])
    return {name: seconds / whole for name, seconds in ranked if seconds > 0}


def share_words(found: Mapping[str, float]) -> str:
    """`forward 41 %, backward 38 %, eval 9 %`; what rounds to nothing is left out."""
    parts = (f"{name} {100 * share:.0f} %" for name, share in found.items() if share >= 0.005)
    return ", ".join(parts)


def rows_word(stage: str) -> str:
    """What a stage trains on: `pairs` or `rows`."""
    return "pairs" if stage == "dpo" else "rows"


def summaries(
    run: RunDirectory, record: RunRecord, reader: MetricsReader, energy: Energy | None = None
) -> list[StageSummary]:
    """A summary of each stage that has begun to train, in the order of the run.

    Args:
        reader: Has read the run's metrics.
        energy: Watt hours of the run between two moments; those of its `machine.jsonl` if not
            given.
    """
    known = set(reader.stages()) | set(record.results)
    wanted = [stage for stage in record.stages if stage in known]
    return [summarize(run, record, reader, stage, energy) for stage in wanted]


def summarize(
    run: RunDirectory,
    record: RunRecord,
    reader: MetricsReader,
    stage: str,
    energy: Energy | None = None,
) -> StageSummary:
    """The summary of one stage, see `summaries`."""
    result: Mapping[str, Any] = record.results.get(stage, {})
    totals = reader.totals.stages.get(stage, StageTotals())
    evaluated = result.get("eval")
    wanted = FINAL.get(stage, FINAL["dpo"])
    tokens = reader.last("num_tokens", stage)
    return StageSummary(
        stage=stage,
        steps=_steps(record, reader, stage),
        seconds=_seconds(totals, result),
        shares=shares(reader, stage),
        tokens=None if tokens is None else round(tokens),
        tokens_per_second=_mean_tokens(totals, reader, stage),
        rows_per_second=_ratio(totals.paced_rows, totals.rows_seconds),
        tokens_now=reader.last("tokens_per_second", stage),
        rows_now=reader.last("samples_per_second", stage),
        peak_rss_bytes=_peak(result, reader, stage, "rss"),
        peak_gpu_bytes=_peak(result, reader, stage, "gpu"),
        energy_wh=_energy(run, totals, energy),
        mean_loss=_number(result.get("train_loss")),
        final=_values(wanted, lambda name: reader.last(name, stage)),
        held_out=_values(wanted, lambda name: _held_out(evaluated, reader, stage, name)),
    )


def _steps(record: RunRecord, reader: MetricsReader, stage: str) -> int:
    if done := round(amount(record.results.get(stage, {}), "steps")):
        return done
    if stage == record.stage and record.step:
        return record.step
    return max((points[-1][0] for points in [reader.points("loss", stage)] if points), default=0)


def _seconds(totals: StageTotals, result: Mapping[str, Any]) -> float | None:
    # The result counts loading, too, but only since the last resume; the log all attempts.
    logged = sum(end - begin for begin, end in totals.attempts)
    return max(logged, amount(result, "seconds")) or None


def _mean_tokens(totals: StageTotals, reader: MetricsReader, stage: str) -> float | None:
    if pace := _ratio(totals.paced_tokens, totals.tokens_seconds):
        return pace
    points = reader.points("tokens_per_second", stage)
    return _ratio(sum(value for _, value in points), len(points))


def _ratio(amount_of: float, whole: float) -> float | None:
    return amount_of / whole if whole > 0 and amount_of > 0 else None


def _peak(result: Mapping[str, Any], reader: MetricsReader, stage: str, kind: str) -> int | None:
    if known := amount(result, f"peak_{kind}_bytes"):
        return round(known)
    points = reader.points(f"memory/{kind}_gb", stage)
    return round(GB * max(value for _, value in points)) if points else None


def _held_out(evaluated: Any, reader: MetricsReader, stage: str, name: str) -> float | None:
    value = evaluated.get(f"eval_{name}") if isinstance(evaluated, Mapping) else None
    known = _number(value)
    return reader.last(f"eval_{name}", stage) if known is None else known


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None


def _values(names: tuple[str, ...], find: Callable[[str], float | None]) -> dict[str, float]:
    found = ((name, find(name)) for name in names)
    return {name: value for name, value in found if value is not None}


def _energy(run: RunDirectory, totals: StageTotals, energy: Energy | None) -> float | None:
    if not totals.attempts:
        return None
    return (energy or logged_energy)(run, totals.attempts[0][0], totals.attempts[-1][1])


def logged_energy(run: RunDirectory, begin: float, end: float) -> float | None:
    """Watt hours of a run between two moments, as far as its machine told them."""
    from workbench.run.machine.log import stage_energy

    return stage_energy(run, begin, end)
