"""How a run's training processes are started: alone, or several by `accelerate launch`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from workbench.base.files import write_atomic
from workbench.recipe.launching import accelerate_settings, launch_wish, launcher_flags
from workbench.recipe.recipe import load_recipe
from workbench.run.devices import CPU, visible_slots
from workbench.run.directory import RunDirectory
from workbench.run.launch_check import cpu_cores

WORKER = "workbench.worker.train"
LAUNCHER = "accelerate.commands.launch"
PREPARE = "--prepare"
CONFIG_NAME = "accelerate.yaml"


@dataclass(frozen=True)
class Start:
    """What a supervisor starts, one command after the other.

    Attributes:
        commands: Each begins when the one before has ended well.
        processes: How many train together, on all machines.
        by_launcher: Whether the last command is accelerate's launcher and not the worker itself.
    """

    commands: tuple[tuple[str, ...], ...]
    processes: int = 1
    by_launcher: bool = False


def worker_command(run: RunDirectory) -> tuple[str, ...]:
    """One process alone."""
    return (sys.executable, "-m", WORKER, str(run.path))


def launch_command(run: RunDirectory, config: Path, options: Sequence[str] = ()) -> tuple[str, ...]:
    """This machine's processes by accelerate's launcher.

    Args:
        config: Its configuration file.
        options: What stands before the program.
    """
    launcher = (sys.executable, "-m", LAUNCHER, "--config_file", str(config), *options)
    return (*launcher, "-m", WORKER, str(run.path))


def plan_start(run: RunDirectory) -> Start:
    """What a run's recipe asks to be started on this machine; writes `accelerate.yaml`.

    Raises:
        ProblemError: The launch config cannot be read, or asks for what this machine has not.
        OSError: The file cannot be written.
    """
    recipe = load_recipe(run.recipe)
    wish = launch_wish(recipe)
    if wish.is_one_process:
        return Start((worker_command(run),))
    slots = visible_slots()
    on_cpu = slots == [CPU] or bool(recipe.get("use_cpu", recipe.stages[0]))
    settings = accelerate_settings(
        wish, devices=len(slots), on_cpu=on_cpu, recipe_folder=recipe.path.parent
    )
    processes, machines = settings["num_processes"], settings["num_machines"]
    config = run.path / CONFIG_NAME
    body = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=100)
    write_atomic(config, f"# accelerate launch --config_file {CONFIG_NAME}\n{body}")
    flags = launcher_flags(
        wish, processes_here=processes // machines, cores=cpu_cores(), on_cpu=on_cpu
    )
    launch = launch_command(run, config, flags)
    if processes == 1:
        return Start((launch,), by_launcher=True)
    return Start(((*worker_command(run), PREPARE), launch), processes, by_launcher=True)
