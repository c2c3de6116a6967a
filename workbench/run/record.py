"""run.json: what state a run is in, and whether its processes are really there."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import psutil

from workbench.base.files import is_number, json_safe, write_atomic
from workbench.base.paths import is_safe_name
from workbench.base.secrets import redact
from workbench.base.tail import read_small
from workbench.run.directory import RunDirectory
from workbench.run.evidence import boot_id
from workbench.run.processes import find_process
from workbench.run.slurm.conclusion import conclude_of_job, is_known
from workbench.run.states import ACTIVE_STATES, END_STATES, STATES

VERSION = 1
START_GRACE_SECONDS = 10.0
SILENCE_STEPS = 10
SILENCE_SECONDS = 120.0
UNPACED_SILENCE_SECONDS = 1800.0
"""Before the first steps nobody knows the pace: a base model may be on its way from a hub."""


@dataclass
class RunRecord:
    """The content of run.json.

    Attributes:
        state: One of `STATES`. `stalled` and `lost` are never written: readers conclude them.
        stages, stage: All stages of the run, and the current or last one.
        step, max_steps: Optimizer steps done and planned in the current stage.
        heartbeat: Last sign of life of the worker, Unix seconds.
        step_seconds: Median time of the last steps, 0 while unknown.
        saving: Name of the checkpoint that is being written, empty when none is.
        model_source, model_path: The base model as typed, and as TRL gets it.
        trusted_model: The model, as typed, whose own code the person has allowed to run.
        pid, create_time: The worker's identity; a pid counts only with its create time.
        supervisor_pid, supervisor_create_time: The same of the process that waits for it.
        boot_id: Which start of the machine they belong to.
        created, started, finished: Unix seconds, 0 while it has not happened.
        exit_code: Of the worker, None while unknown; negative where a signal ended it.
        signal: The signal that ended the worker, 0 for none.
        error: `what`, `where` and `next_step` of a run that ended badly.
        evidence: What the end state was concluded from, one sentence each.
        stopped_at: The checkpoint that a stopped run resumes from.
        parent, parent_stage, parent_step: The run that this one goes on from, and at which
            stage's and checkpoint's step (0: its final adapter).
        start_adapter, start_reference: What the first stage trains further, and DPO's reference:
            `base`, the folder of an adapter, or empty where the start itself is the reference.
        device: The queue's name of the device that the run has, empty for any.
        processes: How many processes train together, on all hosts.
        hosts: The machines that they are on, as ssh or Slurm calls them; empty for this one alone.
        slurm_job: Id of the job in a cluster's queue, empty for none.
        imported, imported_sha256: The trainer_state.json that an imported run was made of; of such
            a run only the curves are here.
        results: Per stage: seconds, steps, peak_rss_bytes, peak_gpu_bytes, train_loss, eval.
        notes: What the worker decided on its own, one sentence each.
    """

    version: int = VERSION
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
    step_seconds: float = 0.0
    saving: str = ""
    model_source: str = ""
    model_path: str = ""
    trusted_model: str = ""
    models_folder: str = ""
    parent: str = ""
    parent_step: int = 0
    parent_stage: str = ""
    device: str = ""
    processes: int = 1
    hosts: list[str] = field(default_factory=list)
    slurm_job: str = ""
    start_adapter: str = ""
    start_reference: str = ""
    pid: int = 0
    create_time: float = 0.0
    supervisor_pid: int = 0
    supervisor_create_time: float = 0.0
    boot_id: str = ""
    host: str = ""
    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    exit_code: int | None = None
    signal: int = 0
    error: dict[str, str] | None = None
    evidence: list[str] = field(default_factory=list)
    stopped_at: str = ""
    imported: str = ""
    imported_sha256: str = ""
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_record(run: RunDirectory) -> RunRecord:
    """The record as seen from here, with what only a reader can know.

    A live state without its processes reads as `lost`, one without a sign of life for too long
    as `stalled`. A record that cannot be read gives a `lost` one whose error says so.
    """
    try:
        record = _parse(run)
    except (OSError, ValueError, TypeError) as error:
        what = f"run.json cannot be read ({error})"
        hint = (
            "The other files of the run directory are untouched; delete the run if it is of no use."
        )
        return RunRecord(id=run.id, state="lost", error=as_error(what, str(run.record), hint))
    if record.slurm_job and not (is_here(record) and _has_process(record)):
        conclude_of_job(run, record)
    if record.state in ACTIVE_STATES and is_here(record):
        if not is_alive(record):
            if not record.slurm_job or not is_known(run, record):
                _conclude_lost(run, record)
        elif silent_seconds(record, time.time()) > silence_limit(record):
            _conclude_stalled(run, record)
    return record


def _conclude_lost(run: RunDirectory, record: RunRecord) -> None:
    record.state = "lost"
    if record.boot_id and record.boot_id != boot_id():
        what = "the machine was restarted while the run was at work"
    else:
        what = (
            "the trainer and its supervisor are gone and left no end record (both were killed, "
            "or their container ended)"
        )
    has_checkpoint = record.stage in record.stages and run.checkpoints(record.stage)
    hint = "Resume it from its last checkpoint." if has_checkpoint else "Resume it: it starts anew."
    record.error = as_error(what, str(run.log), hint)


def _conclude_stalled(run: RunDirectory, record: RunRecord) -> None:
    record.state = "stalled"
    silent = silent_seconds(record, time.time())
    what = f"no sign of life for {silent / 60:.0f} minutes, at step {record.step}"
    hint = "Look at the stacks in stacks.log; kill the run and resume it if it does not recover."
    worker = find_process(record.pid, record.create_time)
    with contextlib.suppress(psutil.Error):
        if worker is not None and worker.status() == psutil.STATUS_STOPPED:
            what += ": the trainer is suspended (SIGSTOP)"
            hint = f"Let it go on: kill -CONT {record.pid}."
    record.error = as_error(what, str(run.path / "stacks.log"), hint)


def silent_seconds(record: RunRecord, now: float) -> float:
    """Time since the last sign of life; 0 before there was one."""
    began = max(record.heartbeat, record.started)
    return now - began if began else 0.0


def silence_limit(record: RunRecord) -> float:
    """Seconds without a sign of life after which a live run counts as stalled."""
    if not record.step_seconds or not record.max_steps:
        return UNPACED_SILENCE_SECONDS
    return max(SILENCE_STEPS * record.step_seconds, SILENCE_SECONDS)


def update_record(run: RunDirectory, **changes: Any) -> RunRecord:
    """Change fields of run.json in one atomic replacement; only who holds the run's lock may.

    Raises:
        OSError: It cannot be written; the old one is untouched then.
        ValueError: It is damaged, or a newer version wrote it.
    """
    old = _parse(run)
    if old.version > VERSION:
        raise ValueError("run.json was written by a newer version of dpo-workbench")
    record = dataclasses.replace(old, **changes)
    content = json.dumps(json_safe(dataclasses.asdict(record)), indent=1, ensure_ascii=False)
    write_atomic(run.record, content)
    return record


def trust_model(run: RunDirectory, model: str) -> None:
    """Keep which model's own code the person has allowed this run; before its launch."""
    if model:
        update_record(run, trusted_model=model)


