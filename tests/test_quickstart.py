"""The README's first command on the real model: minutes, and the package index."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from workbench.base.paths import Paths
from workbench.base.tail import read_jsonl
from workbench.judge.measures import measure
from workbench.run.directory import RunDirectory, list_runs
from workbench.run.record import read_record

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, RunDirectory]:
    home = tmp_path_factory.mktemp("home")
    result = subprocess.run(
        [sys.executable, "-m", "workbench", "quickstart"],
        env={**os.environ, "DPO_WORKBENCH_HOME": str(home), "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    print(result.stdout)
    (run,) = list_runs(Paths.from_environment({"DPO_WORKBENCH_HOME": str(home)}))
    return result.stdout, run


def test_the_run_is_finished_and_complete(quickstart: tuple[str, RunDirectory]) -> None:
    _, run = quickstart
    record = read_record(run)
    assert record.state == "finished"
    assert record.exit_code == 0
    assert set(record.results) == {"sft", "dpo"}
    for name in (
        *("recipe.yaml", "sft.yaml", "dpo.yaml", "run.json", "environment.json", "metrics.jsonl"),
        *("train.log", "samples.jsonl", "comparisons.jsonl", "scores.json"),
        *("sft/adapter_model.safetensors", "dpo/adapter_model.safetensors"),
    ):
        assert (run.path / name).stat().st_size > 0, name


def test_held_out_pairs_are_ranked_right(quickstart: tuple[str, RunDirectory]) -> None:
    scores = json.loads(quickstart[1].scores.read_text())
    assert scores["eval_rewards/accuracies"] >= 0.85
    assert scores["eval_rewards/margins"] > 0


def test_the_difference_is_seen(quickstart: tuple[str, RunDirectory]) -> None:
    output, run = quickstart
    comparisons = read_jsonl(run.comparisons)
    assert len(comparisons) >= 4
    for comparison in comparisons:
        assert comparison["messages"][-1]["content"][:30] in output
    base, tuned = measure(comparisons, "base"), measure(comparisons, "tuned")
    assert 0 < tuned.words < 0.7 * base.words
    assert tuned.repetition <= base.repetition


def test_the_loss_fell_and_nothing_was_odd(quickstart: tuple[str, RunDirectory]) -> None:
    rows = [row for row in read_jsonl(quickstart[1].metrics) if "loss" in row]
    for stage in ("sft", "dpo"):
        losses = [row["loss"] for row in rows if row["stage"] == stage]
        assert sum(losses[-4:]) < sum(losses[:4])
    assert not any("non_finite" in row for row in rows)
