"""`machine`: GPUs, CPU, memory and disk, and what a run takes of them."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from workbench.base.paths import Paths
from workbench.base.text import pad
from workbench.cli.execute import DONE
from workbench.cli.output import one_line, print_json
from workbench.run.directory import find_run
from workbench.run.gpus import Gpu, look
from workbench.run.machine.reader import MachineReader
from workbench.run.machine.text import machine_rows
from workbench.run.machine.view import MachineView

GPU_SECONDS = 20.0
NAME_CELLS = 9


def machine(arguments: argparse.Namespace, paths: Paths) -> int:
    """Print one look at the machine."""
    run = find_run(paths, arguments.run) if arguments.run else None
    view = MachineReader(paths.runs, run, look=lambda: look(GPU_SECONDS)).look()
    if arguments.json:
        print_json(machine_json(view))
        return DONE
    for name, text in machine_rows(view):
        print(f"{pad(name, NAME_CELLS)} {one_line(text)}".rstrip())
    return DONE


def machine_json(view: MachineView) -> dict[str, Any]:
    """A look as JSON; bytes, percent, degrees Celsius, watts, joules; null for the unknown."""
    run = {
        "id": view.run,
        "elsewhere": view.elsewhere,
        "devices": view.devices,
        "worker": asdict(view.worker) if view.worker else None,
        "energy": {**asdict(view.energy), "wh": view.energy.wh} if view.energy else None,
        "ranks": [asdict(one) for one in view.ranks],
    }
    return {
        "time": view.time,
        "host": asdict(view.host),
        "driver": view.gpus.driver,
        "gpus": [_gpu(gpu) for gpu in view.gpus.gpus],
        "no_gpu_data": view.gpus.reason,
        "run": run if view.run else None,
    }


def _gpu(gpu: Gpu) -> dict[str, Any]:
    return {"device": gpu.key, **asdict(gpu), "ours_bytes": gpu.ours_bytes}
