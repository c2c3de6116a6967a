"""The checkpoints of a run in a row, and the best of them."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.base.files import append_json
from workbench.base.paths import Paths
from workbench.judge.timeline import NO_BEST, changes, read_timeline, timeline_json
from workbench.run.directory import RunDirectory
from workbench.run.samples import Sample

LOOP = "so it goes on and " * 20


@pytest.fixture
def run(paths: Paths) -> RunDirectory:
    """An empty run directory."""
    run = RunDirectory(paths.runs / "20270101-000000-line-0000")
    run.path.mkdir(parents=True)
    append_json(run.metrics, {"time": 1.0, "event": "stage", "stage": "dpo", "max_steps": 30})
    return run


def save(
    run: RunDirectory, step: int, text: str, accuracy: float, margin: float, **more: Any
) -> None:
    """A checkpoint with its held-out metrics and one answer."""
    values = {"eval_rewards/accuracies": accuracy, "eval_rewards/margins": margin}
    append_json(run.metrics, {"time": 2.0 + step, "stage": "dpo", "step": step, **values})
    append_json(
        run.metrics, {"time": 2.5 + step, "event": "checkpoint", "stage": "dpo", "step": step}
    )
    if text:
        row = {"stage": "dpo", "step": step, "side": "dpo", "prompt": "Why?", "answer": text}
        append_json(run.samples, {**row, "time": 3.0 + step, "tokens": 4, **more})


def test_the_best_has_the_highest_accuracy_without_loops(run: RunDirectory) -> None:
    save(run, 10, "Because it is so.", 0.7, 0.5, checkpoint=True)
    save(run, 20, "It is so because.", 0.7, 0.9, checkpoint=True)
    save(run, 25, "", 0.95, 3.0)
    save(run, 30, LOOP, 0.9, 2.0)
    found = read_timeline(run)
    assert [mark.spec for mark in found.marks] == ["dpo:10", "dpo:20", "dpo:25", "dpo"]
    assert found.best is not None
    assert found.best.spec == "dpo:20"
    assert "accuracy 70 %, margin 0.90" in found.best_line()
    assert "deleted" in found.best_line()
    assert found.marks[-1].final
    assert found.marks[-1].repetition is not None
    assert found.marks[-1].repetition > 0.8
    assert timeline_json(found)["marks"][2]["answers"] == {}


def test_metrics_stand_beside_the_checkpoint_that_they_were_measured_at(run: RunDirectory) -> None:
    save(run, 10, "One.", 0.5, 0.1, checkpoint=True)
    append_json(run.metrics, {"time": 20.0, "stage": "dpo", "step": 15, "eval_rewards/margins": 9})
    row = {"stage": "dpo", "side": "dpo", "prompt": "Why?", "tokens": 1, "checkpoint": True}
    append_json(run.samples, {**row, "time": 21.0, "step": 12, "answer": "Two."})
    assert [mark.margin for mark in read_timeline(run).marks] == [0.1, 0.1]


def test_without_held_out_rows_none_is_the_best(run: RunDirectory) -> None:
    row = {"stage": "dpo", "side": "dpo", "prompt": "Why?", "tokens": 1, "time": 2.0}
    append_json(run.samples, {**row, "step": 30, "answer": "Two."})
    found = read_timeline(run)
    assert found.best is None
    assert found.best_line() == NO_BEST


def test_a_stage_that_went_back_has_no_mark_of_what_it_lost(run: RunDirectory) -> None:
    save(run, 10, "One.", 0.5, 0.1, checkpoint=True)
    save(run, 20, "Two.", 0.6, 0.1, checkpoint=True)
    for event in ({"event": "stage", "max_steps": 30}, {"event": "resume", "step": 10}):
        append_json(run.metrics, {"time": 50.0, "stage": "dpo", **event})
    assert [mark.step for mark in read_timeline(run).marks] == [10]


def sample(text: str, *, cut: bool = False) -> Sample:
    return Sample(0.0, "dpo", 1, "dpo", "Why?", text, 1, cut=cut)


def test_what_a_cut_answer_does_not_show_is_no_difference() -> None:
    long, short = sample("one two three four"), sample("one two", cut=True)
    assert changes(short, long) == [("same", "one two"), ("same", " three four")]
    assert changes(long, short) == [("same", "one two")]
    assert ("second", " 2") in changes(long, sample("one 2 three"))
    assert changes(None, long) == [("same", "one two three four")]
