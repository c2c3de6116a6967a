"""What the processes of a run that trains with two leave behind."""

from __future__ import annotations

import time

from workbench.base.files import append_json
from workbench.run.directory import RunDirectory
from workbench.run.ranks import RankRecord, forget_ranks, write_rank

SHARES = {
    "ranks/communication_share": 0.25,
    "ranks/exposed_share": 0.2,
    "ranks/waiting_share": 0.1,
    "ranks/slowest": 1.0,
    "ranks/slowest_lag": 0.4,
}


def leave_ranks(run: RunDirectory, *, host: str = "box", steps: int = 4, first: int = 1) -> None:
    """Two processes, the second of which is slower, and a log record for each of some steps."""
    forget_ranks(run)
    for rank, exposed in enumerate((0.36, 0.04)):
        values = {"tokens_per_second": 620.0, "samples_per_second": 2.5, "seconds": 2.0}
        values |= {"compute_seconds": 2 * (1 - exposed), "exposed_share": exposed, "threads": 1.0}
        values |= {"communication_share": exposed + 0.05}
        record = RankRecord(rank, host, step=steps, heartbeat=time.time() - 3, values=values)
        write_rank(run, record)
    for step in range(first, first + steps):
        head = {"time": 1000.0 + 2 * step, "stage": "dpo", "step": step, "loss": 0.5}
        append_json(run.metrics, {**head, "tokens_per_second": 1240.0, **SHARES})
