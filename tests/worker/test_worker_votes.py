"""Votes go back into training: TRL reads the export, and a run trains on it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from vote_helpers import ready_sitting, vote
from worker_helpers import train

from workbench.base.paths import Paths
from workbench.cli.train import prepare
from workbench.judge.vote_export import preference_rows
from workbench.judge.vote_recipe import make_vote_recipe
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory
from workbench.run.record import read_record

pytestmark = pytest.mark.model


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.from_environment({"DPO_WORKBENCH_HOME": str(tmp_path / "home")})


@pytest.fixture
def voted(finished: RunDirectory, paths: Paths) -> RunDirectory:
    """A copy of a finished run with 6 votes, one of them a tie."""
    run = RunDirectory(paths.runs / finished.id)
    shutil.copytree(finished.path, run.path)
    sitting = ready_sitting(run, 6, base="It depends on much {n}.", tuned="Yes, {n}.")
    for item, outcome in enumerate(["tuned"] * 4 + ["base", "tie"]):
        vote(run, sitting, item, outcome)
    return run


def test_a_run_trains_further_on_its_votes(voted: RunDirectory, paths: Paths) -> None:
    made = make_vote_recipe(paths, voted)
    assert len(made.export.rows) == 5
    # The way of `run NAME --from RUN`.
    run = prepare(paths, load_recipe(made.path), parent=voted.id)
    record = train(run)
    assert record.state == "finished", run.log.read_text()
    assert (record.parent, record.stages) == (voted.id, ["dpo"])
    environment = json.loads(run.environment.read_text())
    assert environment["datasets"]["dpo"]["train"]["kept"] == 5
    assert run.adapter("dpo")


def test_trl_reads_the_rows_as_conversations(voted: RunDirectory, paths: Paths) -> None:
    from datasets import load_dataset
    from trl.data_utils import is_conversational

    made = make_vote_recipe(paths, voted)
    data = load_dataset("json", data_files=str(made.data), split="train")
    assert data.column_names == ["prompt", "chosen", "rejected"]
    assert is_conversational(data[0])
    assert data.to_list() == list(preference_rows(voted).rows)
    assert read_record(voted).state == "finished"
