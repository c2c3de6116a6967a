"""Answers that a run kept, and those that count."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.base.files import append_json
from workbench.base.paths import Paths
from workbench.run.directory import RunDirectory
from workbench.run.samples import read_samples


@pytest.fixture
def run(paths: Paths) -> RunDirectory:
    """An empty run directory."""
    run = RunDirectory(paths.runs / "20270101-000000-samples-0000")
    run.path.mkdir(parents=True)
    return run


def answer(run: RunDirectory, when: float, step: int, text: str, **more: Any) -> None:
    row = {"time": when, "stage": "dpo", "step": step, "side": "dpo", "prompt": "Why?"}
    append_json(run.samples, {**row, "answer": text, "tokens": 3, **more})


def begin(run: RunDirectory, time: float, step: int = 0) -> None:
    append_json(run.metrics, {"time": time, "event": "stage", "stage": "dpo", "max_steps": 30})
    if step:
        append_json(run.metrics, {"time": time, "event": "resume", "stage": "dpo", "step": step})


def test_steps_that_were_trained_again_have_only_their_newest_answers(run: RunDirectory) -> None:
    answer(run, 5, 0, "base", side="base")
    begin(run, 10)
    answer(run, 11, 10, "at 10", checkpoint=True)
    answer(run, 12, 20, "first at 20", checkpoint=True)
    begin(run, 20, step=10)
    assert [one.answer for one in read_samples(run)] == ["base", "at 10"]
    answer(run, 22, 20, "second at 20", checkpoint=True)
    answer(run, 23, 30, "end")
    assert [one.answer for one in read_samples(run)] == ["base", "at 10", "second at 20", "end"]


def test_a_stage_that_begins_anew_keeps_the_base_answers_alone(run: RunDirectory) -> None:
    answer(run, 5, 0, "base", side="base")
    begin(run, 10)
    answer(run, 11, 10, "lost", checkpoint=True)
    begin(run, 20)
    assert [one.answer for one in read_samples(run)] == ["base"]


def test_foreign_rows_are_left_out(run: RunDirectory) -> None:
    for row in ({"prompt": "Why?"}, {"step": True}, {"step": -1}, {"stage": 5, "step": 1}):
        append_json(run.samples, row)
    answer(run, 5, 1, "good", tokens="many", time="late", cut=1)
    found = read_samples(run)
    assert [one.answer for one in found] == ["good"]
    assert (found[0].tokens, found[0].time, found[0].cut) == (0, 0.0, False)
