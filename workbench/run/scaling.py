"""How a run of several processes scales: each one's speed, communication, efficiency.

Efficiency is tokens a second of all processes over as many times those of one process. What one
process does is taken from a finished run with the same settings on the same kind of device; without
one only the most is known, since the time that the processes stand still for each other is lost.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from workbench.base.files import is_number
from workbench.base.paths import Paths
from workbench.base.tail import read_small
from workbench.run.attempt import is_training
from workbench.run.directory import RunDirectory, list_runs
from workbench.run.metrics import MetricsReader
from workbench.run.rank_figures import PREFIX
from workbench.run.rank_states import RankState, states_of
from workbench.run.record import RunRecord, read_record
from workbench.run.similar import (
    ENDED,
    LAST_BYTES,
    RUNS_AT_MOST,
    config_of,
    same_settings,
    was_packed,
)

RECENT = 20
"""So many last log records tell how it goes now."""
LAGS = 0.1
"""A process that computes so much longer than the others is worth a word."""
CPU = "cpu"
SPEED, SLOWEST, LAG = "tokens_per_second", f"{PREFIX}slowest", f"{PREFIX}slowest_lag"


@dataclass(frozen=True)
class Single:
    """A finished run of one process with the same settings."""

    run: str
    tokens_per_second: float


@dataclass(frozen=True)
class Scaling:
    """How the processes of a run work together, over its last log records; None where unknown.

    Attributes:
        processes: How many there are.
        tokens_per_second: Of all of them, evaluations and saves left out.
        exposed_share: Part of the time in which they stand still for each other, their mean.
        communication_share: The same with what goes on behind the backward pass, at most.
        waiting_share: The part of `exposed_share` that waits for the slowest process, at least.
        slowest, slowest_lag: The rank that is the slowest in most records, if one is, and by which
            share it computes longer than the others.
        efficiency: Against one process, 1 where nothing is lost.
        at_most: What the efficiency can be by `exposed_share` alone.
        single_run, single_tokens_per_second: Where the one process is from.
        compared: What is compared with what, or what is missing for it, in a sentence.
    """

    processes: int
    tokens_per_second: float | None = None
    exposed_share: float | None = None
    communication_share: float | None = None
    waiting_share: float | None = None
    slowest: int | None = None
    slowest_lag: float | None = None
    efficiency: float | None = None
    at_most: float | None = None
    single_run: str = ""
    single_tokens_per_second: float | None = None
    compared: str = ""


class ScalingOutlook:
    """Tells how a run scales; keeps what does not change between two looks.

    Args:
        paths: Where finished runs are looked for; None for nowhere.
    """

    def __init__(self, run: RunDirectory, paths: Paths | None) -> None:
        self._run = run
        self._paths = paths
        self._known: tuple[str, float] | None = None
        self._single: Single | None = None

    def look(
        self, record: RunRecord, reader: MetricsReader
    ) -> tuple[list[RankState], Scaling | None]:
        """The processes and what they come to; nothing of one alone. Call it from a thread."""
        if record.processes < 2:
            return [], None
        ranks = states_of(self._run)
        threads = next((one.threads for one in ranks if one.threads), None)
        known = record.stage, record.started
        # The devices' kind is told by files that are there from the first log record on.
        if self._known != known and ranks and threads:
            self._known = known
            self._single = find_single(self._run, record, threads, self._paths)
        recent = recent_values(reader, record.stage)
        return ranks, scaling(record.processes, recent, self._single, threads)


def recent_values(reader: MetricsReader, stage: str) -> dict[str, float]:
    """Medians of a stage's last log records of training, the very first one left out.

    Of `ranks/slowest` there is no median: it is the process that was the slowest in most of the
    records, with its own lag; both are left out where there is none.
    """
    rows = [row for row in reader.recent if row["stage"] == stage and is_training(row)]
    # The first record tells of loading and compiling too.
    begins = bool(rows) and not reader.points("loss", stage)[: -len(rows)]
    rows = rows[1:] if begins and len(rows) > 1 else rows
    values: dict[str, list[float]] = {}
    for row in rows[-RECENT:]:
        for name, value in row.items():
            if (name == SPEED or name.startswith(PREFIX)) and is_number(value):
                values.setdefault(name, []).append(float(value))
    ranks, lags = values.pop(SLOWEST, []), values.pop(LAG, [])
    found = {name: median(known) for name, known in values.items()}
    if ranks and len(ranks) == len(lags):
        rank, times = Counter(ranks).most_common(1)[0]
        if times > len(ranks) / 2:
            its = [lag for one, lag in zip(ranks, lags, strict=True) if one == rank]
            found |= {SLOWEST: rank, LAG: median(its)}
    return found


def scaling(
    processes: int,
    recent: Mapping[str, float],
    single: Single | None,
    threads: float | None = None,
) -> Scaling:
    """What the measured values come to.

    Args:
        recent: Of the run, by the names of its metrics.
        single: What one process does, None where no run tells it.
        threads: Of each process on a CPU.
    """
    speed, exposed = recent.get(SPEED), recent.get(f"{PREFIX}exposed_share")
    slowest = recent.get(SLOWEST)
    alone = single.tokens_per_second if single else None
    efficiency = speed / (processes * alone) if speed and alone else None
    at_most = None if exposed is None else 1 - exposed
    beyond = bool(efficiency and at_most is not None and efficiency > 1.05 * at_most)
    return Scaling(
        processes=processes,
        tokens_per_second=speed,
        exposed_share=exposed,
        communication_share=recent.get(f"{PREFIX}communication_share"),
        waiting_share=recent.get(f"{PREFIX}waiting_share"),
        slowest=None if slowest is None else round(slowest),
        slowest_lag=recent.get(LAG),
        efficiency=efficiency,
        at_most=at_most,
        single_run=single.run if single else "",
        single_tokens_per_second=alone,
        compared=_compared(processes, single, exposed, threads, beyond=beyond),
    )


_BEYOND = (
    "that is more than the time in communication leaves, so that the one process was slower than "
    "these are for another reason: a busier machine, or other rows"
)


def _compared(
    processes: int,
    single: Single | None,
    exposed: float | None,
    threads: float | None,
    *,
    beyond: bool,
) -> str:
    each = f", {threads:.0f} thread{'' if threads == 1 else 's'} each" if threads else ""
    if single is not None:
        said = (
            f"tokens a second of {processes} processes over {processes} times those of one, "
            f"which trained with the same settings in run {single.run}{each}"
        )
        return f"{said}; {_BEYOND}" if beyond else said
    once = "run it once with num_processes: 1 to know"
    if each:
        once += f" (on a CPU with OMP_NUM_THREADS={threads:.0f}, so that it has no more cores)"
    if exposed is None:
        return f"not measured: {once}"
    return f"at most, by the {100 * exposed:.0f} % of the time in communication: {once}"


def find_single(
    run: RunDirectory, record: RunRecord, threads: float, paths: Paths | None
) -> Single | None:
    """The newest finished run of one process with the same settings on the same kind of device.

    Args:
        threads: Of each process of the run.
    """
    stage = record.stage
    asked = config_of(run, stage, record.finished)
    packed = was_packed(run, record.finished)
    wanted = device_kind(run, asked, record.finished, threads)
    for other in list_runs(paths)[:RUNS_AT_MOST] if paths else ():
        theirs = read_record(other)
        if theirs.processes != 1 or theirs.state not in ENDED or stage not in theirs.stages:
            continue
        had = config_of(other, stage, theirs.finished)
        if not same_settings(asked, had, stage) or was_packed(other, theirs.finished) != packed:
            continue
        theirs_is = device_kind(other, had, theirs.finished)
        # The name of a GPU says what it can do; that a process has a CPU does not.
        if theirs_is != wanted or (wanted.startswith(CPU) and theirs.host != record.host):
            continue
        if speed := _speed(other, stage, theirs.finished):
            return Single(other.id, speed)
    return None


@functools.lru_cache(maxsize=4 * RUNS_AT_MOST)
def _speed(run: RunDirectory, stage: str, finished: float) -> float | None:
    reader = MetricsReader(run)
    reader.skip_to_last(LAST_BYTES)
    reader.read_all()
    return recent_values(reader, stage).get(SPEED)


def device_kind(
    run: RunDirectory, config: Mapping[str, Any], finished: float, threads: float | None = None
) -> str:
    """What a process of a run computes on: the name of its GPU, or `cpu` and how many threads.

    Args:
        config: Of its stage.
        threads: Where they are known better than from the run's environment.
    """
    told = _environment(run, finished)
    gpus = told.get("gpus")
    if not config.get("use_cpu") and isinstance(gpus, list) and gpus and isinstance(gpus[0], dict):
        return str(gpus[0].get("name", ""))
    count = threads if threads is not None else told.get("threads")
    return f"{CPU} {count:g}" if is_number(count) else CPU


@functools.lru_cache(maxsize=4 * RUNS_AT_MOST)
def _environment(run: RunDirectory, finished: float) -> dict[str, Any]:
    try:
        told = json.loads(read_small(run.environment))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def scaling_words(found: Scaling) -> list[str]:
    """`2 ranks`, `comm 12 %`, `efficiency 0.91 of run X`: what is worth a line, as far as known."""
    parts = [f"{found.processes} ranks"]
    if found.tokens_per_second:
        parts.append(f"{found.tokens_per_second:.0f} tok/s")
    if found.exposed_share is not None:
        parts.append(f"comm {100 * found.exposed_share:.0f} %")
    if found.slowest is not None and (found.slowest_lag or 0) >= LAGS:
        parts.append(f"rank {found.slowest} slower by {100 * (found.slowest_lag or 0):.0f} %")
    if found.efficiency is not None:
        parts.append(f"efficiency {found.efficiency:.2f} of run {found.single_run}")
    elif found.at_most is not None:
        parts.append(f"efficiency at most {found.at_most:.2f}")
    return parts
