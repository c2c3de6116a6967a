"""`run` and `resume`: start a training process of its own, and follow it if wanted."""

from __future__ import annotations

import argparse
import sys

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.cli.announce import Announcer
from workbench.cli.execute import INTERRUPTED, report
from workbench.cli.follow import follow
from workbench.cli.hosts import host_settings, hosts_of_resume, keep_hosts
from workbench.cli.output import one_line, print_json
from workbench.cli.queue import enqueue
from workbench.cli.recipes import load
from workbench.cli.runs import end_code, print_summary, run_json
from workbench.cli.slurm import refuse_queue, submitted_words, wish_of
from workbench.recipe.checks import check, errors
from workbench.recipe.launching import launch_wish
from workbench.recipe.recipe import Recipe
from workbench.recipe.slurm_section import fit_together
from workbench.run.changes import refuse_changes
from workbench.run.devices import (
    CPU,
    check_device,
    choose_slots,
    join_slots,
    slot_of_recipe,
    slots_needed,
    split_device,
    visible_slots,
)
from workbench.run.directory import Origin, RunDirectory, create_run, find_run
from workbench.run.dispatcher import assign_device, take_free_device
from workbench.run.gpu_use import use_of
from workbench.run.hosts.names import parse_hosts
from workbench.run.launch import launch, resume, submit_new
from workbench.run.launch_check import refuse_launch
from workbench.run.lineage import find_origin, fit_recipe, fork_recipe
from workbench.run.notify import keep_end_command
from workbench.run.record import is_submitted, read_record, trust_model
from workbench.run.room import memory_problem, room_for


def run(arguments: argparse.Namespace, paths: Paths) -> int:
    """Check a recipe, make a run of it, start it, and follow it unless `--detach`."""
    recipe = load(paths, arguments.recipe, settings=arguments.settings, stage=arguments.stage)
    wish = wish_of(arguments, recipe)
    hosts = parse_hosts(arguments.hosts) if arguments.hosts else []
    if hosts:
        settings = [*arguments.settings, *host_settings(hosts, recipe, paths)]
        recipe = load(paths, arguments.recipe, settings=settings, stage=arguments.stage)
    device = check_device(arguments.device, visible_slots()) if arguments.device else ""
    trusted = arguments.trusted_model
    if wish is not None:
        recipe, wish = fit_together(recipe, wish)
    else:
        named = bool(device) and not arguments.queue
        refuse_launch(recipe, device, hosts=len(hosts), named=named)
    started = prepare(
        paths, recipe, name=arguments.name, parent=arguments.parent, trusted_model=trusted
    )
    keep_hosts(started, hosts)
    if arguments.on_end:
        keep_end_command(started, arguments.on_end)
    if arguments.queue:
        return _enqueue(started, arguments, paths)
    if device:
        assign_device(started, device)
    if wish is not None:
        submit_new(started, wish)
    else:
        begin(paths, started, recipe, device)
    return _report_launched(started, arguments)


def begin(paths: Paths, run: RunDirectory, recipe: Recipe, device: str = "") -> None:
    """Launch a new run; say which device it got, and when others are on that one already.

    Args:
        device: The one that a person named and the run has; the first free one is taken without.
    """
    if not device and (device := take_free_device(run)):
        print(_device_line(recipe, device), file=sys.stderr)
    slots = visible_slots()
    usual = join_slots(choose_slots(slots, (), slots_needed(recipe, slots)))
    slot = device or slot_of_recipe(recipe) or usual
    problems = []
    if others := use_of(slot).others:
        hint = "dpo-workbench doctor lists all devices."
        problems.append(Problem(others, "", hint, severity="warning"))
    if tight := memory_problem(recipe, paths, room_for(recipe, slot)):
        problems.append(tight)
    if problems:
        report(ProblemError(*problems))
    launch(run)


def _device_line(recipe: Recipe, device: str) -> str:
    """Which devices a run gets; on a line of its own how it would get all of them."""
    if len(split_device(device)) > 1:
        return f"It gets {device}, the first devices that are free."
    told = f"It gets {device}, the first device that is free."
    count = len(visible_slots())
    if not launch_wish(recipe).is_one_process or device == CPU:
        return told
    return f"{told}\nWith num_processes: {count} it would train on all {count}."


def _report_launched(run: RunDirectory, arguments: argparse.Namespace) -> int:
    """Follow a run that has been launched, or only name it with `--detach`."""
    if not arguments.detach:
        return follow_to_end(run, as_json=arguments.json)
    if arguments.json:
        record = read_record(run)
        job = {"slurm_job": record.slurm_job} if record.slurm_job else {}
        print_json({"run": run.id, "path": run.path, "pid": record.pid, **job})
    else:
        print(run.id)
    return 0


def _enqueue(run: RunDirectory, arguments: argparse.Namespace, paths: Paths) -> int:
    return enqueue(
        paths,
        run,
        device=arguments.device,
        stop_on_failure=arguments.stop_on_failure,
        accept_changes=getattr(arguments, "accept_changes", False),
        as_json=getattr(arguments, "json", False),
    )


