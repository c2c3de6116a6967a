"""What the stages of a run took and reached, in lines of text and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from workbench.cli.output import columns, duration, number, one_line, size
from workbench.run.directory import RunDirectory
from workbench.run.metrics import MetricsReader
from workbench.run.record import RunRecord
from workbench.run.summary import StageSummary, rows_word, share_words, summaries

REACH_BYTES = 32 * 1024 * 1024
NAME_CELLS = 4
FIRM_BLANK = "\u00a0"
LABELS = {
    "mean_token_accuracy": "token accuracy",
    "rewards/accuracies": "accuracy",
    "rewards/margins": "margin",
}


def read_end(run: RunDirectory) -> MetricsReader:
    """A run's metrics for a summary; of a very long run only what fits into a second or two."""
    reader = MetricsReader(run)
    reader.skip_to_last(REACH_BYTES)
    reader.read_all()
    return reader


def summary_lines(run: RunDirectory, record: RunRecord, reader: MetricsReader) -> list[str]:
    """Some lines on each stage that has begun, no wider than the terminal.

    Args:
        reader: Has read the run's metrics, or at least their end.
    """
    found = summaries(run, record, reader)
    return [line for summary in found for line in stage_lines(summary)]


def summaries_json(
    run: RunDirectory, record: RunRecord, reader: MetricsReader
) -> list[dict[str, Any]]:
    """The same for scripts: the fields of `StageSummary` of each stage."""
    return [asdict(summary) for summary in summaries(run, record, reader)]


def stage_lines(summary: StageSummary) -> list[str]:
    """A stage's summary: what it took, on what, what it reached."""
    lines = [_effort(summary), _speed(summary), share_words(summary.shares), _reached(summary)]
    name = one_line(summary.stage)
    return list(_hung(name, filter(None, lines)))


def _hung(name: str, lines: Iterable[str]) -> Iterable[str]:
    """The lines behind a name, which stands on the first one."""
    inset = " " * (NAME_CELLS + 4)
    for text in lines:
        # A number and its sign stay together: textwrap breaks at plain blanks alone.
        text = text.replace(" %", f"{FIRM_BLANK}%")
        first = f"  {name:<{NAME_CELLS}}  " if name else inset
        name = ""
        for line in textwrap.wrap(
            text, columns(), initial_indent=first, subsequent_indent=inset, break_on_hyphens=False
        ):
            yield line.replace(FIRM_BLANK, " ")


def _effort(summary: StageSummary) -> str:
    parts = [f"{summary.steps} steps"]
    if summary.seconds:
        parts[0] += f" in {duration(summary.seconds)}"
    for count, where in ((summary.peak_rss_bytes, "memory"), (summary.peak_gpu_bytes, "GPU")):
        if count:
            parts.append(f"peak {where} {size(count)}")
    if summary.energy_wh is not None:
        parts.append(f"{number(summary.energy_wh)} Wh")
    return ", ".join(parts)


def _speed(summary: StageSummary) -> str:
    parts = []
    if summary.tokens:
        parts.append(f"{number(summary.tokens)} tokens")
    if summary.tokens_per_second:
        parts.append(f"{number(summary.tokens_per_second)} tokens/s")
    if summary.rows_per_second:
        parts.append(f"{number(summary.rows_per_second)} {rows_word(summary.stage)}/s")
    return ", ".join(parts)


def _reached(summary: StageSummary) -> str:
    kinds = (("", summary.final), ("held-out ", summary.held_out))
    told = [] if summary.mean_loss is None else [f"mean loss {number(summary.mean_loss)}"]
    for kind, values in kinds:
        words = ", ".join(f"{LABELS.get(n, n)} {number(value)}" for n, value in values.items())
        if words:
            told.append(f"{kind}{words}")
    return "; ".join(told)
