"""Measure the monitor: opening a long run, frames, bytes, CPU, memory, keys under load.

    python tests/benchmarks/monitor_frames.py [--steps 50000] [--seconds 20] [--sizes 80x24,120x40]

A run of 20 metrics is made up. The app watches it in a terminal of its own (a pty), ended and
live, with one new row a second; frames are timed inside of a headless app. `busy` processes spin
while keys are pressed: a key is painted when the last byte of what it changes has arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import math
import os
import pty
import select
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from workbench.base.paths import Paths
from workbench.run.directory import RunDirectory
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.monitor import MonitorScreen
from workbench.tui.watching import RunWatcher
from workbench.tui.widgets.plot_panel import PlotPanel

LAST_LOSS = 0.123
QUIET_SECONDS = 0.25
START_SECONDS = 60.0
SHORT_STEPS = 60
RUN_ID = "20260101-000000-frames-0001"
APP = """
import sys
from pathlib import Path
from workbench.base.paths import Paths
from workbench.tui.app import WorkbenchApp
WorkbenchApp(Paths.from_environment({"DPO_WORKBENCH_HOME": sys.argv[1]}), screen="monitor").run()
"""


def row(step: int, last: int) -> str:
    """A log record with 20 metrics; only the last one has its loss."""
    noise = math.sin(step * 12.9898) * 43758.5453 % 1.0 - 0.5
    wave = math.sin(step / 50) + noise
    loss = LAST_LOSS if step == last else 0.3 + 0.39 * math.exp(-step / 1e4) + 0.05 * noise
    values = {"time": 1.7e9 + step, "stage": "dpo", "step": step, "epoch": step / 1000,
              "loss": loss, "grad_norm": 1.5 + noise, "learning_rate": 5e-5 * (1 - step / 1e6),
              "entropy": 1.2 + noise / 10, "num_tokens": 512.0 * step,
              "rewards/chosen": 0.5 + wave, "rewards/rejected": -0.5 - wave,
              "rewards/accuracies": 0.7 + noise / 5, "rewards/margins": 1.0 + 2 * wave,
              "logps/chosen": -120.5 + wave, "logps/rejected": -140.5 - wave,
              "logits/chosen": -2.1 + noise, "logits/rejected": -2.2 - noise,
              "mean_token_accuracy": 0.6 + noise / 50, "tokens_per_second": 1234.5 + wave,
              "samples_per_second": 3.1 + noise / 10, "memory/rss_gb": 2.5, "samples": 4,
              "lengths/chosen": 80 + noise, "lengths/rejected": 90 - noise}  # fmt: skip
    return json.dumps(values) + "\n"


def write_record(run: RunDirectory, step: int, state: str) -> None:
    """A record whose live worker is this process."""
    process = psutil.Process()
    record = {"version": 1, "id": run.id, "name": "frames", "title": "Frames", "state": state,
              "stages": ["dpo"], "stage": "dpo", "step": step, "max_steps": 100_000,
              "pid": process.pid, "create_time": process.create_time(),
              "host": socket.gethostname(), "created": time.time() - 9000,
              "started": time.time() - 8990, "heartbeat": time.time(),
              "finished": 0.0 if state == "running" else time.time()}  # fmt: skip
    fresh = run.record.with_suffix(".new")
    fresh.write_text(json.dumps(record), encoding="utf-8")
    fresh.chmod(0o600)
    fresh.replace(run.record)


def make_run(home: Path, steps: int, state: str) -> RunDirectory:
    """A run that has trained for so many steps."""
    run = RunDirectory(Paths.from_environment({"DPO_WORKBENCH_HOME": str(home)}).runs / RUN_ID)
    run.path.mkdir(parents=True, mode=0o700)
    with run.metrics.open("w", encoding="utf-8") as file:
        for step in range(1, steps + 1):
            file.write(row(step, steps))
    run.log.write_text("a line of the log\n" * 200, encoding="utf-8")
    write_record(run, steps, state)
    return run


class Terminal:
    """The app in a terminal."""

    def __init__(self, home: Path, columns: int, lines: int) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        unwanted = ("COLUMNS", "LINES", "NO_COLOR", "TEXTUAL", "DPO_WORKBENCH")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", APP, str(home)],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env=inherited | {"TERM": "xterm-256color", "COLORTERM": "", "LANG": "C.UTF-8"},
        )  # fmt: skip
        os.close(slave)
        self.app = psutil.Process(self.process.pid)

    def read(self, seconds: float) -> bytes:
        """What was drawn within so many seconds, at the first sign of it."""
        if not select.select([self.master], [], [], max(0.0, seconds))[0]:
            return b""
        try:
            return os.read(self.master, 1 << 20)
        except OSError:
            return b""

    def until(self, *texts: bytes) -> float:
        """Wait until one of some texts was drawn; seconds since the start of the process."""
        seen, deadline = b"", time.monotonic() + START_SECONDS
        while not any(text in seen for text in texts):
            if time.monotonic() > deadline:
                raise SystemExit(f"the app never drew {texts}; it drew {seen[-800:]!r}")
            seen = seen[-4000:] + self.read(0.2)
        return time.monotonic() - self.begun

    def settle(self) -> tuple[int, float]:
        """Read until nothing comes any more; bytes, and when the last one came."""
        drawn, last = 0, time.monotonic()
        while piece := self.read(QUIET_SECONDS):
            drawn, last = drawn + len(piece), time.monotonic()
        return drawn, last

    def cpu(self) -> float:
        """CPU seconds so far."""
        return sum(self.app.cpu_times()[:2])

    def close(self) -> None:
        """End the app."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def opening(home: Path, columns: int, lines: int) -> str:
    """From the start of the process to the first chart and to the whole history."""
    terminal = Terminal(home, columns, lines)
    try:
        braille = tuple(bytes([0xE2, 0xA0 + place]) for place in range(4))
        first = terminal.until(*braille)
        whole = terminal.until(str(LAST_LOSS).encode())
        memory = terminal.app.memory_info().rss / 1e6
    finally:
        terminal.close()
    return f"first chart {first * 1000:5.0f} ms, whole {whole * 1000:5.0f} ms, {memory:.0f} MB"


