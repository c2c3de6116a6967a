"""run.json and metrics.jsonl as the worker writes them."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import read_jsonl
from workbench.recipe.recipe import Recipe
from workbench.run.directory import create_run
from workbench.run.record import read_record
from workbench.worker import train as train_process
from workbench.worker.callbacks import mean_loss
from workbench.worker.run_writer import RunWriter, StopRequested, number

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture
def writer(paths: Paths, make_recipe: Callable[..., Recipe]) -> Iterator[RunWriter]:
    handlers = {name: signal.getsignal(name) for name in SIGNALS}
    writer = RunWriter(create_run(paths, make_recipe()))
    writer.start()
    writer.listen()
    yield writer
    for name, handler in handlers.items():
        signal.signal(name, handler)


def test_a_stop_outside_training_ends_at_once(writer: RunWriter) -> None:
    with pytest.raises(StopRequested):
        signal.raise_signal(signal.SIGTERM)
    assert read_record(writer.run).state == "stopping"


def test_a_stop_in_training_is_only_marked_and_a_second_ignored(writer: RunWriter) -> None:
    with writer.uninterrupted():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert writer.stop_requested
        writer.update(state="running")
        assert read_record(writer.run).state == "stopping"
    with pytest.raises(StopRequested):
        writer.check_stop()


def test_the_hangup_of_a_terminal_does_nothing(writer: RunWriter) -> None:
    signal.raise_signal(signal.SIGHUP)
    assert not writer.stop_requested


def test_no_signal_touches_the_end_record(writer: RunWriter) -> None:
    writer.end("failed", Problem("it broke", "here", "mend it"))
    signal.raise_signal(signal.SIGTERM)
    record = read_record(writer.run)
    assert (record.state, record.exit_code) == ("failed", 1)
    assert record.error == {"what": "it broke", "where": "here", "next_step": "mend it"}


def test_non_finite_metrics_are_null_and_named(writer: RunWriter) -> None:
    faults = writer.metrics("dpo", 3, {"loss": math.nan, "grad_norm": 1.5, "text": "no number"})
    assert faults == ["loss"]
    line = writer.run.metrics.read_text().splitlines()[-1]
    assert "NaN" not in line
    row = json.loads(line)
    assert (row["loss"], row["grad_norm"], row["non_finite"]) == (None, 1.5, ["loss"])
    assert "text" not in row


def test_signs_of_life_come_at_most_once_a_second(writer: RunWriter) -> None:
    writer.tick(step=1)
    writer.tick(step=2)
    assert read_record(writer.run).step == 1


def test_a_file_that_cannot_be_written_costs_a_line_only(
    writer: RunWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    writer.run.metrics.mkdir()
    writer.metrics("dpo", 1, {"loss": 0.5})
    assert "warning: cannot write" in capsys.readouterr().err


def test_a_full_disk_costs_a_line_only(
    writer: RunWriter, capfd: pytest.CaptureFixture[str]
) -> None:
    """Row 33."""
    writer.append(Path("/dev/full"), {"loss": 0.5})
    assert "cannot write /dev/full: No space left on device" in capfd.readouterr().err


def test_a_deleted_run_ends_the_training(writer: RunWriter) -> None:
    """Row 34."""
    shutil.rmtree(writer.run.path)
    for write in (
        lambda: writer.update(step=3),
        lambda: writer.event("checkpoint"),
        lambda: writer.keep(writer.run.scores, {}),
    ):
        with pytest.raises(ProblemError, match="the run directory is gone"):
            write()
    writer.end("failed", Problem("the run directory is gone"))


def test_progress_is_said_once(writer: RunWriter) -> None:
    for part in (0.1, 0.1, 0.2):
        writer.progress("half way", part)
    events = [row for row in read_jsonl(writer.run.metrics) if row.get("event") == "progress"]
    assert len(events) == 1


def test_numbers() -> None:
    torch = pytest.importorskip("torch")
    assert number(torch.tensor(0.5)) == 0.5
    assert number(True) == 1
    assert number("0.5") is None
    assert number(torch.zeros(2)) is None


def test_a_stop_ends_an_evaluation_too(writer: RunWriter) -> None:
    from workbench.worker.callbacks import EvaluationStoppedError, RunCallback

    state = SimpleNamespace(global_step=3, max_steps=9)
    callback = RunCallback(writer, "dpo")
    callback.on_prediction_step(None, state, None)
    writer.stop_requested = True
    with pytest.raises(EvaluationStoppedError):
        callback.on_prediction_step(None, state, None)


def test_a_stop_saves_and_logs_at_the_end_of_its_step(writer: RunWriter) -> None:
    from workbench.worker.callbacks import RunCallback

    control = SimpleNamespace(should_evaluate=True)
    callback = RunCallback(writer, "dpo")
    writer.stop_requested = True
    callback.on_step_end(None, SimpleNamespace(global_step=9, max_steps=9), control)
    assert not callback.stopped
    callback.on_step_end(None, SimpleNamespace(global_step=3, max_steps=9), control)
    assert callback.stopped
    assert control.should_save
    assert control.should_log
    assert control.should_training_stop
    assert not control.should_evaluate


def test_a_stop_from_before_the_worker_could_listen_is_heard(
    paths: Paths, make_recipe: Callable[..., Recipe]
) -> None:
    run = create_run(paths, make_recipe())
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        command = [sys.executable, "-m", "workbench.worker.train", str(run.path)]
        worker = subprocess.Popen(command, start_new_session=True)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    worker.terminate()
    assert worker.wait(60) == 0
    assert read_record(run).state == "stopped"


def test_a_stop_while_a_failure_is_explained_changes_nothing(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_error: BaseException, **_: object) -> Problem:
        signal.raise_signal(signal.SIGTERM)
        return Problem("it broke")

    monkeypatch.setattr(train_process, "explain", slow)
    assert train_process.fail(writer.run, writer, ValueError("it broke")) == 1
    assert read_record(writer.run).state == "failed"


def test_the_mean_loss_counts_every_logged_step() -> None:
    history = [{"step": 2, "loss": 4.0}, {"step": 3, "eval_loss": 9.0}, {"step": 3, "loss": 1.0}]
    assert mean_loss(history) == 3.0
    assert math.isnan(mean_loss([]))
