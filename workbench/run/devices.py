"""The devices that runs take turns on: each GPU is a slot, a machine without one has the CPU."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.caution import allowed_variables
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
    """What a run's environment says, so that it sees its own device alone; nothing for none.

    Where the numbers are ours, they are those of nvidia-smi: CUDA alone would begin with the
    fastest GPU. Where the environment gives numbers, they stay in the order it means.
    """
    if device == CPU:
        return {VISIBLE_VARIABLE: ""}
    if device.startswith(GPU_PREFIX):
        ours = VISIBLE_VARIABLE not in (os.environ if environ is None else environ)
        order = {ORDER_VARIABLE: ORDER_BY_BUS} if ours else {}
        return {VISIBLE_VARIABLE: device.removeprefix(GPU_PREFIX), **order}
    return {}


def choose_slot(slots: Sequence[str], taken: Container[str]) -> str:
    """The slot that a run gets when nobody names one: the first that is free, or the first."""
    return next((slot for slot in slots if slot not in taken), slots[0])


def slot_of_recipe(recipe: Recipe) -> str:
    """The device that a recipe itself names in its `env`, empty for none."""
    given = allowed_variables(recipe.values(recipe.stages[0]).get("env")).get(VISIBLE_VARIABLE)
    if given is None:
        return ""
    return visible_slots({VISIBLE_VARIABLE: given})[0]


def check_device(device: str, slots: Sequence[str]) -> str:
    """The name of a slot as a person typed it.

    Raises:
        ProblemError: This machine has no such device (exit code 2).
    """
    known = list(dict.fromkeys([*slots, CPU]))
    if device not in known:
        hint = f"Name one of these: {', '.join(known)}."
        raise ProblemError(Problem("there is no such device", device, hint), exit_code=2)
    return device


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
                taken[record.device or self._default] = run.id
        self._at_rest = at_rest
        return taken
