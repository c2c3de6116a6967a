"""What it costs to look at the machine: CPU time of a sample and of a look, size of machine.jsonl.

    python tests/benchmarks/machine_cost.py

The GPUs are stand-ins of tests/nvml_stub.py, so that NVML's own time is not in it; the run has
the first of them. `--real` asks this machine's driver.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
from nvml_stub import GIGA, Device, Nvml

from workbench.run.directory import RunDirectory
from workbench.run.machine.log import encode, read_samples, stage_energy
from workbench.run.machine.reader import MachineReader
from workbench.run.machine.sampler import MachineSampler, interval

TIMES = 100
HOUR, DAY = 3600, 86400


class Install:
    """Puts the stand-in where `import pynvml` finds it."""

    def setitem(self, modules: dict[str, Any], name: str, module: Any) -> None:
        modules[name] = module


def stand_in(count: int) -> None:
    device = Device(
        used=18 * GIGA,
        compute=[(os.getpid(), 12 * GIGA)],
        celsius=64,
        milliwatts=310_000,
        limit_milliwatts=700_000,
        millijoules=5_000_000,
    )
    gpus = [replace(device, uuid=f"GPU-{number}") for number in range(count)]
    Nvml(*gpus).install(Install())  # type: ignore[arg-type]


def milliseconds(act: Any) -> float:
    begun = time.process_time()
    for _ in range(TIMES):
        act()
    return (time.process_time() - begun) * 1000 / TIMES


def sizes(line_bytes: int) -> str:
    """The file after an hour, a day and a week."""
    found, seconds, size = [], 0.0, 0
    for name, end in (("hour", HOUR), ("day", DAY), ("week", 7 * DAY)):
        while seconds < end and (every := interval(size)) is not None:
            seconds, size = seconds + every, size + line_bytes
        found.append(f"{name} {size / 1e6:.2f} MB")
    return ", ".join(found)


def measure(folder: Path, title: str) -> None:
    run = RunDirectory(folder / title.replace(" ", "-"))
    run.path.mkdir()
    me = psutil.Process()
    record = {"version": 1, "state": "running", "pid": me.pid, "create_time": me.create_time()}
    run.record.write_text(json.dumps(record))
    sampler = MachineSampler(run, me.pid)
    sampler.begin()
    sample = milliseconds(lambda: sampler.sample(10.0))
    look = milliseconds(MachineReader(folder, run, settle=0).look)
    last = run.machine.read_text().splitlines()[-1]
    print(f"{title}: {sample:.1f} ms CPU a sample, {look:.1f} ms a look, {len(last) + 1} B a line")
    print(f"{'':<{len(title)}}  machine.jsonl: {sizes(len(last) + 1)}")


def read_week(folder: Path) -> None:
    run = RunDirectory(folder / "week")
    run.path.mkdir()
    (first, *_) = read_samples(RunDirectory(folder / "1-GPUs"))
    with run.machine.open("w") as file:
        for number in range(15_000):
            view = replace(first.view, time=1.8e9 + 40 * number)
            file.write(json.dumps(encode(replace(first, view=view, every=40.0))) + "\n")
    begun = time.process_time()
    stage_energy(run, 0, 2e9)
    size = run.machine.stat().st_size / 1e6
    print(f"energy of 15,000 samples ({size:.1f} MB): {time.process_time() - begun:.2f} s CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", action="store_true", help="ask this machine's driver")
    real = parser.parse_args().real
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if real:
            measure(folder, "this machine")
            return
        for count in (0, 1, 8):
            stand_in(count)
            measure(folder, f"{count} GPUs")
        read_week(folder)


if __name__ == "__main__":
    main()
