"""How fast metrics.jsonl is opened and followed, in which memory.

Not a test: `python tests/benchmarks/metrics_reading.py [--lines 50000 1000000] [--metrics 20]`
writes files into a temporary folder and prints figures. W&B LEET, written in Go, says of itself
that it loads 20 metrics of 50,000 steps in 520 ms.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from workbench.run.directory import RunDirectory
from workbench.run.metrics import MetricsReader

LOGGED = (
    *("loss", "grad_norm", "learning_rate", "entropy", "num_tokens", "mean_token_accuracy"),
    *("logits/chosen", "logits/rejected", "logps/chosen", "logps/rejected"),
    *("rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins"),
    *("tokens_per_second", "memory/rss_gb", "samples", "samples_per_second"),
    *("lengths/chosen", "lengths/rejected", "seconds/forward", "seconds/backward"),
)
EVAL_EVERY = 500


def row(step: int, metrics: int) -> str:
    """A log record: noisy values with as many digits as real ones."""
    wave = math.sin(step / 50)
    values = {
        name: round(wave * (number + 1) + (step * 7919 * (number + 1) % 1000) / 997, 12)
        for number, name in enumerate(LOGGED[:metrics])
    }
    head = {"time": 1.7e9 + step * 1.25, "stage": "dpo", "step": step}
    return json.dumps({**head, **values, "epoch": step / 1000}) + "\n"


def write(run: RunDirectory, lines: int, metrics: int) -> None:
    """The metrics of a run of so many steps, with an evaluation now and then."""
    with run.metrics.open("w") as file:
        file.write('{"time": 1.7e9, "event": "stage", "stage": "dpo", "max_steps": 1}\n')
        for step in range(1, lines + 1):
            file.write(row(step, metrics))
            if step % EVAL_EVERY == 0:
                held_out = {
                    "eval_loss": 1 / step,
                    "eval_rewards/margins": 0.5,
                    "epoch": step / 1000,
                }
                head = {"time": 1.7e9 + step * 1.25 + 0.5, "stage": "dpo", "step": step}
                file.write(json.dumps({**head, **held_out}) + "\n")


def measure(run: RunDirectory) -> None:
    """Open the run once in this process, and print what it took."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    reader = MetricsReader(run)
    reader.poll()
    first = time.perf_counter() - began
    longest = first
    while reader.more:
        poll = time.perf_counter()
        reader.poll()
        longest = max(longest, time.perf_counter() - poll)
    seconds = time.perf_counter() - began
    shown = [[reader.points(name, stage) for name in reader.names()] for stage in reader.stages()]
    drawn = time.perf_counter() - began - seconds
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    with run.metrics.open("rb") as file:
        lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    again = time.perf_counter()
    size = run.metrics.stat().st_size
    last = max(curve[-1][0] for curves in shown for curve in curves if curve)
    with run.metrics.open("a") as more:
        more.write(row(last + 1, len(LOGGED)))
    reader.poll()
    shown = [[reader.points(name, stage) for name in reader.names()] for stage in reader.stages()]
    again = time.perf_counter() - again
    os.truncate(run.metrics, size)
    points = sum(len(curve) for curves in shown for curve in curves)
    print(
        f"{lines:>9,} lines  {run.metrics.stat().st_size / 1e6:6.0f} MB  {seconds:6.2f} s"
        f"  CPU {cpu:6.2f} s  {lines / seconds:9,.0f} lines/s  first {1000 * first:4.0f} ms"
        f"  longest poll {1000 * longest:4.0f} ms  curves {1000 * drawn:4.0f} ms"
        f" ({points:,} points)  one more line {1000 * again:5.1f} ms"
        f"  memory +{(after.ru_maxrss - before.ru_maxrss) / 1024:.0f} MB"
        f" = {after.ru_maxrss / 1024:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, nargs="+", default=[50_000, 1_000_000])
    parser.add_argument("--metrics", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--run", type=Path, help="measure this run directory once, in this process")
    given = parser.parse_args()
    if given.run:
        measure(RunDirectory(given.run))
        return
    for lines in given.lines:
        with tempfile.TemporaryDirectory() as folder:
            write(RunDirectory(Path(folder)), lines, given.metrics)
            for _ in range(given.repeat):
                # Each in a process of its own, so that the peak of memory is its own too.
                subprocess.run([sys.executable, __file__, "--run", folder], check=True)


if __name__ == "__main__":
    main()
