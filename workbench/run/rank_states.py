"""The processes of a run as they have told last, for whoever shows them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workbench.run.directory import RunDirectory
from workbench.run.ranks import RankRecord, read_ranks

MEASURED = (
    *("tokens_per_second", "samples_per_second", "compute_seconds", "exposed_share"),
    *("communication_share", "threads"),
)


@dataclass(frozen=True)
class RankState:
    """One process as it has told last; None where it has not told, or where it is not measured.

    Attributes:
        heartbeat_age: Seconds since its last sign of life; None once it has ended.
        tokens_per_second, samples_per_second: Of the rows that it has computed itself.
        compute_seconds: Of training between its last two log records, without standing still.
        exposed_share: Part of the time in which it stood still for others, 0 to 1.
        communication_share: The same with what went on behind its backward pass, at most.
        threads: With which it computes on a CPU.
    """

    rank: int
    host: str
    step: int
    heartbeat_age: float | None
    tokens_per_second: float | None = None
    samples_per_second: float | None = None
    compute_seconds: float | None = None
    exposed_share: float | None = None
    communication_share: float | None = None
    threads: float | None = None


def states_of(run: RunDirectory) -> list[RankState]:
    """The processes of a run now; none where one trains alone."""
    return rank_states(read_ranks(run), time.time())


def rank_states(records: Iterable[RankRecord], now: float) -> list[RankState]:
    """The processes by their rank.

    Args:
        now: Unix seconds.
    """
    return [
        RankState(
            one.rank,
            one.host,
            one.step,
            None if one.ended else max(0.0, now - one.heartbeat),
            *(one.values.get(name) for name in MEASURED),
        )
        for one in records
    ]


def rank_rows(ranks: Sequence[RankState]) -> list[tuple[str, ...]]:
    """A table of the processes: a head, then a row for each; `-` where nothing is known."""
    head = ("rank", "host", "step", "tok/s", "computes", "waits", "hidden", "last sign")
    return [head, *(_rank_row(one) for one in ranks)]


def _rank_row(one: RankState) -> tuple[str, ...]:
    def share(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.0f} %"

    exposed, whole = one.exposed_share, one.communication_share
    hidden = None if exposed is None or whole is None else whole - exposed
    speed = "-" if one.tokens_per_second is None else f"{one.tokens_per_second:.0f}"
    age = "ended" if one.heartbeat_age is None else f"{one.heartbeat_age:.0f} s ago"
    computes = share(None if exposed is None else 1 - exposed)
    return (
        *(str(one.rank), one.host or "-", str(one.step), speed),
        *(computes, share(exposed), share(hidden), age),
    )
