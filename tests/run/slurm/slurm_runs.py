"""Waiting for what becomes of runs that are jobs."""

from __future__ import annotations

import time
from collections.abc import Callable

from workbench.base.tail import parse_json_objects
from workbench.run.directory import RunDirectory
from workbench.run.processes import processes_of
from workbench.run.record import RunRecord, read_record
from workbench.run.slurm.job import ask

WAIT_SECONDS = 120.0

Submit = Callable[..., RunDirectory]


def await_record(run: RunDirectory, condition: Callable[[RunRecord], object]) -> RunRecord:
    """A run's record once a condition holds for it; Slurm is asked meanwhile."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition(record := read_record(run)):
        assert time.monotonic() < deadline, f"{record}\n{words(run)}"
        time.sleep(0.1)
        ask([run])
    return record


def await_steps(run: RunDirectory, steps: int = 2) -> RunRecord:
    """A run that trains and has made so many steps."""
    return await_record(run, lambda r: r.state == "running" and r.step >= steps)


def await_end(run: RunDirectory, state: str) -> RunRecord:
    """A run that has ended so, without a process left."""
    record = await_record(run, lambda r: r.state == state and not processes_of(run))
    assert record.finished
    return record


def words(run: RunDirectory) -> str:
    """What the run's logs say."""
    logs = (run.slurm_log, run.log)
    return "\n".join(log.read_text(errors="replace")[-3000:] for log in logs if log.exists())


def logged_steps(run: RunDirectory) -> list[int]:
    """Steps of the log records that have a loss, in the order of the file."""
    lines = run.metrics.read_text().splitlines()
    records = [record for line in lines for record in parse_json_objects(line)]
    return [record["step"] for record in records if "loss" in record]
