"""The devices that runs take turns on: each GPU is a slot, a machine without one has the CPU.

A run of several processes has as many slots as it has processes on this machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.caution import allowed_variables
from workbench.recipe.launching import launch_wish, process_count
from workbench.recipe.recipe import Recipe
from workbench.run.directory import RunDirectory
from workbench.run.record import is_active, is_here, read_record

CPU = "cpu"
GPU_PREFIX = "cuda:"
VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"
ORDER_VARIABLE, ORDER_BY_BUS = "CUDA_DEVICE_ORDER", "PCI_BUS_ID"
DEVICES = Path("/dev")


def visible_slots(environ: Mapping[str, str] | None = None, devices: Path = DEVICES) -> list[str]:
    """The slots of this machine as the environment shows them; never empty.

    A GPU's slot is `cuda:` and what `CUDA_VISIBLE_DEVICES` calls it: its number or its UUID.
    """
    visible = (os.environ if environ is None else environ).get(VISIBLE_VARIABLE)
    if visible is None:
        # A container's device files keep the host's numbers, CUDA counts them from 0.
        files = [file for file in devices.glob("nvidia*") if re.fullmatch(r"nvidia\d+", file.name)]
        names = [str(number) for number in range(len(files))]
    else:
        names = [name.strip() for name in visible.split(",") if name.strip()]
        if names and names[0] == "-1":
            names = []
    return [f"{GPU_PREFIX}{name}" for name in dict.fromkeys(names)] or [CPU]


def slot_environment(device: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a run's environment says, so that it sees its own devices alone; nothing for none.

    Where the numbers are ours, they are those of nvidia-smi: CUDA alone would begin with the
    fastest GPU. Where the environment gives numbers, they stay in the order it means.
    """
    if device == CPU:
        return {VISIBLE_VARIABLE: ""}
    if device.startswith(GPU_PREFIX):
        ours = VISIBLE_VARIABLE not in (os.environ if environ is None else environ)
        order = {ORDER_VARIABLE: ORDER_BY_BUS} if ours else {}
        names = ",".join(slot.removeprefix(GPU_PREFIX) for slot in split_device(device))
        return {VISIBLE_VARIABLE: names, **order}
    return {}


def split_device(device: str) -> list[str]:
    """The slots that a run's `device` names: `cuda:0,cuda:1` are two."""
    return [name.strip() for name in device.split(",") if name.strip()]


def join_slots(slots: Sequence[str]) -> str:
    """Slots as the one text that a run's record holds."""
    return ",".join(slots)


def asks_cpu(recipe: Recipe) -> bool:
    """Whether a stage of the recipe trains on the CPU whatever this machine has."""
    return any(bool(recipe.get("use_cpu", stage)) for stage in recipe.stages)


def slots_needed(recipe: Recipe, slots: Sequence[str]) -> int:
    """How many of a machine's slots a run of the recipe takes; the processes of a CPU share it."""
    if not slots[0].startswith(GPU_PREFIX) or asks_cpu(recipe):
        return 1
    wish = launch_wish(recipe)
    return max(process_count(wish, devices=len(slots)) // wish.num_machines, 1)


def choose_slots(slots: Sequence[str], taken: Container[str], count: int = 1) -> list[str]:
    """The slots that a run gets when nobody names them: free ones first, then the others."""
    free = [slot for slot in slots if slot not in taken]
    chosen = [*free, *(slot for slot in slots if slot in taken)][:count]
    return sorted(chosen, key=list(slots).index)


def slot_of_recipe(recipe: Recipe) -> str:
    """The devices that a recipe itself names in its `env`, as many as it needs; empty for none."""
    slots = slots_of_recipe(recipe)
    return join_slots(slots[: slots_needed(recipe, slots)]) if slots else ""


def slots_of_recipe(recipe: Recipe) -> list[str]:
    """All devices that a recipe itself shows to its run; empty where it names none."""
    given = allowed_variables(recipe.values(recipe.stages[0]).get("env")).get(VISIBLE_VARIABLE)
    return visible_slots({VISIBLE_VARIABLE: given}) if given is not None else []


def check_device(device: str, slots: Sequence[str]) -> str:
    """The names of slots as a person typed them, `cuda:0,cuda:1`.

    Raises:
        ProblemError: This machine has no such device, or one is named twice (exit code 2).
    """
    known = list(dict.fromkeys([*slots, CPU]))
    names = split_device(device)
    what = ""
    if unknown := [name for name in names if name not in known] or ([] if names else [device]):
        what = f"there is no such device as {unknown[0]}" if len(names) > 1 else ""
        what = what or "there is no such device"
    elif len(set(names)) < len(names):
        what = "a device is named twice"
    elif CPU in names and len(names) > 1:
        what = "a run trains on GPUs or on the CPU, not on both"
    if what:
        hint = f"Name one of these: {', '.join(known)}."
        if len(slots) > 1:
            hint = f"Name one or more of these, with commas: {', '.join(known)}."
        raise ProblemError(Problem(what, device, hint), exit_code=2)
    return join_slots(names)


class Occupancy:
    """Which slots are taken, and by which run.

    Args:
        runs: Folder of the run directories.
        slots: The machine's slots; a run without a device of its own has the first.
    """

    def __init__(self, runs: Path, slots: Sequence[str]) -> None:
        self._runs = runs
        self._default = slots[0]
        self._at_rest: dict[str, tuple[int, int]] = {}

    def look(self) -> dict[str, str]:
        """Id of the run on each slot that is taken. A dead process takes none."""
        taken: dict[str, str] = {}
        at_rest = {}
        for record_file in self._runs.glob("*/run.json"):
            try:
                status = record_file.stat()
            except OSError:
                continue
            # Two replacements within one tick of the file system's clock differ by their inode.
            stamp = (status.st_mtime_ns, status.st_ino)
            run = RunDirectory(record_file.parent)
            if self._at_rest.get(run.id) == stamp:
                at_rest[run.id] = stamp
                continue
            record = read_record(run)
            if not is_active(record):
                at_rest[run.id] = stamp
            elif is_here(record):
                for slot in split_device(record.device) or [self._default]:
                    taken[slot] = run.id
        self._at_rest = at_rest
        return taken
