"""What is kept of a comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.judge.answers import Sampling
from workbench.judge.comparisons import Asked, load_comparisons, save_comparison
from workbench.run.directory import RunDirectory

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def test_comparisons_come_back_as_saved(run: RunDirectory) -> None:
    answer = {"event": "answer", "id": 1, "side": "base", "text": "Hi [/INST]", "tokens": 2}
    name = save_comparison(
        run, Asked(HELLO, Sampling(seed=5), index=2), {"base": {**answer, "seconds": 0.5}}
    )
    with run.comparisons.open("a") as stream:
        stream.write('{"time": 1}\n{"torn": ')
    (comparison,) = load_comparisons(run)
    assert comparison["messages"] == HELLO
    assert (comparison["comparison"], comparison["seed"]) == (name, 7)
    assert comparison["sampling"]["max_new_tokens"] == 160
    assert comparison["answers"] == {
        "base": {
            "text": "Hi [/INST]",
            "tokens": 2,
            "seconds": 0.5,
            "first_seconds": None,
            "finish": None,
        }
    }
    assert json.loads(run.comparisons.read_text().splitlines()[0])["time"] > 0


def test_weights_histories_and_log_ratios_are_kept(run: RunDirectory) -> None:
    weights = {
        "sides": {"base": {"label": "base"}, "dpo": {"label": "dpo", "sha256": "abc"}},
        "max_delta_logit": {"base": 0.0, "dpo": 3.5},
    }
    asked = Asked(
        HELLO,
        Sampling(),
        histories={"base": HELLO, "dpo": [*HELLO, *HELLO]},
        category="greetings",
        batch="mine",
        weights=weights,
    )
    analysed = {"text": "Hi", "pieces": [["Hi", 0.25]], "first_difference": -1}
    save_comparison(run, asked, {"dpo": analysed})
    (kept,) = load_comparisons(run)
    assert kept["sides"] == weights["sides"]
    assert kept["max_delta_logit"]["dpo"] == 3.5
    assert (kept["category"], kept["batch"]) == ("greetings", "mine")
    assert len(kept["histories"]["dpo"]) == 2
    assert kept["answers"]["dpo"]["pieces"] == [["Hi", 0.25]]


def test_no_comparisons_yet(run: RunDirectory) -> None:
    assert load_comparisons(run) == []
