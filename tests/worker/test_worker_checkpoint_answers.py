"""Answers at checkpoints: what they may cost, and which are asked."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from worker_helpers import MakeRun, losses, wait_for_end

from workbench.base.paths import Paths
from workbench.base.tail import read_jsonl
from workbench.recipe.recipe import Recipe
from workbench.run.directory import RunDirectory, create_run
from workbench.run.launch import launch
from workbench.run.record import read_record
from workbench.run.samples import read_samples
from workbench.worker import checkpoint_answers
from workbench.worker.answer_budget import MAX_TOKENS, MIN_TOKENS, SHARE, AnswerBudget
from workbench.worker.checkpoint_answers import SHORTENED, CheckpointAnswers
from workbench.worker.probes import ProbeAnswer
from workbench.worker.run_writer import RunWriter

PROMPTS = ("What is tea?", "Why?")


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def run(make_recipe: Callable[..., Recipe], paths: Paths) -> RunDirectory:
    return create_run(paths, make_recipe())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> list[tuple[tuple[str, ...], int]]:
    """Prompts and limit of each batch; a token takes 0.1 s."""
    calls: list[tuple[tuple[str, ...], int]] = []

    def generate(
        model: Any, tokenizer: Any, prompts: Any, stop: Any, *, limit: int, budget: AnswerBudget
    ) -> list[ProbeAnswer]:
        calls.append((tuple(prompts), limit))
        tokens = 0
        while tokens < limit and not stop():
            clock.now += 0.1
            tokens += 1
        budget.learn(0.1 * tokens, tokens)
        return [ProbeAnswer("word " * tokens, tokens, cut=True) for _ in prompts]

    monkeypatch.setattr(checkpoint_answers, "generate_batch", generate)
    return calls


def save(callback: CheckpointAnswers, run: RunDirectory, step: int, *, last: int = 1000) -> None:
    (run.output("dpo") / f"checkpoint-{step}").mkdir(parents=True)
    state = SimpleNamespace(global_step=step, max_steps=last)
    arguments = SimpleNamespace(load_best_model_at_end=False)
    callback.on_save(arguments, state, None, model=None, processing_class=None)


def test_answers_never_take_more_than_their_share(
    run: RunDirectory, clock: Clock, asked: list[Any]
) -> None:
    budget = AnswerBudget(clock)
    callback = CheckpointAnswers(RunWriter(run), "dpo", PROMPTS, budget)
    began = clock.now
    for step in range(1, 60):
        clock.now += 1.0 + step  # steps that take longer and longer
        save(callback, run, step)
        # A token that has been begun is waited for.
        assert budget.spent <= SHARE * (clock.now - began - budget.spent) + 0.1 + 1e-6
    limits = [limit for _, limit in asked]
    assert limits[0] == MIN_TOKENS
    assert max(limits) <= MAX_TOKENS
    assert 3 < len(limits) < 60
    assert read_record(run).notes == [SHORTENED]
    steps = {row["step"] for row in read_jsonl(run.samples)}
    assert len(steps) >= len(limits) - 1
    assert all(row["checkpoint"] and row["cut"] for row in read_jsonl(run.samples))


def test_nothing_is_asked_where_the_share_is_too_small(clock: Clock) -> None:
    budget = AnswerBudget(clock)
    assert budget.tokens() == 0
    clock.now += 100.0
    assert budget.tokens() == MIN_TOKENS
    budget.learn(1.0, 10)
    assert budget.tokens() == 50
    budget.learn(100.0, 10)
    assert budget.tokens() == 0


def test_one_slow_batch_counts_half(clock: Clock) -> None:
    budget = AnswerBudget(clock)
    clock.now += 100.0
    budget.learn(1.0, 10)
    assert budget.tokens() == 50
    budget.learn(3.0, 10)
    assert budget.tokens() == 25
    budget.learn(1.0, 10)
    assert budget.tokens() == 33


def test_the_last_step_and_a_failed_save_are_not_asked(
    run: RunDirectory, clock: Clock, asked: list[Any]
) -> None:
    callback = CheckpointAnswers(RunWriter(run), "dpo", PROMPTS, AnswerBudget(clock))
    clock.now += 1000.0
    save(callback, run, 8, last=8)
    state = SimpleNamespace(global_step=4, max_steps=8)
    arguments = SimpleNamespace(load_best_model_at_end=False)
    callback.on_save(arguments, state, None, model=None, processing_class=None)
    assert asked == []


def test_a_resumed_run_asks_its_checkpoint_for_what_is_missing(
    run: RunDirectory, clock: Clock, asked: list[Any]
) -> None:
    writer = RunWriter(run)
    row = {"time": 1.0, "stage": "dpo", "step": 4, "side": "dpo", "answer": "x", "tokens": 1}
    writer.append(run.samples, {**row, "prompt": PROMPTS[0], "checkpoint": True})
    callback = CheckpointAnswers(writer, "dpo", PROMPTS, AnswerBudget(clock))
    clock.now += 1000.0
    arguments = SimpleNamespace(load_best_model_at_end=False)
    for step in (4, 4, 0):
        state = SimpleNamespace(global_step=step, max_steps=8)
        callback.on_train_begin(arguments, state, None, model=None, processing_class=None)
    assert [prompts for prompts, _ in asked] == [PROMPTS[1:]]
    assert {one.prompt for one in read_samples(run)} == set(PROMPTS)


def test_a_run_answers_at_its_checkpoints_and_loses_nothing(
    new_run: MakeRun, finished: RunDirectory, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = (
        "from workbench.worker import answer_budget\n"
        "answer_budget.SHARE, answer_budget.MIN_TOKENS, answer_budget.MAX_TOKENS = 9.0, 4, 4"
    )
    (tmp_path / "generous.py").write_text(
        f"{patch}\nfrom workbench.worker.train import main\nraise SystemExit(main())\n"
    )
    (tmp_path / "generous_supervisor.py").write_text(
        "from workbench.run import launcher, supervisor\nlauncher.WORKER = 'generous'\n"
        "raise SystemExit(supervisor.main())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("workbench.run.launch.SUPERVISOR", "generous_supervisor")
    run = new_run(steps=16)
    launch(run)
    assert wait_for_end(run).state == "finished", run.log.read_text()
    asked = [(one.side, one.step) for one in read_samples(run) if one.checkpoint]
    steps = range(2, 16, 2)
    assert asked == [(stage, step) for stage in ("sft", "dpo") for step in steps for _ in PROMPTS]
    for stage in ("sft", "dpo"):
        assert losses(run, stage) == losses(finished, stage)
