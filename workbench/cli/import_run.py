"""`import` of a run that another trainer has left."""

from __future__ import annotations

import argparse
from pathlib import Path

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.cli.output import one_line, print_json
from workbench.run.foreign_runs import ForeignRun, find_state, read_foreign_run
from workbench.run.importing import keep


def import_run(arguments: argparse.Namespace, paths: Paths, source: Path) -> int | None:
    """Make a run of a trainer_state.json; None where the path names none."""
    state = find_state(source)
    if state is None:
        _refuse_folder(source)
        return None
    for given, option in ((arguments.kind, "--from"), (arguments.print_only, "--print")):
        if given:
            what = f"{option} is for configurations, and this is a run's trainer_state.json"
            raise ProblemError(Problem(what, str(state), f"Leave {option} out."), exit_code=2)
    found = read_foreign_run(state, stage=arguments.stage)
    run = keep(paths, found, arguments.name)
    if arguments.json:
        print_json(
            {
                "run": run.id,
                "path": run.path,
                "imported": found.state_file,
                "stage": found.stage,
                "step": found.step,
                "max_steps": found.max_steps,
                "rows": len(found.rows),
                "left_out": found.left_out,
                "settings": found.settings,
                "versions": found.versions,
            }
        )
        return 0
    print("\n".join(_report(found, run.id)))
    return 0


def _refuse_folder(source: Path) -> None:
    if source.is_dir():
        what = "this folder has no trainer_state.json, and no checkpoint-N with one"
        hint = "Give a trainer's output folder or checkpoint, or a configuration file."
        raise ProblemError(Problem(what, str(source), hint), exit_code=2)


def _report(found: ForeignRun, run_id: str) -> list[str]:
    steps = f"{found.step} of {found.max_steps}" if found.max_steps else str(found.step)
    lines = [
        f"Imported {found.stage.upper()} run {one_line(found.name)}: {steps} steps, "
        f"{len(found.rows)} log rows."
    ]
    if found.left_out:
        lines.append(f"Left out, since they are no rows of numbers: {found.left_out} log entries.")
    known = ", ".join(found.settings) or "none"
    lines.append(f"Settings that its files tell: {one_line(known)}.")
    lines.append("Only its curves are here: it cannot be resumed, compared or scored.")
    lines.append(f"It is {run_id}. Next: dpo-workbench overlay {run_id} RUN")
    return lines
