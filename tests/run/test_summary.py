"""What a stage took and reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.base.files import append_json
from workbench.run.directory import RunDirectory
from workbench.run.metrics import MetricsReader
from workbench.run.record import RunRecord
from workbench.run.summary import share_words, shares, summaries, summarize

START = 1_800_000_000.0


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def write(run: RunDirectory, when: float, **row: Any) -> None:
    append_json(run.metrics, {"time": START + when, "stage": "dpo", **row})


def train(run: RunDirectory, first: int, last: int, began: float) -> None:
    """A step and a log record each ten seconds; a save and an evaluation take 5 s more each."""
    write(run, began, event="stage", max_steps=40)
    if first > 1:
        write(run, began, event="resume", step=first - 1)
    for place, step in enumerate(range(first, last + 1), start=1):
        spent = {"data": 1.0, "forward": 3.0, "backward": 4.0, "optimizer": 1.0, "other": 1.0}
        spent |= {"eval": 5.0, "save": 5.0} if step % 10 == 0 else {}
        row = {f"seconds/{name}": value for name, value in spent.items()}
        row |= {"loss": 0.5, "rewards/accuracies": 0.7, "samples": 8, "num_tokens": 1000.0 * step}
        row |= {"tokens_per_second": 100.0, "samples_per_second": 0.8, "memory/rss_gb": step / 10}
        write(run, began + 10 * place, step=step, **row)


def read(run: RunDirectory) -> MetricsReader:
    reader = MetricsReader(run)
    reader.read_all()
    return reader


def test_shares_of_a_stage_s_time(run: RunDirectory) -> None:
    train(run, 1, 20, 0.0)
    found = shares(read(run), "dpo")
    assert list(found)[:2] == ["backward", "forward"]
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["eval"] == pytest.approx(10 / 220)
    assert shares(read(run), "sft") == {}
    assert (
        share_words({"backward": 0.6, "eval": 0.399, "save": 0.001}) == "backward 60 %, eval 40 %"
    )


def test_the_shares_of_a_long_run_are_exact(run: RunDirectory) -> None:
    """Curves are thinned to their extremes, which a rare save would dominate."""
    with run.metrics.open("w") as file:
        for step in range(1, 5001):
            save = 50.0 if step % 100 == 0 else 0.0
            file.write(
                f'{{"time": {step}.0, "stage": "dpo", "step": {step}, "loss": 1.0, '
                f'"seconds/forward": 0.5, "seconds/save": {save}}}\n'
            )
    assert shares(read(run), "dpo")["save"] == pytest.approx(0.5)


def test_totals_are_the_same_however_the_file_is_read(run: RunDirectory, tmp_path: Path) -> None:
    """Many records at once are taken by columns, those of a live run one by one."""
    train(run, 1, 35, 0.0)
    train(run, 21, 40, 30_000.0)
    live = RunDirectory(tmp_path / "live")
    live.path.mkdir()
    follower = MetricsReader(live)
    for line in run.metrics.read_text().splitlines():
        with live.metrics.open("a") as file:
            file.write(f"{line}\n")
        follower.poll()
    at_once, followed = read(run).totals.stages["dpo"], follower.totals.stages["dpo"]
    assert at_once.seconds == pytest.approx(followed.seconds)
    assert at_once.attempts == followed.attempts
    for name in ("paced_tokens", "tokens_seconds", "paced_rows", "rows_seconds"):
        assert getattr(at_once, name) == pytest.approx(getattr(followed, name)), name


def test_a_pause_counts_for_nothing_and_work_done_twice_for_all(run: RunDirectory) -> None:
    train(run, 1, 20, 0.0)
    train(run, 11, 40, 30_000.0)
    asked: list[tuple[float, float]] = []

    def energy(_: RunDirectory, begin: float, end: float) -> float:
        asked.append((begin - START, end - START))
        return 12.5

    record = RunRecord(stages=["sft", "dpo"], stage="dpo", step=40)
    (found,) = summaries(run, record, read(run), energy)
    assert (found.stage, found.steps, found.seconds) == ("dpo", 40, 500.0)
    assert found.tokens == 40_000
    assert found.tokens_per_second == pytest.approx(100.0)
    assert found.rows_per_second == pytest.approx(0.8)
    assert (found.tokens_now, found.rows_now) == (100.0, 0.8)
    assert found.energy_wh == 12.5
    assert asked == [(0.0, 30_300.0)]
    assert found.peak_rss_bytes == 4_000_000_000
    assert found.peak_gpu_bytes is None
    assert found.final == {"loss": 0.5, "rewards/accuracies": 0.7}


def test_the_results_of_a_finished_stage_count_before_its_log(run: RunDirectory) -> None:
    train(run, 1, 20, 0.0)
    result = {"seconds": 321.0, "steps": 20, "train_loss": 0.61, "peak_gpu_bytes": 9}
    result["eval"] = {"eval_loss": 0.55, "eval_rewards/margins": 1.5, "eval_runtime": 5}
    record = RunRecord(stages=["dpo"], stage="dpo", results={"dpo": result})
    found = summarize(run, record, read(run), "dpo", lambda *_: None)
    assert (found.seconds, found.steps, found.mean_loss) == (321.0, 20, 0.61)
    assert found.peak_gpu_bytes == 9
    assert found.held_out == {"loss": 0.55, "rewards/margins": 1.5}
    assert found.energy_wh is None


def test_an_older_run_tells_what_it_has(run: RunDirectory) -> None:
    write(run, 0.0, event="stage", max_steps=2)
    for step in (1, 2):
        write(run, 4.0 * step, step=step, loss=0.5, tokens_per_second=50.0 * step)
    found = summarize(run, RunRecord(stages=["dpo"], stage="dpo"), read(run), "dpo")
    assert (found.steps, found.seconds, found.tokens_per_second) == (2, 8.0, 75.0)
    assert (found.shares, found.rows_per_second, found.energy_wh) == ({}, None, None)


def test_foreign_values_do_no_harm(run: RunDirectory) -> None:
    for value in ("x", -5, True, None, 10**400, [1]):
        write(run, 1.0, step=1, loss=1.0, **{"seconds/data": value, "samples": value})
        append_json(run.metrics, {"stage": "dpo", "time": value, "event": "stage"})
    bad = {"eval": [], "seconds": "x", "steps": -1, "train_loss": None, "peak_rss_bytes": "y"}
    record = RunRecord(stages=["dpo"], stage="dpo", results={"dpo": bad})
    (found,) = summaries(run, record, read(run))
    assert (found.shares, found.seconds, found.held_out) == ({}, None, {})
