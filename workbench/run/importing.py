"""A run directory made of a foreign run: its curves and what is known of it, without weights."""

from __future__ import annotations

import json
import shutil
import time
from typing import Any

import yaml

from workbench.base.files import json_safe, write_atomic
from workbench.base.paths import Paths, safe_name
from workbench.base.problems import Problem, ProblemError
from workbench.recipe.exchange.write import write_recipe
from workbench.run.directory import RunDirectory, list_runs, new_directory
from workbench.run.foreign_runs import ForeignRun
from workbench.run.notes import change_notes
from workbench.run.record import read_record

TAG = "imported"
HEAD = "Imported: what its files tell of it. All other settings are unknown."


def keep(paths: Paths, found: ForeignRun, name: str = "") -> RunDirectory:
    """Make the run directory of a foreign run.

    Args:
        name: A name for people; that of the trainer's folder when empty.

    Raises:
        ProblemError: The same file was imported before, or the directory cannot be written.
    """
    refuse_twice(paths, found)
    title = name or found.name or "imported"
    try:
        run = new_directory(paths, title)
        try:
            _write(run, found, title)
        except BaseException:
            shutil.rmtree(run.path, ignore_errors=True)
            raise
    except OSError as error:
        what = f"cannot make a run directory: {error.strerror or error}"
        hint = "Free disk space or set DPO_WORKBENCH_HOME to a folder that you may write."
        raise ProblemError(Problem(what, str(paths.runs), hint)) from error
    change_notes(run, add=[TAG])
    return run


def refuse_twice(paths: Paths, found: ForeignRun) -> None:
    """Import no file a second time.

    Raises:
        ProblemError: A run was made of a file with the very same bytes.
    """
    for run in list_runs(paths):
        if read_record(run).imported_sha256 == found.sha256:
            hint = f"Look at that run, or delete it first: dpo-workbench rm {run.id}."
            what = f"it was imported before, as {run.id}"
            raise ProblemError(Problem(what, str(found.state_file), hint))


def _write(run: RunDirectory, found: ForeignRun, title: str) -> None:
    stage, settings = found.stage, dict(found.settings)
    write_atomic(run.recipe, write_recipe(title, {stage: settings}, [HEAD]))
    body = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=100)
    write_atomic(run.config(stage), f"# {HEAD}\n{body}")
    write_atomic(run.environment, json.dumps({"versions": dict(found.versions)}, indent=1))
    first = {"event": "stage", "stage": stage, "max_steps": found.max_steps or found.step}
    last = {"event": "end", "state": _state(found)}
    lines = [json.dumps(json_safe(row), ensure_ascii=False) for row in (first, *found.rows, last)]
    write_atomic(run.metrics, "\n".join(lines) + "\n")
    # run.json comes last: a folder without it is no run.
    write_atomic(run.record, json.dumps(json_safe(_record(run, found, title)), indent=1))


def _state(found: ForeignRun) -> str:
    return "finished" if found.whole else "stopped"


def _record(run: RunDirectory, found: ForeignRun, title: str) -> dict[str, Any]:
    model = str(found.settings.get("model_name_or_path") or "")
    return {
        "version": 1,
        "id": run.id,
        "name": safe_name(title),
        "title": title,
        "state": _state(found),
        "stages": [found.stage],
        "stage": found.stage,
        "step": found.step,
        "max_steps": found.max_steps or found.step,
        "model_source": model,
        "model_path": model,
        "created": time.time(),
        "started": found.ended - found.seconds if found.seconds else 0.0,
        "finished": found.ended,
        "results": {found.stage: dict(found.results)} if found.results else {},
        "imported": str(found.state_file),
        "imported_sha256": found.sha256,
    }