def write_end(run: RunDirectory, **changes: Any) -> RunRecord:
    """Change run.json when it is the last word: a full disk then costs the run's reserve.

    Raises:
        OSError, ValueError: As `update_record`.
    """
    try:
        return update_record(run, **changes)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        run.reserve.unlink(missing_ok=True)
        return update_record(run, **changes)


def _parse(run: RunDirectory) -> RunRecord:
    try:
        raw = json.loads(read_small(run.record))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(raw, dict):
        raise ValueError("not a JSON object")
    names = {f.name for f in dataclasses.fields(RunRecord)}
    record = RunRecord(**{key: value for key, value in raw.items() if key in names})
    wrong = [name for name in names if not _fits(name, getattr(record, name))]
    if wrong:
        raise ValueError(f"wrong kind of value: {', '.join(sorted(wrong))}")
    if record.state not in STATES:
        raise ValueError(f"unknown state {record.state!r}")
    if record.error is not None:
        record.error = {name: str(said or "") for name, said in record.error.items()}
    return record


_EMPTY = RunRecord()


def _fits(name: str, value: Any) -> bool:
    """Whether a field's value is of the kind that its empty value shows."""
    empty = getattr(_EMPTY, name)
    if empty is None:  # exit_code, error
        return value is None or isinstance(value, int if name == "exit_code" else dict)
    if isinstance(empty, int | float):
        return is_number(value)
    if name == "stage":  # stages are folders of the run: no path may leave it
        return value == "" or (isinstance(value, str) and is_safe_name(value))
    if isinstance(empty, list):
        texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return texts and (name != "stages" or all(is_safe_name(item) for item in value))
    if isinstance(empty, dict):
        return isinstance(value, dict) and all(isinstance(i, dict) for i in value.values())
    return isinstance(value, type(empty))


def as_error(what: str, where: str, next_step: str) -> dict[str, str]:
    """A problem as run.json keeps it."""
    return {"what": redact(what), "where": redact(where), "next_step": redact(next_step)}


def is_active(record: RunRecord) -> bool:
    """Whether a worker is at work on the run."""
    return record.state in ACTIVE_STATES


def has_ended(record: RunRecord) -> bool:
    """Whether the run has come to an end, good or bad."""
    return record.state in END_STATES


def is_here(record: RunRecord) -> bool:
    """Whether the run's processes are of this machine."""
    return record.host == socket.gethostname()


def is_submitted(record: RunRecord) -> bool:
    """Whether the run waits in Slurm's queue, for the first time or again."""
    return record.state == "queued" and bool(record.slurm_job)


def is_alive(record: RunRecord) -> bool:
    """Whether the recorded worker or its supervisor runs on this host.

    A zombie or a recycled pid does not count.
    """
    if record.pid <= 0 and record.supervisor_pid <= 0:
        # Between the launch and the note of the pids a run is given the benefit of the doubt.
        return time.time() - record.started < START_GRACE_SECONDS
    return _has_process(record)


def _has_process(record: RunRecord) -> bool:
    return (
        find_process(record.supervisor_pid, record.supervisor_create_time) is not None
        or find_process(record.pid, record.create_time) is not None
    )
