from __future__ import annotations

from pathlib import Path

import pytest

from workbench.base.files import append_json
from workbench.run.axes import AXES, Axis
from workbench.run.directory import RunDirectory
from workbench.run.marks import Mark
from workbench.run.metrics import MetricsReader

START = 1.7e9


def event(run: RunDirectory, name: str, at: float, **fields: object) -> None:
    append_json(run.metrics, {"time": START + at, "event": name, **fields})


def log(run: RunDirectory, step: int, at: float, **values: object) -> None:
    head = {"time": START + at, "stage": "dpo", "step": step}
    append_json(run.metrics, {**head, "loss": 1.0, **values, "epoch": step / 10})


def read(run: RunDirectory) -> MetricsReader:
    reader = MetricsReader(run)
    reader.read_all()
    return reader


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Ten steps of two seconds each, beginning at second 100; then a stop and a day of pause."""
    run = RunDirectory(tmp_path)
    event(run, "stage", 100, stage="dpo", max_steps=30)
    for step in range(1, 11):
        log(run, step, 100 + 2 * step, num_tokens=50.0 * step)
    event(run, "checkpoint", 121, stage="dpo", step=10)
    event(run, "end", 122, state="stopped")
    return run


def resume(run: RunDirectory, step: int, at: float) -> None:
    event(run, "stage", at, stage="dpo", max_steps=30)
    event(run, "resume", at, stage="dpo", step=step)


def test_each_axis_lies_on_a_line_between_what_was_logged(run: RunDirectory) -> None:
    reader = read(run)
    at = {kind: reader.axis(kind, "dpo").at(2.5) for kind in AXES}
    assert at == pytest.approx({"step": 2.5, "epoch": 0.25, "tokens": 125.0, "time": 5.0})
    for kind in ("epoch", "tokens", "time"):
        axis = reader.axis(kind, "dpo")
        assert axis.at(0) == 0.0
        assert axis.at(10.5) is None
        assert axis.at(-1) is None
        assert reader.axis(kind, "sft").at(1) is None


def test_an_axis_that_was_never_logged_knows_nothing(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    append_json(run.metrics, {"stage": "dpo", "step": 5, "loss": 1.0})
    reader = read(run)
    assert [reader.axis(kind, "dpo").at(5) for kind in AXES] == [5.0, None, None, None]
    assert reader.axis("epoch", "dpo") == Axis("epoch")


def test_without_a_beginning_time_counts_from_the_first_record(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for step in (5, 6):
        log(run, step, 1000 + 3 * step)
    axis = read(run).axis("time", "dpo")
    assert (axis.at(5), axis.at(6), axis.at(0)) == (0.0, 3.0, None)


def test_a_pause_is_no_training_time(run: RunDirectory) -> None:
    resume(run, 10, 90_000)
    for step in (11, 12):
        log(run, step, 90_000 + 2 * (step - 10))
    axis = read(run).axis("time", "dpo")
    # The stage had trained for 22 seconds when it ended, saving included.
    assert [axis.at(step) for step in (10, 11, 12)] == [20.0, 24.0, 26.0]


def test_an_attempt_to_go_on_that_failed_is_pause_too(run: RunDirectory) -> None:
    event(run, "end", 50_000, state="failed")
    resume(run, 10, 90_000)
    log(run, 11, 90_002)
    reader = read(run)
    assert reader.axis("time", "dpo").at(11) == 24.0
    kinds = [(mark.kind, mark.label) for mark in reader.marks("dpo")]
    assert kinds == [("checkpoint", "checkpoint"), ("stop", "failed"), ("resume", "resumed")]


def test_steps_behind_a_checkpoint_are_forgotten_and_their_seconds_count(run: RunDirectory) -> None:
    resume(run, 4, 90_000)
    reader = read(run)
    assert reader.axis("tokens", "dpo").at(5) is None
    assert reader.axis("epoch", "dpo").steps == (0, 1, 2, 3, 4)
    log(run, 5, 90_002, num_tokens=250.0)
    reader = read(run)
    assert reader.axis("time", "dpo").at(4) == 8.0
    assert reader.axis("time", "dpo").at(5) == 24.0
    assert reader.axis("tokens", "dpo").at(5) == 250.0


def test_a_stage_begun_anew_begins_at_nothing(run: RunDirectory) -> None:
    event(run, "stage", 90_000, stage="dpo", max_steps=30)
    log(run, 1, 90_003)
    reader = read(run)
    axis = reader.axis("time", "dpo")
    assert (axis.steps, axis.values) == ((0, 1), (0.0, 3.0))
    assert reader.marks("dpo") == ()


def test_an_evaluation_does_not_move_the_moment_of_its_step(run: RunDirectory) -> None:
    append_json(
        run.metrics,
        {"time": START + 300, "stage": "dpo", "step": 10, "eval_loss": 1.0, "epoch": 1.0},
    )
    assert read(run).axis("time", "dpo").at(10) == 20.0


def test_values_that_go_back_do_not_break_an_axis(run: RunDirectory) -> None:
    log(run, 11, 50, num_tokens=10.0)
    append_json(run.metrics, {"time": "noon", "stage": "dpo", "step": 12, "epoch": -5})
    log(run, 13, 140, num_tokens=900.0)
    reader = read(run)
    for kind in ("epoch", "tokens", "time"):
        values = list(reader.axis(kind, "dpo").values)
        assert values == sorted(values)
    assert reader.axis("tokens", "dpo").at(11) == 500.0
    assert reader.axis("time", "dpo").at(13) == 40.0


def test_marks_stand_by_step_without_superseded_ones(run: RunDirectory) -> None:
    reader = read(run)
    assert reader.marks("dpo") == (
        Mark("checkpoint", 10, "checkpoint"),
        Mark("stop", 10, "stopped"),
    )
    event(run, "checkpoint", 130, stage="dpo", step=4)
    resume(run, 4, 90_000)
    log(run, 5, 90_002, eval_loss=0.7)
    log(run, 6, 90_004, eval_loss=0.5)
    log(run, 7, 90_006, eval_loss=0.6)
    event(run, "end", 90_008, state="out_of_memory")
    assert read(run).marks("dpo") == (
        Mark("checkpoint", 4, "checkpoint"),
        Mark("resume", 4, "resumed"),
        Mark("eval_best", 6, "best eval_loss 0.5"),
        Mark("stop", 7, "OOM"),
    )


def test_a_run_that_finished_was_not_stopped(run: RunDirectory) -> None:
    resume(run, 10, 90_000)
    event(run, "end", 90_001, state="finished")
    kinds = [mark.kind for mark in read(run).marks("dpo")]
    assert kinds == ["checkpoint", "stop", "resume"]
    event(run, "end", 90_002, state="\x1b[31mred")
    assert read(run).marks("dpo")[-1] == Mark("stop", 10, "ended")
