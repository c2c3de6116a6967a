"""How the processes of a run work together, in lines of text and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from workbench.base.paths import Paths
from workbench.base.text import pad
from workbench.cli.output import columns, one_line
from workbench.cli.summaries import read_end
from workbench.run.directory import RunDirectory
from workbench.run.rank_states import RankState, rank_rows
from workbench.run.record import RunRecord
from workbench.run.scaling import Scaling, ScalingOutlook, scaling_words

INSET = " " * 9
LONGEST_NAME = 24
SHOWN_RANKS = 64
"""More are a matter for `--json`."""


def look(
    run: RunDirectory, record: RunRecord, paths: Paths
) -> tuple[list[RankState], Scaling | None]:
    """The processes of a run and what they come to; nothing of one alone."""
    if record.processes < 2:
        return [], None
    return ScalingOutlook(run, paths).look(record, read_end(run))


def scaling_lines(run: RunDirectory, record: RunRecord, paths: Paths) -> Iterator[str]:
    """A line on all processes, what is compared in it, and a table; nothing for one process."""
    ranks, found = look(run, record, paths)
    if found is None:
        return
    yield f"{'ranks':<8} {one_line(', '.join(scaling_words(found)))}"
    yield from textwrap.wrap(
        one_line(found.compared), columns(), initial_indent=INSET, subsequent_indent=INSET
    )
    rows = [[one_line(text)[:LONGEST_NAME] for text in row] for row in rank_rows(ranks)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows[: SHOWN_RANKS + 1] if ranks else ():
        yield f"  {'  '.join(map(pad, row, widths))}".rstrip()
    if len(ranks) > SHOWN_RANKS:
        yield f"  and {len(ranks) - SHOWN_RANKS} more"


def scaling_json(run: RunDirectory, record: RunRecord, paths: Paths) -> dict[str, Any]:
    """`ranks`, a list, and `scaling`, null for one process."""
    ranks, found = look(run, record, paths)
    return {
        "ranks": [asdict(one) for one in ranks],
        "scaling": asdict(found) if found is not None else None,
    }
