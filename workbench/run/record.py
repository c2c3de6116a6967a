"""run.json: what state a run is in, and whether its process is really there."""

from __future__ import annotations

import dataclasses
import json
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import psutil

from workbench.base.files import is_number, json_safe, write_atomic
from workbench.run.directory import RunDirectory

STATES = ("queued", "starting", "running", "stopping", "finished", "stopped", "failed", "lost")
ACTIVE_STATES = ("starting", "running", "stopping")
CREATE_TIME_TOLERANCE_SECONDS = 1.0
START_GRACE_SECONDS = 10.0


@dataclass
class RunRecord:
    """The content of run.json.

    Attributes:
        state: One of `STATES`. `lost` is never written: readers conclude it.
        stages, stage: All stages of the run, and the current or last one.
        step, max_steps: Optimizer steps done and planned in the current stage.
        heartbeat: Last sign of life of the worker, Unix seconds.
        model_source, model_path: The base model as typed, and as TRL gets it.
        pid, create_time: The worker's identity; a pid counts only with its create time.
        created, started, finished: Unix seconds, 0 while it has not happened.
        exit_code: Of the worker, None while unknown.
        error: `what`, `where` and `next_step` of a failed run.
        stopped_at: The checkpoint that a stopped run resumes from.
        results: Per stage: seconds, steps, peak_rss_bytes, peak_gpu_bytes, train_loss, eval.
        notes: What the worker decided on its own, one sentence each.
    """

    version: int = 1
    id: str = ""
    name: str = ""
    title: str = ""
    recipe_path: str = ""
    state: str = "queued"
    stages: list[str] = field(default_factory=list)
    stage: str = ""
    step: int = 0
    max_steps: int = 0
    heartbeat: float = 0.0
    model_source: str = ""
    model_path: str = ""
    models_folder: str = ""
    parent: str = ""
    start_adapter: str = ""
    pid: int = 0
    create_time: float = 0.0
    host: str = ""
    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    exit_code: int | None = None
    error: dict[str, str] | None = None
    stopped_at: str = ""
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_record(run: RunDirectory) -> RunRecord:
    """The record as seen from here: a live state without its process reads as `lost`.

    A record that cannot be read gives a `lost` one whose error says so.
    """
    try:
        record = _parse(run)
    except (OSError, ValueError, TypeError) as error:
        what = f"run.json cannot be read ({error})"
        hint = (
            "The other files of the run directory are untouched; delete the run if it is of no use."
        )
        return RunRecord(id=run.id, state="lost", error=_error(what, str(run.record), hint))
    if (
        record.state in ACTIVE_STATES
        and record.host == socket.gethostname()
        and not is_alive(record)
    ):
        record.state = "lost"
        what = "the worker is gone and left no end record (it was killed, or the machine restarted)"
        has_checkpoint = record.stage in record.stages and run.checkpoints(record.stage)
        hint = (
            "Resume it from its last checkpoint."
            if has_checkpoint
            else "Resume it: it starts anew."
        )
        record.error = _error(what, str(run.log), hint)
    return record


def update_record(run: RunDirectory, **changes: Any) -> RunRecord:
    """Change fields of run.json in one atomic replacement; the worker's right while it lives."""
    record = dataclasses.replace(_parse(run), **changes)
    content = json.dumps(json_safe(dataclasses.asdict(record)), indent=1, ensure_ascii=False)
    write_atomic(run.record, content)
    return record


def _parse(run: RunDirectory) -> RunRecord:
    raw = json.loads(run.record.read_text(encoding="utf-8"))
    if not isinstance(raw, dict):
        raise ValueError("not a JSON object")
    names = {f.name for f in dataclasses.fields(RunRecord)}
    record = RunRecord(**{key: value for key, value in raw.items() if key in names})
    wrong = [name for name in names if not _fits(name, getattr(record, name))]
    if wrong:
        raise ValueError(f"wrong kind of value: {', '.join(sorted(wrong))}")
    if record.state not in STATES:
        raise ValueError(f"unknown state {record.state!r}")
    return record


_EMPTY = RunRecord()


def _fits(name: str, value: Any) -> bool:
    """Whether a field's value is of the kind that its empty value shows."""
    empty = getattr(_EMPTY, name)
    if empty is None:  # exit_code, error
        return value is None or isinstance(value, int if name == "exit_code" else dict)
    return is_number(value) if isinstance(empty, int | float) else isinstance(value, type(empty))


def _error(what: str, where: str, next_step: str) -> dict[str, str]:
    return {"what": what, "where": where, "next_step": next_step}


def is_active(record: RunRecord) -> bool:
    """Whether a worker is at work on the run."""
    return record.state in ACTIVE_STATES


def is_alive(record: RunRecord) -> bool:
    """Whether the recorded worker runs on this host; a zombie or a recycled pid does not count."""
    if record.pid <= 0:
        # Between the launch and the note of its pid a worker is given the benefit of the doubt.
        return time.time() - record.started < START_GRACE_SECONDS
    try:
        process = psutil.Process(record.pid)
        same = abs(process.create_time() - record.create_time) < CREATE_TIME_TOLERANCE_SECONDS
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
