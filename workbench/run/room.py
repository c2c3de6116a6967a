"""Before a launch: whether a recipe fits into the memory that its run would use."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import psutil

from workbench.base.paths import Paths
from workbench.base.problems import Problem
from workbench.recipe.base_model import model_config
from workbench.recipe.estimate import NOT_KNOWN, totals
from workbench.recipe.launching import launch_wish, process_count
from workbench.recipe.memory import Memory, Room
from workbench.recipe.recipe import Recipe, resolve
from workbench.run.devices import (
    GPU_PREFIX,
    asks_cpu,
    slots_needed,
    slots_of_recipe,
    split_device,
    visible_slots,
)
from workbench.run.gpu_use import find_gpu
from workbench.run.gpus import LOOK_SECONDS, look
from workbench.run.machine.cgroups import CGROUPS, memory_limit
from workbench.run.memory_advice import gigabytes, smallest_change

CPU_FLAGS = Path("/proc/cpuinfo")
BF16_FLAGS = ("avx512_bf16", "amx_tile")
"""What torch asks of a CPU before it multiplies bf16 in hardware."""


def room_for(recipe: Recipe, device: str = "", seconds: float = LOOK_SECONDS) -> Room:
    """The memory that a run would use. Takes up to `seconds` with a GPU: call it from a thread.

    Args:
        device: The slots that the run gets unless the recipe names some; the first ones if empty.

    Returns:
        That of one process: a GPU's, the one with the least where there are several, or its share
        of the host's.
    """
    shown = slots_of_recipe(recipe) or split_device(device) or visible_slots()
    slots = shown[: slots_needed(recipe, shown)]
    if asks_cpu(recipe) or not slots[0].startswith(GPU_PREFIX):
        wish = launch_wish(recipe)
        here = max(process_count(wish, devices=1) // wish.num_machines, 1)
        name = "this machine" if here == 1 else f"each of {here} processes"
        return Room(free_memory() // here, gpu=False, bf16=_cpu_has_bf16(), name=name)
    view = look(seconds)
    frees = [(gpu.free_bytes if (gpu := find_gpu(view, slot)) else None) for slot in slots]
    known = [(free, slot) for free, slot in zip(frees, slots, strict=True) if free is not None]
    free, slot = min(known) if len(known) == len(slots) else (None, slots[0])
    return Room(free, gpu=True, name=slot, devices=len(shown))


def free_memory(cgroups: Path = CGROUPS) -> int:
    """What the host, or the container that this runs in, has left."""
    free = int(psutil.virtual_memory().available)
    limit = memory_limit(cgroups)
    return min(free, limit.free_bytes) if limit else free


@functools.cache
def _cpu_has_bf16() -> bool:
    if sys.platform != "linux":
        return False
    try:
        text = CPU_FLAGS.read_text(errors="replace")
    except OSError:
        return False
    return any(flag in text.split() for flag in BF16_FLAGS)


def memory_problem(recipe: Recipe, paths: Paths, room: Room) -> Problem | None:
    """A warning where the stage that needs most does not fit, with the smallest cure."""
    worst: tuple[Memory, str] | None = None
    for stage in recipe.stages:
        try:
            found = totals(recipe, stage, paths.models, room).memory
        except NOT_KNOWN:
            continue  # a check reports the value that is wrong
        if found and (worst is None or found.total > worst[0].total):
            worst = found, stage
    if worst is None or worst[0].verdict in ("", "fits"):
        return None
    memory, stage = worst
    free = gigabytes(room.free_bytes or 0)
    what = f"{stage} takes about {gigabytes(memory.total)} of memory, and {room.name} has {free}"
    what = f"{memory.verdict}: {what} free ({split_line(memory)})"
    return Problem(what, "", _cure(recipe, stage, paths, room), "warning")


def _cure(recipe: Recipe, stage: str, paths: Paths, room: Room) -> str:
    config = resolve(recipe, stage, output_dir=paths.runs, models=paths.models)
    if not recipe.shared_prefix:
        config["shared_prefix"] = "off"
    model = model_config(recipe.model, recipe.path.parent, paths.models)
    found = smallest_change(config, stage, model, room) if model else None
    if found is None:
        return "No change of the settings makes it fit: take a smaller model_name_or_path."
    return found[0].upper() + found[1:] + "."


def split_line(memory: Memory) -> str:
    """`weights 0.3, optimizer 0.0, activations 2.5, head 0.2, process 0.6 GB`."""
    return ", ".join(f"{name} {part / 1e9:.1f}" for name, part in memory.parts.items()) + " GB"
