"""Whether this machine can start the processes that a recipe asks for."""

from __future__ import annotations

import errno
import importlib.util
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.launching import (
    ZERO,
    LaunchWish,
    accelerate_settings,
    launch_kind,
    launch_wish,
    process_count,
)
from workbench.recipe.recipe import Recipe
from workbench.run.devices import (
    GPU_PREFIX,
    asks_cpu,
    slots_of_recipe,
    split_device,
    visible_slots,
)

DEEPSPEED = "deepspeed"


def launch_problems(
    recipe: Recipe, device: str = "", *, hosts: int = 0, named: bool = False
) -> list[Problem]:
    """What keeps this machine from starting a recipe's processes; empty for a single process.

    Args:
        device: The slots that the run has; those of the recipe or all visible ones if empty.
        hosts: How many machines the start itself names; the recipe then need not say where they
            meet.
        named: Whether a person has named `device` for this very run.
    """
    wish = launch_wish(recipe)
    if hosts > 1:
        wish = replace(wish, num_machines=hosts)
    slots = split_device(device) or slots_of_recipe(recipe) or visible_slots()
    if named and (extra := _idle(wish, slots)) is not None:
        return [extra]
    if wish.is_one_process:
        return []
    on_cpu = asks_cpu(recipe) or not slots[0].startswith(GPU_PREFIX)
    try:
        folder = recipe.path.parent
        accelerate_settings(wish, devices=len(slots), on_cpu=on_cpu, recipe_folder=folder)
    except ProblemError as error:
        return list(error.problems)
    problems = [*_missing_package(recipe), *_too_many(wish, slots, on_cpu)]
    return [*problems, *_meeting(wish, known=hosts > 1)]


def refuse_launch(recipe: Recipe, device: str = "", *, hosts: int = 0, named: bool = False) -> None:
    """ProblemError where this machine cannot start a recipe's processes, see `launch_problems`."""
    if problems := launch_problems(recipe, device, hosts=hosts, named=named):
        raise ProblemError(*problems)


def launch_warnings(recipe: Recipe) -> list[Problem]:
    """The same for a check, which forbids nothing: the run may start on another machine."""
    return [replace(found, severity="warning") for found in launch_problems(recipe)]


def launch_settings(recipe: Recipe) -> dict[str, Any]:
    """The accelerate config of a recipe as it would be here; empty for a single process.

    Raises:
        ProblemError: Its launch config cannot be read.
    """
    wish = launch_wish(recipe)
    if wish.is_one_process:
        return {}
    devices = len(slots_of_recipe(recipe) or visible_slots())
    folder = recipe.path.parent
    # What cannot be started here is shown all the same.
    return accelerate_settings(wish, devices=devices, on_cpu=False, recipe_folder=folder)


def _idle(wish: LaunchWish, slots: list[str]) -> Problem | None:
    here = _processes_here(wish, len(slots))
    if len(slots) <= here:
        return None
    trained = f"{here} process{'es' if here > 1 else ''}"
    what = f"--device names {len(slots)} devices, and the recipe asks for {trained} here"
    total = len(slots) * wish.num_machines
    return Problem(what, ",".join(slots), f"Name {here}, or set num_processes: {total}.")


def _processes_here(wish: LaunchWish, devices: int) -> int:
    return max(process_count(wish, devices=devices) // wish.num_machines, 1)


def _missing_package(recipe: Recipe) -> Iterator[Problem]:
    if launch_kind(recipe) == ZERO and importlib.util.find_spec(DEEPSPEED) is None:
        what = "DeepSpeed ZeRO needs the package deepspeed, which is not installed"
        hint = (
            "pip install deepspeed (its first start compiles a part of it, with a C++ compiler and "
            "ninja), or use accelerate_config: fsdp2."
        )
        yield Problem(what, "accelerate_config", hint)


def _too_many(wish: LaunchWish, slots: list[str], on_cpu: bool) -> Iterator[Problem]:
    here, machines = _processes_here(wish, len(slots)), wish.num_machines
    most = cpu_cores() if on_cpu else len(slots)
    if here <= most:
        return
    each = " on each machine" if machines > 1 else ""
    lower = f"Lower num_processes to {most * machines}"
    if on_cpu:
        cores = f"{most} CPU core{'s' if most > 1 else ''}"
        what = f"{here} processes{each} are more than this machine's {cores}"
        yield Problem(what, "num_processes", lower + ".")
        return
    there = f"{most} {'are' if most > 1 else 'is'} visible"
    what = f"{here} processes{each} need {here} GPUs, and {there} here"
    hint = f"{lower}, or show more GPUs with CUDA_VISIBLE_DEVICES."
    yield Problem(what, "num_processes", hint)


def cpu_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _meeting(wish: LaunchWish, *, known: bool) -> Iterator[Problem]:
    """Where the processes find one another."""
    address, port = wish.main_process_ip, wish.main_process_port
    if wish.num_machines > 1 and not address and not known:
        what = (
            f"num_machines: {wish.num_machines} and no main_process_ip: nobody knows where to meet"
        )
        hint = "Write the address of the machine of rank 0, or start with --hosts a,b."
        yield Problem(what, "main_process_ip", hint)
    elif wish.num_machines > 1 and address and not _is_known(address):
        what = f"{address} is no address, and no host of this name is known"
        yield Problem(what, "main_process_ip", "Write the address of the machine of rank 0.")
    if port and wish.machine_rank == 0 and (fault := port_fault(port)):
        hint = "Choose another one, or 0 for any free one."
        if wish.num_machines > 1:
            hint = "Choose another one, the same on all machines."
        yield Problem(f"port {port} {fault}", "main_process_port", hint)


def _is_known(address: str) -> bool:
    try:
        return bool(socket.getaddrinfo(address, None))
    except (OSError, UnicodeError):
        return False


def port_fault(port: int) -> str:
    """Why nothing can listen at a port of this machine; empty where something can."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is in use on this machine"
            return f"cannot be used: {error.strerror}"
    return ""
