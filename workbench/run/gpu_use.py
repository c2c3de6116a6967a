"""Before a launch: who is on the device already."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.run.devices import (
    GPU_PREFIX,
    ORDER_BY_BUS,
    ORDER_VARIABLE,
    VISIBLE_VARIABLE,
    split_device,
)
from workbench.run.gpus import LOOK_SECONDS, NVIDIA, Gpu, GpuProcess, GpuView, look

NAMED_OWNERS = 3
# What a driver takes for itself on an idle GPU; more than that is somebody's.
IDLE_BYTES, IDLE_SHARE = 1e9, 0.02


@dataclass(frozen=True)
class DeviceUse:
    """What is worth knowing of a device before a launch, in sentences; empty where there is none.

    Attributes:
        others: Who uses it, runs of this user left out.
        unknown: Why nothing can be told.
    """

    others: str = ""
    unknown: str = ""


def use_of(device: str, seconds: float = LOOK_SECONDS) -> DeviceUse:
    """Look at a run's devices. Takes up to `seconds`: call it from a thread.

    Args:
        device: Of `devices.visible_slots`, several with commas; for the CPU there is nothing to
            say.
    """
    if not device.startswith(GPU_PREFIX):
        return DeviceUse()
    view = look(seconds)
    uses = [judge(slot, view) for slot in split_device(device)]
    return DeviceUse(
        "; ".join(use.others for use in uses if use.others),
        next((use.unknown for use in uses if use.unknown), ""),
    )


def judge(slot: str, view: GpuView) -> DeviceUse:
    """The sentences about a slot in a view."""
    gpu = find_gpu(view, slot)
    if gpu is None or gpu.total_bytes is None:
        reason = view.reason or (gpu.trouble if gpu else "it cannot be told which one that is")
        return DeviceUse(unknown=f"{slot}: no GPU data ({reason})")
    used = others_on(gpu)
    return DeviceUse(f"{slot}: {used}" if used else "")


def find_gpu(view: GpuView, slot: str, environ: Mapping[str, str] | None = None) -> Gpu | None:
    """The GPU behind a slot; None where it is not listed, or might be another one.

    A slot of a GPU that MIG has split is its first instance, which is what CUDA takes. Where there
    are AMD's GPUs alone, ROCm's torch calls them cuda, too.
    """
    name = slot.removeprefix(GPU_PREFIX)
    gpus = [gpu for gpu in view.gpus if gpu.kind == NVIDIA]
    if not gpus and not view.reason:
        gpus = list(view.gpus)
    if not name.isdecimal():
        found = [gpu for gpu in gpus if gpu.uuid.lower().startswith(name.lower())]
        return found[0] if len({gpu.uuid for gpu in found}) == 1 else None
    variables = os.environ if environ is None else environ
    # Numbers of our own are the bus's; those of CUDA_VISIBLE_DEVICES mean what its owner says.
    by_bus = VISIBLE_VARIABLE not in variables or variables.get(ORDER_VARIABLE) == ORDER_BY_BUS
    if not by_bus and len({gpu.name for gpu in gpus}) > 1:
        return None
    return next((gpu for gpu in gpus if gpu.index == int(name)), None)


def others_on(gpu: Gpu) -> str:
    """`61 of 80 GB used by anna (pid 4242, 61 GB)`; empty where nobody else is on it."""
    processes = gpu.processes or ()
    others = [process for process in processes if not process.run]
    used, total = gpu.used_bytes or 0, gpu.total_bytes or 0
    ours = sum(process.memory_bytes or 0 for process in processes if process.run)
    computing = any(process.computes for process in others)
    # A desktop takes some, and so does the driver.
    if not computing and used - ours < max(IDLE_BYTES, IDLE_SHARE * total):
        return ""
    room = f"{gigabytes(used)} of {gigabytes(total)} GB used"
    if not others:
        return f"{room} by processes that cannot be seen from here"
    return f"{room} by {owners(others)}"


def owners(processes: Sequence[GpuProcess]) -> str:
    """`anna (pid 4242, 61 GB), run small-a1b2 (12 GB)`; more than a few are only counted."""
    named = ", ".join(_owner(process) for process in processes[:NAMED_OWNERS])
    left = len(processes) - NAMED_OWNERS
    return named + (f" and {left} more" if left > 0 else "")


def _owner(process: GpuProcess) -> str:
    name, facts = process.owner, [f"pid {process.pid}"]
    if process.run:
        name, facts = f"run {process.run}", []
    elif not name:
        name, facts = facts[0], []
    if process.memory_bytes is not None:
        facts.append(f"{gigabytes(process.memory_bytes)} GB")
    return f"{name} ({', '.join(facts)})" if facts else name


def gigabytes(count: int) -> str:
    """Bytes as a number of GB: 0.5, 9.8, 61."""
    value = count / 1e9
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
