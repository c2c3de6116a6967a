"""What a very long run costs the app: memory and CPU, at the beginning and after hours of looks.

Not a test: `python tests/benchmarks/long_run.py [--lines 200000] [--rounds 100]` prints figures.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from textual.pilot import Pilot
from textual.widgets import Log

from workbench.base.paths import Paths
from workbench.run.directory import RunDirectory
from workbench.tui.app import WorkbenchApp
from workbench.tui.board import RunBoard
from workbench.tui.screens.monitor import MonitorScreen

CHECKPOINTS = 300
LOG_BYTES = 100_000_000
ROUND_LINES = 2000
LOOKS_A_ROUND = 8
OTHER_RUNS = 20
PROCESS = psutil.Process()


def row(step: int) -> str:
    """A log record of DPO with its fifteen metrics."""
    wave = math.sin(step / 50)
    values = {
        "time": time.time() + step,
        "stage": "dpo",
        "step": step,
        "epoch": step / 1000,
        "loss": 0.69 * math.exp(-step / 1e5) + 0.05 * wave,
        "grad_norm": 1.5 + wave,
        "learning_rate": 5e-5 * max(0.0, 1 - step / 1e6),
        "rewards/chosen": 0.5 + wave,
        "rewards/rejected": -0.5 - wave,
        "rewards/accuracies": 0.7 + wave / 10,
        "rewards/margins": 1.0 + 2 * wave,
        "logps/chosen": -120.5 + wave,
        "logps/rejected": -140.5 - wave,
        "logits/chosen": -2.1 + wave,
        "logits/rejected": -2.2 - wave,
        "mean_token_accuracy": 0.6,
        "num_tokens": 512.0 * step,
        "tokens_per_second": 1234.5 + wave,
        "memory/rss_gb": 2.5,
    }
    return json.dumps(values) + "\n"


def write_record(run: RunDirectory, step: int, state: str = "running") -> None:
    """A record whose live worker is this process."""
    record = {
        "version": 1,
        "id": run.id,
        "name": "long",
        "title": "A very long run",
        "state": state,
        "stages": ["dpo"],
        "stage": "dpo",
        "step": step,
        "max_steps": 10_000_000,
        "pid": os.getpid(),
        "create_time": PROCESS.create_time(),
        "host": socket.gethostname(),
        "created": time.time() - 86400,
        "started": time.time() - 86400,
        "heartbeat": time.time(),
    }
    fresh = run.record.with_suffix(".new")
    fresh.write_text(json.dumps(record))
    fresh.chmod(0o600)
    fresh.replace(run.record)


def make_run(paths: Paths, number: int, lines: int, log_bytes: int) -> RunDirectory:
    """A run directory after a long time."""
    run = RunDirectory(paths.runs / f"20260101-0000{number:02}-long-{number:04}")
    run.path.mkdir(parents=True, mode=0o700)
    write_record(run, lines, "running" if number == 0 else "finished")
    with run.metrics.open("w") as file:
        for step in range(1, lines + 1):
            file.write(row(step))
            if step % max(1, lines // CHECKPOINTS) == 0:
                event = {"event": "checkpoint", "stage": "dpo", "step": step, "time": time.time()}
                file.write(json.dumps(event) + "\n")
    for step in range(1, CHECKPOINTS + 1):
        folder = run.output("dpo") / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "adapter_model.safetensors"):
            (folder / name).write_bytes(b"x" * 64)
    add_log(run, log_bytes)
    return run


def add_log(run: RunDirectory, byte_count: int) -> None:
    """Lines of a trainer, and a progress bar that redraws itself."""
    block = b"".join(
        b"{'loss': '0.%04d', 'grad_norm': '1.5'}\n" % n
        + (b"\r 10%%|#   | step %d" % n) * 10
        + b"\n"
        for n in range(2000)
    )
    with run.log.open("ab") as log:
        for start in range(0, byte_count, len(block)):
            log.write(block[: byte_count - start])


class Meter:
    """CPU seconds and resident memory since the last reading."""

    def __init__(self) -> None:
        self._cpu = sum(PROCESS.cpu_times()[:2])

    def read(self) -> tuple[float, float]:
        """CPU seconds since the last call, and MB of memory now."""
        cpu = sum(PROCESS.cpu_times()[:2])
        spent, self._cpu = cpu - self._cpu, cpu
        gc.collect()
        return spent, PROCESS.memory_info().rss / 1e6

    def say(self, what: str) -> None:
        """Print a reading."""
        spent, megabytes = self.read()
        print(f"{what:<44} CPU {spent:7.2f} s   memory {megabytes:7.1f} MB", flush=True)


async def until(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
    """Let the app work until a condition holds."""
    while not condition():
        await pilot.pause(0.02)


async def watch(paths: Paths, run: RunDirectory, lines: int, rounds: int) -> None:
    """Open the app on the run and feed it a day of looks."""
    meter = Meter()
    meter.say("before the app")
    app = WorkbenchApp(paths, open_run=run.id)
    began = time.monotonic()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, MonitorScreen))
        screen = app.screen
        assert isinstance(screen, MonitorScreen)
        await until(pilot, lambda: screen._view is not None)
        meter.say(f"first display after {time.monotonic() - began:.1f} s")
        await until(pilot, lambda: screen._view is not None and not screen._view.more)
        meter.say(f"all is shown after {time.monotonic() - began:.1f} s")
        await look(screen, pilot, LOOKS_A_ROUND)
        meter.say(f"{LOOKS_A_ROUND} looks at nothing new")
        for number in range(rounds):
            first = lines + number * ROUND_LINES + 1
            piece = ROUND_LINES // LOOKS_A_ROUND
            for part in range(first, first + ROUND_LINES, piece):
                with run.metrics.open("a") as file:
                    file.writelines(row(step) for step in range(part, part + piece))
                add_log(run, 100_000)
                write_record(run, part + piece - 1)
                await look(screen, pilot, 1)
            assert screen._view is not None
            assert screen._view.row.step == first + ROUND_LINES - 1
            if number in (0, 1, rounds // 2, rounds - 2, rounds - 1):
                meter.say(f"round {number + 1}: {ROUND_LINES} lines, {LOOKS_A_ROUND} looks")
            else:
                meter.read()
        await look(screen, pilot, LOOKS_A_ROUND)
        meter.say(f"{LOOKS_A_ROUND} looks at nothing new")
        points = max(len(p) for curves in screen._view.points.values() for p in curves.values())
        print(f"longest curve {points} points, log {screen.query_one(Log).line_count} lines")


async def look(screen: MonitorScreen, pilot: Pilot[Any], times: int) -> None:
    """Whole looks of the watcher, shown."""
    for _ in range(times):
        await until(pilot, lambda: not screen._looking)
        screen._look()
        await until(pilot, lambda: not screen._looking)
        await pilot.pause()


def board(paths: Paths) -> None:
    """The list of all runs, as the app reads it every second."""
    meter = Meter()
    reader = RunBoard(paths)
    reader.read()
    meter.say(f"first list of {OTHER_RUNS + 1} runs")
    for _ in range(100):
        reader.read()
    meter.say("100 more lists")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths.from_environment({"DPO_WORKBENCH_HOME": folder})
        run = make_run(paths, 0, given.lines, LOG_BYTES)
        for number in range(1, OTHER_RUNS + 1):
            make_run(paths, number, 2000, 100_000)
        size = Path(run.metrics).stat().st_size / 1e6
        print(f"{given.lines} lines ({size:.0f} MB), {LOG_BYTES / 1e6:.0f} MB of log")
        board(paths)
        asyncio.run(watch(paths, run, given.lines, given.rounds))


if __name__ == "__main__":
    main()
