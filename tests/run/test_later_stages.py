"""How long the stages behind the present one will take."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from workbench.base.paths import Paths
from workbench.run.directory import RunDirectory
from workbench.run.later_stages import later_seconds
from workbench.run.record import RunRecord

TEXT = """\
model_name_or_path: org/model
use_peft: true
sft:
  max_steps: 10
dpo:
  max_steps: 40
"""


@pytest.fixture
def run(paths: Paths) -> RunDirectory:
    run = RunDirectory(paths.runs / "20270115-090000-small-c3d4")
    run.path.mkdir(parents=True)
    run.recipe.write_text(TEXT)
    return run


def past_run(paths: Paths, **result: float) -> None:
    """A finished run of the same settings, with a DPO step each half second."""
    past = RunDirectory(paths.runs / "20270115-080000-small-a1b2")
    past.path.mkdir(parents=True)
    past.recipe.write_text(TEXT)
    past.config("dpo").write_text("model_name_or_path: org/model\nuse_peft: true\n")
    record = {"version": 1, "id": past.id, "state": "finished", "stages": ["sft", "dpo"]}
    record |= {"host": socket.gethostname(), "results": {"dpo": result}}
    past.record.write_text(json.dumps(record))
    rows = ({"time": 100 + n / 2, "stage": "dpo", "step": n, "loss": 0.5} for n in range(1, 9))
    past.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))


def record(stage: str = "sft", **changes: object) -> RunRecord:
    known = {"state": "running", "stages": ["sft", "dpo"], "stage": stage, "step": 3}
    return RunRecord(**{**known, "max_steps": 10, **changes})


def test_the_steps_of_a_later_stage_at_the_pace_of_a_past_run(
    run: RunDirectory, paths: Paths
) -> None:
    assert later_seconds(run, record(), paths) == (None,)
    past_run(paths)
    assert later_seconds(run, record(), paths) == (20.0,)
    assert later_seconds(run, record(), None) == (None,)


def test_what_the_past_stage_took_beside_its_steps_counts(run: RunDirectory, paths: Paths) -> None:
    past_run(paths, seconds=80.0, steps=8)
    assert later_seconds(run, record(), paths) == (400.0,)


def test_nothing_is_behind_the_last_stage_or_a_finished_one(
    run: RunDirectory, paths: Paths
) -> None:
    assert later_seconds(run, record("dpo"), paths) == ()
    assert later_seconds(run, record("other"), paths) == ()
    assert later_seconds(run, record(results={"dpo": {"steps": 1}}), paths) == ()


def test_a_recipe_that_cannot_be_read_tells_nothing(run: RunDirectory, paths: Paths) -> None:
    past_run(paths)
    Path(run.recipe).write_text("[")
    assert later_seconds(run, record(), paths) == (None,)