def quiet(home: Path, columns: int, lines: int, seconds: float) -> str:
    """An ended run that nobody touches."""
    terminal = Terminal(home, columns, lines)
    try:
        terminal.until(str(LAST_LOSS).encode())
        terminal.settle()
        time.sleep(2)
        terminal.settle()
        before, drawn, end = terminal.cpu(), 0, time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            drawn += len(terminal.read(left))
        share = (terminal.cpu() - before) / seconds
    finally:
        terminal.close()
    return f"{drawn} bytes, {share:.1%} of a core"


def live(home: Path, columns: int, lines: int, seconds: float, steps: int) -> str:
    """A run that logs a row a second."""
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), steps, "running")
        terminal = Terminal(Path(folder), columns, lines)
        try:
            terminal.until(str(LAST_LOSS).encode())
            terminal.settle()
            before, drawn = terminal.cpu(), 0
            for second in range(round(seconds)):
                step = steps + second + 1
                with run.metrics.open("a", encoding="utf-8") as file:
                    file.write(row(step, 0))
                with run.log.open("a", encoding="utf-8") as file:
                    file.write(f"{{'loss': 0.3{step}}}\n")
                write_record(run, step, "running")
                end = time.monotonic() + 1
                while (left := end - time.monotonic()) > 0:
                    drawn += len(terminal.read(left))
            share = (terminal.cpu() - before) / seconds
            memory = terminal.app.memory_info().rss / 1e6
        finally:
            terminal.close()
    rate = drawn / seconds
    return (
        f"{rate / 1000:5.1f} kB/s = {rate * 60 / 1000:4.0f} kB a minute, {share:5.1%} of a core, "
        f"{memory:.0f} MB"
    )


