"""`run` and `resume`: start a training process of its own, and follow it if wanted."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.cli.announce import Announcer
from workbench.cli.execute import INTERRUPTED, report
from workbench.cli.follow import follow
from workbench.cli.output import one_line, print_json
from workbench.cli.queue import enqueue
from workbench.cli.recipes import load
from workbench.cli.runs import end_code, print_summary, run_json
from workbench.recipe.checks import check, errors
from workbench.recipe.recipe import Recipe
from workbench.run.devices import check_device, visible_slots
from workbench.run.directory import RunDirectory, create_run, find_run
from workbench.run.dispatcher import assign_device
from workbench.run.launch import launch, resume
from workbench.run.notify import keep_end_command
from workbench.run.record import is_active, read_record


def run(arguments: argparse.Namespace, paths: Paths) -> int:
    """Check a recipe, make a run of it, start it, and follow it unless `--detach`."""
    recipe = load(paths, arguments.recipe, settings=arguments.settings, stage=arguments.stage)
    device = check_device(arguments.device, visible_slots()) if arguments.device else ""
    started = prepare(paths, recipe, name=arguments.name, parent=arguments.parent)
    if arguments.on_end:
        keep_end_command(started, arguments.on_end)
    if arguments.queue:
        return _enqueue(started, arguments, paths)
    if device:
        assign_device(started, device)
    launch(started)
    if arguments.detach:
        if arguments.json:
            pid = read_record(started).pid
            print_json({"run": started.id, "path": started.path, "pid": pid})
        else:
            print(started.id)
        return 0
    return follow_to_end(started, as_json=arguments.json)


def _enqueue(run: RunDirectory, arguments: argparse.Namespace, paths: Paths) -> int:
    return enqueue(
        paths,
        run,
        device=arguments.device,
        stop_on_failure=arguments.stop_on_failure,
        as_json=getattr(arguments, "json", False),
    )


def start(
    paths: Paths, recipe: Recipe, *, name: str = "", parent: str | None = None
) -> RunDirectory:
    """Create and launch a run, see `prepare`."""
    made = prepare(paths, recipe, name=name, parent=parent)
    launch(made)
    return made


def prepare(
    paths: Paths, recipe: Recipe, *, name: str = "", parent: str | None = None
) -> RunDirectory:
    """Check a recipe and make a run of it. Warnings go to stderr; ProblemError for what forbids it.

    Args:
        parent: key of the run whose newest adapter the first stage starts from.
    """
    problems = check(recipe, paths)
    fatal = errors(problems)
    if fatal:
        raise ProblemError(*fatal)
    if problems:
        report(ProblemError(*problems))
    if parent is None:
        made = create_run(paths, recipe, name=name)
    else:
        source = find_run(paths, parent)
        made = create_run(
            paths, recipe, name=name, parent=source.id, start_adapter=newest_adapter(source)
        )
    return made


def newest_adapter(run: RunDirectory) -> Path:
    """Folder of the adapter of a run's last stage that has one, else its newest checkpoint's.

    Raises:
        ProblemError: The run has trained no adapter yet.
    """
    record = read_record(run)
    for stage in reversed(record.stages):
        checkpoints = run.checkpoints(stage)
        adapter = run.adapter(stage) or (checkpoints[-1] if checkpoints else None)
        if adapter is not None and (adapter / "adapter_config.json").is_file():
            return adapter
    hint = "Wait for its first checkpoint." if is_active(record) else "Name another run."
    raise ProblemError(Problem(f"run {run.id} has no adapter", "--from", hint))


def resume_run(arguments: argparse.Namespace, paths: Paths) -> int:
    """Go on with a stopped, failed or lost run from its newest complete checkpoint."""
    found = find_run(paths, arguments.run)
    if arguments.queue:
        return _enqueue(found, arguments, paths)
    if arguments.device:
        assign_device(found, check_device(arguments.device, visible_slots()))
    resume(found)
    if arguments.detach:
        print(found.id)
        return 0
    return follow_to_end(found)


def follow_to_end(run: RunDirectory, *, as_json: bool = False) -> int:
    """Follow a run, then print what came of it. Ctrl-C leaves the run alone and returns 130."""
    say = sys.stderr if as_json else sys.stdout
    print(f"Run {run.id}", file=say)
    print(f"in {one_line(run.path)}", file=say, flush=True)
    try:
        with Announcer(run, Paths.from_environment()) as announcer:
            stream = sys.stderr if as_json else None
            record = follow(run, stream=stream, on_look=announcer.look)
    except KeyboardInterrupt:
        print(detached(run), file=sys.stderr)
        return INTERRUPTED
    if as_json:
        print_json(run_json(run, record))
    else:
        print_summary(run, record)
    return end_code(record)


def detached(run: RunDirectory) -> str:
    """What to tell a person who stopped following."""
    return (
        "The training goes on.\n"
        f"  watch it: dpo-workbench logs -f {run.id}\n"
        f"  stop it:  dpo-workbench stop {run.id}\n"
        "  the app:  dpo-workbench"
    )
