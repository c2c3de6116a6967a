"""What a run's record and recipe say of its hosts, for the supervisor on the first of them."""

from __future__ import annotations

from collections.abc import Callable

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.caution import allowed_variables
from workbench.recipe.launching import launch_wish
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory
from workbench.run.hosts.links import HostLinks
from workbench.run.hosts.orders import OWN_HOST_VARIABLE
from workbench.run.hosts.place import socket_environment
from workbench.run.record import read_record


def links_of(run: RunDirectory, say: Callable[[str], None]) -> HostLinks | None:
    """The links to a run's other hosts; None where it has none.

    Raises:
        ProblemError: The recipe cannot be read.
    """
    others = read_record(run).hosts[1:]
    if not others:
        return None
    recipe = load_recipe(run.recipe)
    wish = launch_wish(recipe)
    return HostLinks(
        run,
        others,
        ip=wish.main_process_ip,
        port=wish.main_process_port,
        variables=allowed_variables(recipe.values(recipe.stages[0]).get("env")),
        say=say,
    )


def by_hand_environment(run: RunDirectory) -> dict[str, str]:
    """What processes need to know where a person starts one run on each of several hosts.

    Each host then has a run directory of its own, which its first process writes.

    Raises:
        ProblemError: The recipe cannot be read, or does not say where they meet.
    """
    wish = launch_wish(load_recipe(run.recipe))
    if wish.num_machines == 1 or read_record(run).hosts:
        return {}
    if not wish.main_process_ip:
        what = f"num_machines: {wish.num_machines} needs the address of the first machine"
        hint = "Set main_process_ip on each of them, or start all from the first with --hosts a,b."
        raise ProblemError(Problem(what, "main_process_ip", hint))
    return {OWN_HOST_VARIABLE: "1", **socket_environment(wish.main_process_ip)}
