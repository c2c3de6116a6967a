"""Launching runs in tests, and waiting for what they do."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from socket import SOCK_DGRAM
from typing import Any

import filelock
import psutil

from workbench.base.tail import read_jsonl
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


SECRETS = {
    "HF_TOKEN": "hf_" + "Planted1Secret2Of3Tests4",
    "HUGGING_FACE_HUB_TOKEN": "planted-old-hub-token-5678",
    "WANDB_API_KEY": "planted-wandb-key-0a1b2c3d4e5f",
    "AWS_SECRET_ACCESS_KEY": "planted/aws+secret/0a1b2c3d",
    "OPENAI_API_KEY": "sk-" + "planted-openai-key-99887766",
    "MY_PASSWORD": "planted-password-of-mine",
}
"""What a person may have in the environment when they start a run."""


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


class Witness:
    """What was seen of a run's processes from outside while they lived.

    Attributes:
        commands: Command lines.
        listening: Sockets that waited for connections.
        looks: How often a live worker was looked at.
    """

    def __init__(self) -> None:
        self.commands: set[str] = set()
        self.listening: list[str] = []
        self.looks = 0

    def look(self, run: RunDirectory) -> None:
        """Look at the supervisor, the worker and their children."""
        record = read_record(run)
        for pid in filter(None, (record.supervisor_pid, record.pid)):
            with contextlib.suppress(psutil.Error):
                self.look_at(psutil.Process(pid))

    def look_at(self, process: psutil.Process) -> None:
        """Look at a process and its children."""
        for one in [process, *process.children(recursive=True)]:
            self.commands.add(" ".join(one.cmdline()))
            self.listening += [
                f"{one.cmdline()}: {socket}"
                for socket in one.net_connections("inet")
                if socket.status == psutil.CONN_LISTEN or socket.type == SOCK_DGRAM
            ]
            self.looks += 1


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
