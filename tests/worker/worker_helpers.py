"""Launching runs in tests, and waiting for what they do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import filelock

from workbench.base.files import read_jsonl
from workbench.run.directory import RunDirectory
from workbench.run.launch import launch
from workbench.run.record import RunRecord, has_ended, read_record

WAIT_SECONDS = 120.0

MakeRun = Callable[..., RunDirectory]


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of a condition, asked again and again."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.005)
    raise AssertionError(f"waited in vain for {what}")


def wait_for_end(run: RunDirectory) -> RunRecord:
    """The record of a run once its worker has ended."""

    def ended() -> RunRecord | None:
        record = read_record(run)
        return record if has_ended(record) else None

    wait_until(ended, f"the end of {run.id}")
    # The supervisor completes the record a moment after the worker has written it.
    for lock in (run.lock, run.supervisor_lock):
        filelock.FileLock(lock).acquire(timeout=WAIT_SECONDS).lock.release()
    return read_record(run)


def train(run: RunDirectory) -> RunRecord:
    """Launch a run and wait for its end."""
    launch(run)
    return wait_for_end(run)


def run_module(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the project's modules to its end."""
    command: Sequence[str] = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS)


def log_rows(run: RunDirectory, stage: str) -> list[dict[str, Any]]:
    """Training log records of a stage, the newest one of each step."""
    rows = [r for r in read_jsonl(run.metrics) if r.get("stage") == stage and "loss" in r]
    return list({row["step"]: row for row in rows}.values())


def losses(run: RunDirectory, stage: str) -> dict[int, float]:
    """Loss of each step of a stage."""
    return {row["step"]: row["loss"] for row in log_rows(run, stage)}