def keys(home: Path, columns: int, lines: int, busy: int) -> str:
    """From `m` to the last byte of the next page."""
    terminal = Terminal(home, columns, lines)
    trainers = []
    try:
        terminal.until(str(LAST_LOSS).encode())
        terminal.settle()
        spin = [sys.executable, "-c", "while True: sum(range(10000))"]
        trainers = [subprocess.Popen(spin) for _ in range(busy)]
        time.sleep(1)
        times, sizes = [], []
        for _ in range(20):
            pressed = time.monotonic()
            os.write(terminal.master, b"m")
            first = terminal.read(2)
            came = time.monotonic()
            drawn, last = terminal.settle()
            times.append(1000 * ((last if drawn else came) - pressed))
            sizes.append(len(first) + drawn)
    finally:
        for process in trainers:
            process.kill()
            process.wait()
        terminal.close()
    times.sort()
    return (
        f"median {statistics.median(times):.0f} ms, worst {times[-1]:.0f} ms, "
        f"{statistics.mean(sizes) / 1000:.1f} kB"
    )


def reading(run: RunDirectory) -> str:
    """Reading the whole history in this process, without a screen."""
    begun = time.monotonic()
    watcher = RunWatcher(run)
    first = 0.0
    while watcher.look().more:
        first = first or time.monotonic() - begun
    whole = time.monotonic() - begun
    return f"first look {(first or whole) * 1000:.0f} ms, whole {whole * 1000:.0f} ms"


async def frames(home: Path, sizes: Sequence[tuple[int, int]]) -> list[str]:
    """Milliseconds to draw and to compose a whole screen of charts, headless."""
    found = []
    for columns, lines in sizes:
        paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(home)})
        app = WorkbenchApp(paths, screen="monitor")
        async with app.run_test(size=(columns, lines)) as pilot:
            screen = app.screen
            while not isinstance(screen, MonitorScreen) or not _whole(screen):
                await pilot.pause(0.05)
                screen = app.screen
            await pilot.pause(0.2)
            panels = [panel for panel in screen.query(PlotPanel) if panel.display]
            draw, compose = [], []
            for _ in range(15):
                begun = time.perf_counter()
                for panel in panels:
                    panel._sketched = None
                    panel._draw()
                drawn = time.perf_counter()
                screen._compositor.render_full_update()
                draw.append(1000 * (drawn - begun))
                compose.append(1000 * (time.perf_counter() - drawn))
            found.append(
                f"{columns}x{lines}  {len(panels)} charts: {statistics.median(draw):5.1f} ms drawn "
                f"(best {min(draw):.1f}), {statistics.median(compose):4.1f} ms composed"
            )
    return found


def _whole(screen: MonitorScreen) -> bool:
    return screen._view is not None and not screen._view.more


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--sizes", default="80x24,120x40,200x60")
    parser.add_argument("--busy", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    sizes = [tuple(int(part) for part in size.split("x")) for size in options.sizes.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run = make_run(home, options.steps, "finished")
        megabytes = run.metrics.stat().st_size / 1e6
        print(f"{options.steps} steps x 20 metrics, {megabytes:.0f} MB of metrics.jsonl")
        print(f"reading alone: {reading(run)}", flush=True)
        for line in asyncio.run(frames(home, [(c, r) for c, r in sizes])):
            print(f"frame  {line}", flush=True)
        for columns, lines in sizes:
            size = f"{columns}x{lines}"
            print(f"open   {size}  {opening(home, columns, lines)}", flush=True)
            print(f"idle   {size}  {quiet(home, columns, lines, options.seconds)}", flush=True)
            for steps in (SHORT_STEPS, options.steps):
                line = live(home, columns, lines, options.seconds, steps)
                print(f"live   {size}  {line}, from step {steps}", flush=True)
            line = keys(home, columns, lines, options.busy)
            print(f"key m  {size}  {options.busy} busy: {line}", flush=True)


if __name__ == "__main__":
    main()
