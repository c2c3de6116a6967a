"""From files to findings: what is read, how often, and what damaged files cannot do."""

from __future__ import annotations

import json
import math
import os
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted_faults import displaced, identical
from series import Rows, Shape, config_of, dpo_rows, dpo_run

from workbench.base.files import append_json
from workbench.base.paths import Paths
from workbench.run.directory import RunDirectory
from workbench.run.health import Doctor, Finding, RunHistory, StageHistory, examine, examine_run
from workbench.run.health import doctor as doctor_module
from workbench.run.health.rows import KEPT_ROWS, RowSample
from workbench.run.metrics import MetricsReader
from workbench.run.samples import Returns

HINTS = {"tiny_batches", "no_held_out"}


@pytest.fixture
def run(paths: Paths) -> RunDirectory:
    """A run directory of one DPO stage that has logged nothing."""
    run = RunDirectory(paths.runs / "20270101-000000-health-0000")
    run.path.mkdir(parents=True)
    record = {"version": 1, "id": run.id, "state": "finished", "stages": ["dpo"], "stage": "dpo"}
    run.record.write_text(json.dumps(record))
    run.config("dpo").write_text(yaml.safe_dump(config_of(Shape())))
    append_json(run.metrics, {"time": 1.0, "event": "stage", "stage": "dpo", "max_steps": 80})
    return run


def log(run: RunDirectory, rows: Rows, *, begun: float = 10.0) -> None:
    with run.metrics.open("a") as file:
        for row in rows:
            line = {"time": begun + row["step"], "stage": "dpo", **row, "step": int(row["step"])}
            file.write(json.dumps(line) + "\n")


def rows_of(stage: StageHistory) -> Rows:
    """A stage's log rows, training and held-out ones apart, as the worker writes them."""
    found: dict[tuple[int, bool], dict[str, float]] = {}
    for name, points in stage.curves.items():
        for step, value in points:
            row = found.setdefault((step, name.startswith("eval_")), {"step": step})
            row[name] = value
    return [found[key] for key in sorted(found)]


def rules(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.rule for finding in findings} - HINTS


def test_files_say_what_the_history_says(run: RunDirectory) -> None:
    history = displaced(0)
    log(run, rows_of(history.stages[0]))
    assert examine_run(run) == examine(history)
    assert rules(examine_run(run)) >= {"likelihood_displacement"}


def test_a_reader_of_the_caller_serves(run: RunDirectory) -> None:
    log(run, rows_of(identical(0).stages[0]))
    reader = MetricsReader(run)
    reader.read_all()
    assert examine_run(run, reader) == examine_run(run)


