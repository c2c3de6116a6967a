"""Looks at machines that do not exist."""

from __future__ import annotations

from typing import Any

from workbench.run.gpus import Gpu, GpuProcess, GpuView
from workbench.run.machine.host import Capacity, Host, WorkerUse
from workbench.run.machine.view import MachineView

GIGA = 10**9
RUN = "20270115-080000-small-a1b2"
HOST = Host(
    name="box",
    cores=16.0,
    cpu_percent=42.4,
    load=(3.5, 2.25, 1.0),
    memory=Capacity(128 * GIGA, 97 * GIGA),
    swap=Capacity(8 * GIGA, 8 * GIGA),
    disk=Capacity(2000 * GIGA, 512 * GIGA),
    folder="/home/me/runs",
)
MINE = GpuProcess(4711, "me", 12 * GIGA, RUN)
ANNA = GpuProcess(4242, "anna", 6 * GIGA)


def gpu(index: int = 0, **changes: Any) -> Gpu:
    """A GPU at work."""
    facts: dict[str, Any] = {
        "uuid": f"GPU-aa{index}",
        "name": "NVIDIA H100 80GB HBM3",
        "total_bytes": 80 * GIGA,
        "used_bytes": 18 * GIGA,
        "free_bytes": 62 * GIGA,
        "load_percent": 61,
        "processes": (MINE, ANNA),
        "celsius": 64.0,
        "watts": 310.25,
        "limit_watts": 700.0,
        "joules": 123456.75,
    }
    return Gpu(index, **{**facts, **changes})


def machine(*gpus: Gpu, **changes: Any) -> MachineView:
    """A look at them, a run at work on the first."""
    facts: dict[str, Any] = {
        "time": 1_800_000_000.0,
        "host": HOST,
        "gpus": GpuView(gpus, "570.1", "" if gpus else "nvidia-ml-py is not installed"),
        "worker": WorkerUse(4711, 193.4, 2_100_000_000, 3),
        "run": RUN,
        "devices": (gpus[0].key,) if gpus else (),
    }
    return MachineView(**{**facts, **changes})
