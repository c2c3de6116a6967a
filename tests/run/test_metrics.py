from __future__ import annotations

from pathlib import Path

from workbench.base.files import append_json
from workbench.run.directory import RunDirectory
from workbench.run.metrics import MetricsReader


def log(run: RunDirectory, stage: str, step: int, **values: object) -> None:
    append_json(run.metrics, {"time": 1.0, "stage": stage, "step": step, **values})


def test_points_latest_and_names(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    reader = MetricsReader(run)
    assert not reader.poll()
    append_json(run.metrics, {"time": 1, "event": "stage", "stage": "sft", "max_steps": 2})
    log(run, "sft", 1, loss=2.0, epoch=0.5)
    assert reader.poll()
    append_json(run.metrics, {"time": 2, "event": "stage", "stage": "dpo", "max_steps": 1})
    log(run, "dpo", 1, loss=0.69, **{"rewards/margins": 0.0})
    assert reader.poll()
    assert not reader.poll()
    assert list(reader.points("loss")) == [(1, 2.0), (1, 0.69)]
    assert list(reader.points("loss", "dpo")) == [(1, 0.69)]
    assert reader.latest == {"loss": 0.69, "rewards/margins": 0.0}
    assert reader.names() == ["loss", "rewards/margins"]
    assert [event["stage"] for event in reader.events] == ["sft", "dpo"]


def test_non_finite_values_are_faults_not_points(tmp_path: Path) -> None:
    """Row 27."""
    run = RunDirectory(tmp_path)
    log(run, "dpo", 1, loss=0.5)
    log(run, "dpo", 2, loss=None, non_finite=["loss"])
    with run.metrics.open("a") as file:
        file.write('{"stage": "dpo", "step": 3, "loss": NaN, "grad_norm": Infinity}\n')
    reader = MetricsReader(run)
    reader.poll()
    assert list(reader.points("loss")) == [(1, 0.5)]
    assert list(reader.faults) == [("dpo", 2, "loss")]


def test_a_resume_supersedes_the_steps_behind_its_checkpoint(tmp_path: Path) -> None:
    """Row 59."""
    run = RunDirectory(tmp_path)
    for step in range(1, 6):
        log(run, "dpo", step, loss=float(step))
    append_json(run.metrics, {"event": "resume", "stage": "dpo", "step": 3})
    log(run, "dpo", 4, loss=40.0)
    reader = MetricsReader(run)
    reader.poll()
    assert list(reader.points("loss")) == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0)]


def test_a_replaced_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for step in range(1, 4):
        log(run, "dpo", step, loss=1.0)
    reader = MetricsReader(run)
    reader.poll()
    run.metrics.write_text('{"stage": "dpo", "step": 9, "loss": 0.1}\n')
    assert reader.poll()
    assert list(reader.points("loss")) == [(9, 0.1)]


def test_foreign_lines_do_no_harm(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    lines = '{"step": "x", "stage": "dpo"}\n{"loss": 1}\nnull\n{"stage": 1, "step": 1}\n'
    lines += '{"stage": "dpo", "step": 1, "non_finite": null, "loss": 1' + "0" * 400 + "}\n"
    run.metrics.write_text(lines)
    reader = MetricsReader(run)
    reader.poll()
    assert list(reader.points("loss")) == []
    assert reader.names() == []
    assert list(reader.faults) == []


def test_a_stage_that_begins_anew_supersedes_its_first_attempt(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    reader = MetricsReader(run)
    for loss in (1.0, 2.0):
        append_json(run.metrics, {"event": "stage", "stage": "dpo"})
        log(run, "dpo", 1, loss=loss)
        reader.poll()
    assert list(reader.points("loss")) == [(1, 2.0)]
    append_json(run.metrics, {"event": "stage", "stage": "dpo"})
    append_json(run.metrics, {"event": "resume", "stage": "dpo", "step": 1})
    log(run, "dpo", 2, loss=3.0)
    reader.poll()
    assert list(reader.points("loss")) == [(1, 2.0), (2, 3.0)]
