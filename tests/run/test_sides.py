"""Whose weights a text names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.run.directory import RunDirectory
from workbench.run.sides import find_side, list_sides, parse_sides, tuned_sides


def make_run(
    paths: Paths, run_id: str, *, finished: tuple[str, ...] = ("sft", "dpo"), model: str = "org/m"
) -> RunDirectory:
    run = RunDirectory(paths.runs / run_id)
    run.path.mkdir(parents=True)
    record = {
        "id": run_id,
        "name": "mine",
        "state": "finished",
        "stages": ["sft", "dpo"],
        "results": {stage: {} for stage in finished},
        "model_source": model,
        "model_path": model,
    }
    run.record.write_text(json.dumps(record))
    for stage in finished:
        adapter(run.output(stage))
    return run


def adapter(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    return folder


@pytest.fixture
def run(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run with a final adapter of each stage, and two checkpoints of the last."""
    run = make_run(paths, "20260101-000000-mine-aaaa")
    for step in (4, 12):
        adapter(run.output("dpo") / f"checkpoint-{step}")
    monkeypatch.setattr("workbench.run.directory.verify", lambda *_, **__: "")
    return run


def test_the_words_for_sides(run: RunDirectory) -> None:
    assert find_side(run, "base").folder is None
    tuned = find_side(run, "tuned")
    assert (tuned.label, tuned.stage, tuned.step) == ("tuned (dpo)", "dpo", 0)
    assert tuned.folder == run.output("dpo")
    assert find_side(run, "sft").folder == run.output("sft")
    early = find_side(run, "dpo:4")
    assert (early.label, early.step) == ("dpo step 4", 4)
    assert early.folder == run.output("dpo") / "checkpoint-4"


def test_the_list_goes_from_the_base_to_the_end_of_training(run: RunDirectory) -> None:
    assert [side.spec for side in list_sides(run)] == ["base", "sft", "dpo:4", "dpo:12", "dpo"]


def test_a_stage_that_still_trains_answers_with_its_newest_checkpoint(run: RunDirectory) -> None:
    record = json.loads(run.record.read_text())
    run.record.write_text(json.dumps({**record, "results": {"sft": {}}}))
    assert find_side(run, "dpo").folder == run.output("dpo") / "checkpoint-12"
    assert find_side(run, "tuned").label == "tuned (dpo step 12)"
    assert list(tuned_sides(run)) == ["sft", "dpo"]


def test_the_weights_that_a_run_began_with(run: RunDirectory, tmp_path: Path) -> None:
    record = json.loads(run.record.read_text())
    start = adapter(tmp_path / "start")
    run.record.write_text(json.dumps({**record, "start_adapter": str(start)}))
    assert find_side(run, "start").folder == start
    assert [side.spec for side in list_sides(run)][:2] == ["base", "start"]


def test_another_run_of_the_same_base(run: RunDirectory, paths: Paths) -> None:
    other = make_run(paths, "20260102-000000-other-bbbb")
    side = find_side(run, f"{other.id}@dpo")
    assert side.folder == other.output("dpo")
    assert (side.spec, side.label, side.run) == (f"{other.id}@dpo", "mine dpo", other.id)
    parsed = parse_sides(paths, run, ["base", "20260102@sft"])
    assert [side.spec for side in parsed] == ["base", f"{other.id}@sft"]


@pytest.mark.parametrize("spec", ["", "dpo:5", "dpo:x", "kto", "start", "nobody@dpo", "../x@dpo"])
def test_weights_that_are_not_there(run: RunDirectory, spec: str) -> None:
    with pytest.raises(ProblemError) as caught:
        find_side(run, spec)
    assert caught.value.exit_code == 2
    assert caught.value.problems[0].next_step


def test_another_base_model_is_refused(run: RunDirectory, paths: Paths) -> None:
    other = make_run(paths, "20260103-000000-far-cccc", model="org/another")
    with pytest.raises(ProblemError, match="another base model"):
        find_side(run, f"{other.id}@dpo")


@pytest.mark.parametrize("texts", [["base"], ["base", "base"], ["base", "sft", "dpo", "dpo:4"]])
def test_two_or_three_different_sides(run: RunDirectory, paths: Paths, texts: list[str]) -> None:
    with pytest.raises(ProblemError, match="two or three different sides"):
        parse_sides(paths, run, texts)
