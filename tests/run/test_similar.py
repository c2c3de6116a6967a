"""How long a step takes, by past runs."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.base.paths import Paths
from workbench.recipe.recipe import Recipe
from workbench.run import similar
from workbench.run.directory import RunDirectory
from workbench.run.similar import Similar, find_similar, seconds_per_step

Make = Callable[..., Recipe]
TEXT = "model_name_or_path: org/model\nuse_peft: true\nlora_r: 8\nmax_length: 512\nbeta: 0.1\n"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.from_environment({"DPO_WORKBENCH_HOME": str(tmp_path / "home")})
    found.runs.mkdir(parents=True)
    return found


def past_run(
    paths: Paths, number: int, text: str = TEXT, pace: float = 0.5, **record: Any
) -> RunDirectory:
    """A run that ended, with a step each `pace` seconds and one that took far longer."""
    run = RunDirectory(paths.runs / f"20270115-08000{number}-small-a1b2")
    run.path.mkdir()
    run.recipe.write_text(text)
    run.config("dpo").write_text(text + "dtype: bfloat16\nbf16: false\nuse_cpu: true\n")
    content = {
        "version": 1,
        "id": run.id,
        "state": "finished",
        "stages": ["dpo"],
        "host": socket.gethostname(),
        **record,
    }
    run.record.write_text(json.dumps(content))
    times = [100.0, *(100 + pace * n for n in range(1, 9)), 400.0]
    rows = [
        {"time": time, "stage": "dpo", "step": step, "loss": 0.5} for step, time in enumerate(times)
    ]
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


def test_the_median_of_the_newest_like_it(make_recipe: Make, paths: Paths) -> None:
    past_run(paths, 1, pace=9.0)
    newest = past_run(paths, 2, pace=0.5)
    past_run(paths, 3, TEXT.replace("512", "256"), pace=7.0)
    past_run(paths, 4, state="failed", pace=7.0)
    past_run(paths, 5, host="elsewhere", pace=7.0)
    past_run(paths, 6, stages=["sft"], pace=7.0)
    past_run(paths, 7, TEXT + "shared_prefix: off\n", pace=7.0)
    found = find_similar(make_recipe(TEXT), "dpo", paths)
    assert found == Similar(newest.id, 0.5)
    assert seconds_per_step(make_recipe(TEXT), "dpo", paths) == 0.5


@pytest.mark.parametrize(
    "change",
    [
        "lora_r: 16\n",
        "per_device_train_batch_size: 4\n",
        "gradient_accumulation_steps: 2\n",
        "lora_target_modules: all-linear\n",
        "dtype: float32\n",
        "load_in_4bit: true\n",
    ],
)
def test_what_decides_the_pace_must_be_the_same(
    change: str, make_recipe: Make, paths: Paths
) -> None:
    past_run(paths, 1)
    assert seconds_per_step(make_recipe(TEXT), "dpo", paths) == 0.5
    text = TEXT.replace("lora_r: 8\n", "") if change.startswith("lora_r") else TEXT
    assert seconds_per_step(make_recipe(text + change), "dpo", paths) is None


def test_what_does_not_may_differ(make_recipe: Make, paths: Paths) -> None:
    past_run(paths, 1)
    text = TEXT + "learning_rate: 1.0e-3\nseed: 7\ndtype: bfloat16\n"
    assert seconds_per_step(make_recipe(text), "dpo", paths) == 0.5


@pytest.mark.parametrize("name", ["run.json", "dpo.yaml", "metrics.jsonl", "recipe.yaml"])
@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe", b"{" * 5000, b"a: [b: {c: ]"])
def test_damaged_files_raise_nothing(
    name: str, content: bytes, make_recipe: Make, paths: Paths
) -> None:
    (past_run(paths, 1).path / name).write_bytes(content)
    assert seconds_per_step(make_recipe(TEXT), "dpo", paths) in (None, 0.5)
    (paths.runs / "20270115-080001-small-a1b2" / name).unlink()
    assert seconds_per_step(make_recipe(TEXT), "dpo", paths) in (None, 0.5)


def test_only_the_newest_runs_are_read(
    make_recipe: Make, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    past_run(paths, 1)
    for number in (2, 3):
        past_run(paths, number, state="failed")
    monkeypatch.setattr(similar, "RUNS_AT_MOST", 2)
    assert seconds_per_step(make_recipe(TEXT), "dpo", paths) is None


@pytest.mark.parametrize(
    ("seconds", "steps", "told"),
    [
        (0.66, 273, "about 3 min (0.66 s a step in run X)"),
        (0.66, 40, "about 26 s (0.66 s a step in run X)"),
        (12.0, 3000, "about 10.0 h (12 s a step in run X)"),
        (0.66, None, "0.66 s a step in run X"),
    ],
)
def test_sentences(seconds: float, steps: int | None, told: str) -> None:
    assert Similar("X", seconds).sentence(steps) == told


def test_as_many_processes(make_recipe: Make, paths: Paths) -> None:
    alone = past_run(paths, 1, pace=4.0)
    two = past_run(paths, 2, pace=2.0, processes=2)
    past_run(paths, 3, pace=1.0, processes=4)
    asked = {"": alone, "num_processes: 1\n": alone, "num_processes: 2\n": two}
    for more, wanted in asked.items():
        found = find_similar(make_recipe(TEXT + more), "dpo", paths)
        assert found is not None
        assert found.run == wanted.id
    assert find_similar(make_recipe(TEXT + "num_processes: 3\n"), "dpo", paths) is None