def test_it_looks_again_only_where_something_is_new(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[RunHistory] = []

    def counted(history: RunHistory, known: Any) -> tuple[Finding, ...]:
        looks.append(history)
        return examine(history, known)

    monkeypatch.setattr(doctor_module, "examine", counted)
    rows = rows_of(displaced(0).stages[0])
    reader = MetricsReader(run)
    doctor = Doctor(run, reader)
    log(run, rows[:40])
    reader.poll()
    assert rules(doctor.look()) == set()
    assert rules(doctor.look()) == set()
    assert len(looks) == 1
    steps = []
    for start in range(40, len(rows), 3):
        log(run, rows[start : start + 3])
        reader.poll()
        steps += [one.step for one in doctor.look() if one.rule == "likelihood_displacement"]
    assert len(set(steps)) == 1, "since when it is true does not change from look to look"
    assert abs(steps[0] - next(f.step for f in examine_run(run) if f.rule not in HINTS)) <= 3


def test_steps_that_are_trained_again_are_forgotten(run: RunDirectory) -> None:
    rows = rows_of(displaced(0).stages[0])
    log(run, rows)
    reader = MetricsReader(run)
    doctor = Doctor(run, reader)
    reader.poll()
    assert "likelihood_displacement" in rules(doctor.look())
    append_json(run.metrics, {"time": 500.0, "event": "stage", "stage": "dpo", "max_steps": 80})
    append_json(run.metrics, {"time": 500.0, "event": "resume", "stage": "dpo", "step": 20})
    reader.poll()
    assert rules(doctor.look()) == set()


def test_a_standstill_is_told_from_the_events(run: RunDirectory) -> None:
    log(run, dpo_rows(0, Shape())[:30])
    event = {"time": 60.0, "event": "stalled", "stage": "dpo", "step": 30}
    append_json(run.metrics, event)
    (finding,) = (one for one in examine_run(run) if one.rule == "stalled")
    assert (finding.severity, finding.step, finding.now) == ("warning", 30, False)


def test_answers_that_loop_are_found(run: RunDirectory) -> None:
    log(run, dpo_rows(0, Shape()))
    for number in range(4):
        row = {"time": 2.0, "stage": "dpo", "prompt": f"p{number}", "tokens": 30}
        fine = "It rained, so we took the long way home and talked about old films."
        append_json(run.samples, {**row, "step": 0, "side": "base", "answer": fine})
        loop = {"step": 80, "side": "dpo", "answer": "and so on " * 40}
        append_json(run.samples, {**row, "time": 95.0, **loop})
    (finding,) = (one for one in examine_run(run) if one.rule == "degeneration")
    assert (finding.title, finding.severity, finding.step) == ("answers loop", "alarm", 80)


def test_an_even_sample_of_a_very_long_file(run: RunDirectory) -> None:
    count = 40_000
    rng = random.Random(1)
    with run.metrics.open("a") as file:
        for step in range(1, count + 1):
            share = 1.0 if step % 3 else 0.0
            row = {"time": step, "stage": "dpo", "step": step, "loss": 0.5, "samples": 4}
            row |= {"rewards/accuracies": share, "grad_norm": rng.lognormvariate(0, 1)}
            file.write(json.dumps(row) + "\n")
    reader = MetricsReader(run)
    reader.read_all()
    assert not reader.is_whole("loss", "dpo")
    sample = RowSample(run.metrics)
    sample.update()
    points = sample.curves("dpo", Returns(()))["rewards/accuracies"]
    assert KEPT_ROWS * 0.9 <= len(points) <= 2 * KEPT_ROWS
    assert sum(value for _, value in points) / len(points) == pytest.approx(2 / 3, abs=0.06)
    assert points[-1][0] > 0.99 * count
    with run.metrics.open("a") as file:
        for step in range(count + 1, 2 * count + 1):
            file.write(json.dumps({"time": step, "stage": "dpo", "step": step, "loss": 0.5}) + "\n")
    sample.update()
    points = sample.curves("dpo", Returns(()))["loss"]
    assert KEPT_ROWS * 0.9 <= len(points) <= 2 * KEPT_ROWS
    gaps = [late[0] - early[0] for early, late in pairwise(points)]
    assert max(gaps) < 4 * 2 * count / KEPT_ROWS


def test_a_long_run_is_judged_by_rows_as_they_were_logged(run: RunDirectory) -> None:
    # Its curves keep the extremes of what they leave out: accuracies of 0 and 1, half and half.
    shape = Shape(rows=5000, reach=15.0, evaluations=20)
    run.config("dpo").write_text(yaml.safe_dump(config_of(shape)))
    append_json(run.metrics, {"time": 2.0, "event": "stage", "stage": "dpo", "max_steps": 5000})
    log(run, dpo_rows(3, shape))
    reader = MetricsReader(run)
    reader.read_all()
    assert not reader.is_whole("loss", "dpo")
    assert rules(examine_run(run, reader)) == set()


def test_of_a_very_large_file_the_end_and_a_sample_are_read(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_module, "LARGE_BYTES", 100_000)
    monkeypatch.setattr(doctor_module, "REACH_BYTES", 50_000)
    shape = Shape(rows=2000, reach=15.0)
    run.config("dpo").write_text(yaml.safe_dump(config_of(shape)))
    log(run, dpo_rows(3, shape))
    assert rules(examine_run(run)) == set()
    shape = Shape(rows=2000)
    run.metrics.unlink()
    log(run, rows_of(dpo_run(0, shape, _swap_late).stages[0]))
    assert "worse_than_chance" in rules(examine_run(run))


def _swap_late(row: dict[str, float], progress: float, rng: random.Random) -> None:
    """From the middle on the rejected answers win."""
    if progress > 0.5 and "rewards/margins" in row:
        row["rewards/margins"] *= -1
        row["rewards/accuracies"] = 1 - row["rewards/accuracies"]


def test_no_files_no_findings(paths: Paths) -> None:
    run = RunDirectory(paths.runs / "20270101-000000-none-0000")
    run.path.mkdir(parents=True)
    assert examine_run(run) == ()


@pytest.mark.parametrize("text", ["[", "- 1", "a: &a [*a]", "beta: .nan", "\x00", "9" * 100])
def test_a_damaged_config_costs_only_itself(run: RunDirectory, text: str) -> None:
    run.config("dpo").write_text(text)
    log(run, rows_of(identical(0).stages[0]))
    assert "identical_pairs" in rules(examine_run(run))


def test_a_pipe_in_the_place_of_a_file_stops_nobody(run: RunDirectory, tmp_path: Path) -> None:
    run.config("dpo").unlink()
    os.mkfifo(run.config("dpo"))
    log(run, dpo_rows(0, Shape())[:20])
    examine_run(run)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    sample = RowSample(pipe)
    sample.update()
    assert sample.rows == []


WILD = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from((0.0, 1.0, -1.0, 1e308, -1e308, 5e-324, 0.5)),
)
NAMES = sorted({name for row in dpo_rows(0, Shape()) for name in row} - {"step"})
KEYS = sorted(config_of(Shape()))
TOO_SLOW = [HealthCheck.too_slow]
ODD = st.one_of(st.none(), st.booleans(), st.text(max_size=5), WILD, st.lists(WILD, max_size=3))


@given(
    values=st.dictionaries(st.sampled_from(NAMES), st.lists(WILD, min_size=1, max_size=4)),
    config=st.dictionaries(st.sampled_from(KEYS), ODD),
)
@settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
def test_no_number_is_too_wild(values: dict[str, list[float]], config: dict[str, Any]) -> None:
    rows = dpo_rows(0, Shape(rows=40))
    for place, row in enumerate(rows):
        for name, wild in values.items():
            if name in row or place % 3 == 0:
                row[name] = wild[place % len(wild)]
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name, value in row.items():
            curves.setdefault(name, []).append((int(row["step"]), value))
    stage = StageHistory(
        "dpo", {name: tuple(points) for name, points in curves.items()}, config, max_steps=40
    )
    for finding in examine(RunHistory((stage,))):
        assert 0 <= finding.step <= 40
        assert not math.isnan(finding.step)
