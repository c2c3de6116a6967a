"""Telling a person that a run has ended: the facts, the sentence, the command of the user's."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import IO, Any

import psutil

from workbench.base.files import is_number, make_private_dir, write_atomic
from workbench.base.problems import Problem, ProblemError
from workbench.base.text import clean
from workbench.run.directory import RunDirectory
from workbench.run.metrics import MetricsReader
from workbench.run.preferences import Preferences
from workbench.run.processes import RUN_VARIABLE
from workbench.run.record import RunRecord
from workbench.run.states import label

HOOK_SECONDS = 60.0
TERM_SECONDS = 2.0
PREFIX = "DPO_WORKBENCH_"
VALUE_LENGTH = 1000
COMMAND_LIMIT_BYTES = 10_000
METRICS_REACH_BYTES = 65_536
ACCURACIES = ("eval_rewards/accuracies", "rewards/accuracies", "mean_token_accuracy")


def keep_end_command(run: RunDirectory, command: str) -> None:
    """Remember a command line for the end of one run; it takes the place of the user's general one.

    Raises:
        ProblemError: It cannot be written.
    """
    file = end_file(run)
    try:
        make_private_dir(file.parent)
        write_atomic(file, command + "\n")
    except OSError as error:
        what = f"cannot keep the end command: {error.strerror or error}"
        raise ProblemError(Problem(what, str(file), "Check its permissions.")) from error


def end_file(run: RunDirectory) -> Path:
    """Where a run's own end command stands.

    Not in the run directory: one that was copied from a stranger must not bring a command along.
    """
    return run.path.parent.parent / "on_end" / run.id


def end_command(run: RunDirectory, preferences: Preferences) -> str:
    """The command line for a run's end; empty for none.

    A run's own counts only in a file that nobody else may write.
    """
    file = end_file(run)
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return preferences.on_end
    with os.fdopen(handle, "rb") as opened:
        status = os.fstat(handle)
        ours = status.st_uid == os.getuid() and stat.S_ISREG(status.st_mode)
        if not ours or status.st_mode & 0o077:
            return preferences.on_end
        return opened.read(COMMAND_LIMIT_BYTES).decode("utf-8", "replace").strip()


def end_values(run: RunDirectory, record: RunRecord) -> tuple[float | None, float | None]:
    """Loss and accuracy that a run ended with: its last stage's result, else the newest logged."""
    result = record.results.get(record.stage) or {}
    reader = MetricsReader(run)
    reader.skip_to_last(METRICS_REACH_BYTES)
    reader.read_all()
    evaluated = result.get("eval") if isinstance(result.get("eval"), dict) else {}
    logged = reader.latest
    losses = [result.get("train_loss"), logged.get("loss")]
    accuracies = [values.get(name) for values in (evaluated or {}, logged) for name in ACCURACIES]
    return _first_number(losses), _first_number(accuracies)


def _first_number(values: list[Any]) -> float | None:
    return next((value for value in values if is_number(value)), None)


def end_facts(run: RunDirectory, record: RunRecord) -> dict[str, str]:
    """What the end command finds in its environment; what is not known is an empty text."""
    loss, accuracy = end_values(run, record)
    error = record.error or {}
    seconds = record.finished - record.started if record.finished and record.started else 0.0
    facts = {
        "RUN_ID": run.id,
        "STATE": record.state,
        "NAME": record.name,
        "TITLE": record.title,
        "STEP": str(record.step),
        "MAX_STEPS": str(record.max_steps),
        "SECONDS": f"{max(0.0, seconds):.0f}",
        "ERROR": str(error.get("what") or ""),
        "LOSS": "" if loss is None else f"{loss:.6g}",
        "ACCURACY": "" if accuracy is None else f"{accuracy:.6g}",
    }
    facts = {name: clean(value, newlines=False)[:VALUE_LENGTH] for name, value in facts.items()}
    return {PREFIX + name: value for name, value in {**facts, "FOLDER": str(run.path)}.items()}


def end_sentence(run_name: str, state: str, seconds: float, detail: str = "") -> str:
    """`quickstart finished after 3:40: accuracy 1.00`.

    Args:
        seconds: How long the run has taken, 0 where that is not known.
        detail: An accuracy or an error, empty for none.
    """
    took = f" after {_duration(seconds)}" if seconds > 0 else ""
    words = f"{run_name} {label(state)}{took}" + (f": {detail}" if detail else "")
    return clean(words, newlines=False)


def describe_end(run: RunDirectory, record: RunRecord) -> str:
    """How a run ended, in one sentence."""
    seconds = record.finished - record.started if record.finished and record.started else 0.0
    accuracy = end_values(run, record)[1] if record.state == "finished" else None
    return end_sentence(record.name or run.id, record.state, seconds, _detail(record, accuracy))


def _detail(record: RunRecord, accuracy: float | None) -> str:
    if accuracy is not None:
        return f"accuracy {accuracy:.2f}"
    return str((record.error or {}).get("what") or "")


def progress_words(record: RunRecord) -> str:
    """`dpo 12/40 quickstart`, for a terminal's title."""
    step = f" {record.step}/{record.max_steps}" if record.max_steps else f" {label(record.state)}"
    return f"{record.stage}{step} {record.name}".strip()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def run_end_hook(
    run: RunDirectory, record: RunRecord, preferences: Preferences, log: IO[bytes] | None = None
) -> str:
    """Run the user's end command, if there is one, and wait for it, a minute at most.

    The shell gets the command as it was typed; facts reach it by its environment alone.

    Args:
        log: Where its output goes; the run's train.log when None.

    Returns:
        What went wrong in one sentence, empty where nothing did. Nothing is raised.
    """
    command = end_command(run, preferences)
    if not command:
        return ""
    environment = {name: value for name, value in os.environ.items() if name != RUN_VARIABLE}
    environment.update(end_facts(run, record))
    try:
        with contextlib.ExitStack() as stack:
            output = log or stack.enter_context(run.log.open("ab"))
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=run.path,
                env=environment,
            )
        problem = _wait(process)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        problem = f"the end command could not be started: {reason}"
    return problem


def _wait(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(timeout=HOOK_SECONDS)
    except subprocess.TimeoutExpired:
        _end(process)
        return f"the end command was ended after {HOOK_SECONDS:.0f} s"
    return f"the end command failed with exit code {code}" if code else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and what it has started, also in sessions of their own."""
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(process.pid)
        family = [*parent.children(recursive=True), parent]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.send_signal(number)
        _, family = psutil.wait_procs(family, timeout=TERM_SECONDS)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=TERM_SECONDS)
