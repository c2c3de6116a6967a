"""`--hosts`: who takes part in a run, asked before anything is made or started."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.recipe.launching import launch_wish
from workbench.recipe.recipe import Recipe, load_recipe, resolve
from workbench.run.devices import CPU, visible_slots
from workbench.run.directory import RunDirectory
from workbench.run.hosts.names import check_first, parse_hosts
from workbench.run.hosts.needs import paths_of, paths_of_run
from workbench.run.hosts.place import ask_hosts
from workbench.run.hosts.probe import HostFacts, Place
from workbench.run.record import is_active, read_record, update_record


def host_settings(hosts: Sequence[str], recipe: Recipe, paths: Paths) -> list[str]:
    """What `--hosts` means for a recipe, as `--set` takes it; every host has been asked.

    Raises:
        ProblemError: A host cannot take part, or the recipe gives this machine a place of its own.
    """
    wish = launch_wish(recipe)
    if wish.machine_rank:
        what = f"machine_rank: {wish.machine_rank} is for starting each host by hand"
        hint = "Leave it out: --hosts counts the hosts itself."
        raise ProblemError(Problem(what, "--hosts", hint), exit_code=2)
    model = [path for path in _paths(recipe, paths) if path.is_dir()]
    place = Place(wish.main_process_ip, wish.main_process_port)
    _, facts = ask_hosts(hosts[1:], place, paths.runs, model)
    settings = [f"num_machines={len(hosts)}"]
    if wish.num_processes is None:
        settings.append(f"num_processes={len(hosts) * _devices(recipe, facts)}")
    return settings


def _paths(recipe: Recipe, paths: Paths) -> list[Path]:
    stage = recipe.stages[0]
    values = resolve(recipe, stage, output_dir=paths.runs, models=paths.models)
    return paths_of({"model": values.get("model_name_or_path", "")}, paths.runs)


def _devices(recipe: Recipe, facts: Sequence[HostFacts]) -> int:
    """How many processes each host gets: one for each of its GPUs, one without any."""
    if recipe.get("use_cpu", recipe.stages[0]):
        return 1
    here = visible_slots()
    count = 0 if here == [CPU] else len(here)
    other = [f"{one.host} {one.devices}" for one in facts if one.devices != count]
    if other:
        what = f"the hosts show different numbers of GPUs: this one {count}, {', '.join(other)}"
        hint = "Say how many processes there shall be, the same number on each: num_processes."
        raise ProblemError(Problem(what, "--hosts", hint))
    return count or 1


def keep_hosts(run: RunDirectory, hosts: Sequence[str]) -> None:
    """Note the hosts of a run before its launch."""
    if hosts:
        update_record(run, hosts=list(hosts))


def hosts_of_resume(run: RunDirectory, arguments: argparse.Namespace) -> None:
    """Take other hosts for a run where the person names them, and ask them all.

    Raises:
        ProblemError: A host cannot take part, or there are more or fewer than before.
    """
    record = read_record(run)
    if is_active(record):
        return  # it cannot be resumed, which is said elsewhere
    hosts = parse_hosts(arguments.hosts) if arguments.hosts else record.hosts
    if len(hosts) < 2 or record.slurm_job:
        return
    check_first(hosts)
    if len(hosts) != max(len(record.hosts), 1):
        what = f"the run has {max(len(record.hosts), 1)} hosts, {len(hosts)} are named"
        hint = "Name as many: the order of its rows hangs on it. Or fork the run."
        raise ProblemError(Problem(what, "--hosts", hint), exit_code=2)
    wish = launch_wish(load_recipe(run.recipe))
    place = Place(wish.main_process_ip, wish.main_process_port)
    ask_hosts(hosts[1:], place, run.path, paths_of_run(run))
    keep_hosts(run, hosts)