def start(
    paths: Paths, recipe: Recipe, *, name: str = "", parent: str | None = None
) -> RunDirectory:
    """Create and launch a run, see `prepare`."""
    made = prepare(paths, recipe, name=name, parent=parent)
    begin(paths, made, recipe)
    return made


def refuse_problems(recipe: Recipe, paths: Paths, trusted_model: str = "") -> None:
    """Report a recipe's warnings on stderr; ProblemError for what forbids a launch."""
    problems = check(recipe, paths, trusted_model=trusted_model)
    if fatal := errors(problems):
        raise ProblemError(*fatal)
    if problems:
        report(ProblemError(*problems))


def prepare(
    paths: Paths,
    recipe: Recipe,
    *,
    name: str = "",
    parent: str | None = None,
    trusted_model: str = "",
) -> RunDirectory:
    """Check a recipe and make a run of it. Warnings go to stderr; ProblemError for what forbids it.

    Args:
        parent: key of the run whose adapter the first stage starts from, or `KEY@PLACE`.
        trusted_model: the model, as the recipe names it, whose own code may run.
    """
    refuse_problems(recipe, paths, trusted_model)
    origin = None
    if parent is not None:
        recipe, origin = begin_with(paths, recipe, parent)
    made = create_run(paths, recipe, name=name, origin=origin)
    trust_model(made, trusted_model)
    return made


def begin_with(paths: Paths, recipe: Recipe, parent: str) -> tuple[Recipe, Origin]:
    """What `--from RUN` or `--from RUN@PLACE` begins with, and the recipe's stages behind it."""
    key, _, place = parent.partition("@")
    source = find_run(paths, key)
    if not place:
        return recipe, find_origin(source, keep_reference=False)
    origin = find_origin(source, place, keep_reference=not place.isalpha())
    return fit_recipe(recipe, origin), origin


def fork(arguments: argparse.Namespace, paths: Paths) -> int:
    """Train a run's checkpoint further in a new run, with the run's own recipe."""
    parent = find_run(paths, arguments.run)
    recipe, origin = fork_recipe(parent, arguments.at, arguments.settings)
    record = read_record(parent)
    trusted = arguments.trusted_model or record.trusted_model
    refuse_problems(recipe, paths, trusted)
    wish = wish_of(arguments, recipe)
    if wish is not None:
        recipe, wish = fit_together(recipe, wish)
    forked = create_run(paths, recipe, name=arguments.name or record.name, origin=origin)
    trust_model(forked, trusted)
    if wish is not None:
        submit_new(forked, wish)
    else:
        keep_hosts(forked, [] if record.slurm_job else record.hosts)
        begin(paths, forked, recipe)
    return _report_launched(forked, arguments)


def resume_run(arguments: argparse.Namespace, paths: Paths) -> int:
    """Go on with a stopped, failed or lost run from its newest complete checkpoint."""
    found = find_run(paths, arguments.run)
    refuse_queue(found, arguments)
    hosts_of_resume(found, arguments)
    if arguments.queue:
        # Nobody is there to be asked when its turn comes.
        refuse_changes(found, accept=False)
        return _enqueue(found, arguments, paths)
    if arguments.device:
        assign_device(found, check_device(arguments.device, visible_slots()))
    resume(found, accept_changes=arguments.accept_changes)
    if arguments.detach:
        print(found.id)
        return 0
    return follow_to_end(found)


def follow_to_end(run: RunDirectory, *, as_json: bool = False) -> int:
    """Follow a run, then print what came of it. Ctrl-C leaves the run alone and returns 130."""
    say = sys.stderr if as_json else sys.stdout
    print(f"Run {run.id}", file=say)
    print(f"in {one_line(run.path)}", file=say, flush=True)
    if is_submitted(read_record(run)):
        print(submitted_words(run), file=say, flush=True)
    paths = Paths.from_environment()
    try:
        with Announcer(run, paths) as announcer:
            stream = sys.stderr if as_json else None
            record = follow(run, paths=paths, stream=stream, on_look=announcer.look)
    except KeyboardInterrupt:
        print(detached(run), file=sys.stderr)
        return INTERRUPTED
    if as_json:
        print_json(run_json(run, record, paths))
    else:
        print_summary(run, record)
        if record.state == "finished":
            print(f"Next: dpo-workbench score {run.id}")
    return end_code(record)


def detached(run: RunDirectory) -> str:
    """What to tell a person who stopped following."""
    waits = is_submitted(read_record(run))
    return (
        f"{'The run keeps its place in the queue' if waits else 'The training goes on'}.\n"
        f"  watch it: dpo-workbench watch {run.id}\n"
        f"  stop it:  dpo-workbench stop {run.id}\n"
        "  the app:  dpo-workbench"
    )
