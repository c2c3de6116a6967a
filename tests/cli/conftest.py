"""A home of its own for each test, and runs in any state without training anything."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from workbench.base.files import append_json
from workbench.base.paths import Paths
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory, create_run
from workbench.run.record import update_record

RECIPE = """\
title: Short answers
model_name_or_path: tiny
datasets: [{path: json, data_files: prefs.jsonl}]
beta: 0.1
per_device_train_batch_size: 2
gradient_accumulation_steps: 3
probe_prompts:
  - Why is the sky blue?
"""
CONVERSATION = [{"role": "user", "content": "Hi"}]

MakeRun = Callable[..., RunDirectory]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$DPO_WORKBENCH_HOME, with an empty current folder beside it."""
    folder, here = tmp_path / "home", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    monkeypatch.setenv("DPO_WORKBENCH_HOME", str(folder))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(here)
    return folder


@pytest.fixture
def paths(home: Path) -> Paths:
    return Paths.from_environment()


@pytest.fixture
def recipe_file(home: Path) -> Path:
    """A recipe in the current folder whose data and model are there."""
    recipe = Path.cwd() / "short.yaml"
    recipe.write_text(RECIPE)
    row = {
        "prompt": CONVERSATION,
        "chosen": [{"role": "assistant", "content": "Hello!"}],
        "rejected": [{"role": "assistant", "content": "I would rather not say."}],
    }
    recipe.with_name("prefs.jsonl").write_text(f"{json.dumps(row)}\n" * 12)
    model = recipe.with_name("tiny")
    model.mkdir()
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": 64,
        "tie_word_embeddings": True,
    }
    (model / "config.json").write_text(json.dumps(config))
    return recipe


@pytest.fixture
def make_run(paths: Paths, recipe_file: Path) -> MakeRun:
    """Make a run in a state; a live one has this process for its worker."""

    def make(state: str = "finished", *, name: str = "", **changes: Any) -> RunDirectory:
        run = create_run(paths, load_recipe(recipe_file), name=name)
        if state in ("starting", "running", "stopping"):
            changes = {
                "pid": os.getpid(),
                "create_time": psutil.Process().create_time(),
                **changes,
            }
        update_record(run, state=state, **changes)
        return run

    return make


@pytest.fixture
def log_metrics() -> Callable[..., None]:
    """Write log records of a stage, ten seconds and one step apart."""

    def write(run: RunDirectory, stage: str, *records: dict[str, Any]) -> None:
        for number, record in enumerate(records, start=1):
            head = {"time": 1000.0 + 10 * number, "stage": stage, "step": number}
            append_json(run.metrics, {**head, **record})

    return write
