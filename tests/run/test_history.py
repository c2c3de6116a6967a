"""Choosing and ordering runs by what is on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from workbench.base.files import append_json
from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.recipe import Recipe
from workbench.run import history
from workbench.run.directory import RunDirectory, create_run
from workbench.run.history import History, select, value_of
from workbench.run.metrics import MetricsReader
from workbench.run.notes import change_notes
from workbench.run.query import parse_key, parse_query
from workbench.run.record import update_record

RECIPE = """\
title: {title}
model_name_or_path: org/model
dataset_name: org/pairs
beta: {beta}
loss_type: [sigmoid, sft]
lora_target_modules: [q_proj]
use_peft: true
learning_rate: 5e-5
"""
MakeRun = Callable[..., RunDirectory]


@pytest.fixture
def make(paths: Paths, make_recipe: Callable[..., Recipe]) -> MakeRun:
    def make_run(
        name: str, *losses: float | None, beta: float = 0.1, **changes: Any
    ) -> RunDirectory:
        recipe = make_recipe(RECIPE.format(title=f"The {name} run", beta=beta), f"{name}.yaml")
        run = create_run(paths, recipe, name=name)
        for step, loss in enumerate(losses, start=1):
            row = {"stage": "dpo", "step": step, "loss": loss, "eval_loss": loss}
            append_json(run.metrics, row)
        update_record(run, **{"state": "finished", "step": len(losses), **changes})
        return run

    return make_run


def names(paths: Paths, text: str) -> list[str]:
    query = parse_query(text)
    found = select(History(paths).read(query.keys()), query)
    return [one.facts.record.name for one in found]


def test_settings_metrics_texts_and_words(paths: Paths, make: MakeRun) -> None:
    make("one", 0.7, 0.3, 0.6)
    change_notes(make("two", 0.7, 0.5, beta=0.5), add=["baseline"], text="with [/INST]")
    make("three", state="failed")
    assert set(names(paths, "")) == {"one", "two", "three"}
    assert names(paths, "beta>0.1") == ["two"]
    assert set(names(paths, "learning_rate<=5e-5 max_length=1024")) == {"one", "two", "three"}
    assert set(names(paths, "loss_type:sft lora_target_modules=q_proj use_peft=true -three")) == {
        "one", "two",
    }  # fmt: skip
    assert names(paths, "loss<0.55") == ["two"]
    assert set(names(paths, "best:eval_loss<0.55")) == {"one", "two"}
    assert names(paths, "state:fail") == ["three"]
    assert names(paths, "tag:baseline") == names(paths, "note:inst") == names(paths, "baseline")
    assert names(paths, "TWO") == ["two"]
    assert set(names(paths, "-tag:baseline")) == {"one", "three"}


def test_order_and_missing_values_last(paths: Paths, make: MakeRun) -> None:
    make("low", 0.2)
    make("none")
    make("high", 0.9)
    assert names(paths, "sort:loss") == ["low", "high", "none"]
    assert names(paths, "sort:-loss") == ["high", "low", "none"]
    assert names(paths, "sort:name") == ["high", "low", "none"]
    assert names(paths, "sort:-step") in (["high", "low", "none"], ["low", "high", "none"])


def test_a_stage_may_be_named_and_the_last_one_is_meant(
    paths: Paths, make_recipe: Callable[..., Recipe]
) -> None:
    text = (
        "model_name_or_path: org/m\n"
        "sft: {dataset_name: a/b, learning_rate: 2e-4}\ndpo: {dataset_name: c/d, beta: 0.3}\n"
    )
    run = create_run(paths, make_recipe(text, "both.yaml"))
    for stage, loss in (("sft", 2.0), ("dpo", 0.5)):
        append_json(run.metrics, {"stage": stage, "step": 1, "loss": loss, "only_" + stage: 1.0})
    keys = [parse_key(text) for text in ("beta", "loss", "sft.loss")]
    facts = History(paths).read(keys)[0]

    def value(key: str) -> object:
        return value_of(facts, parse_key(key))

    assert (value("learning_rate"), value("sft.learning_rate")) == (1e-6, 2e-4)
    assert (value("loss"), value("sft.loss"), value("only_sft")) == (0.5, 2.0, 1.0)
    assert (value("beta"), value("sft.beta"), value("packing")) == (0.3, None, False)


def test_a_run_without_its_config_is_read_from_its_recipe(paths: Paths, make: MakeRun) -> None:
    make("one", beta=0.4).config("dpo").unlink()
    assert names(paths, "beta=0.4") == ["one"]


@pytest.mark.parametrize("content", ["", "[1", "{a: " * 200, "\x00", "beta: [[1]]\nfoo: {a: 1}\n"])
def test_damaged_configs_have_no_settings(paths: Paths, make: MakeRun, content: str) -> None:
    run = make("one", 0.5)
    for file in (run.config("dpo"), run.recipe):
        file.write_text(content)
    assert names(paths, "beta=0.4") == []
    assert names(paths, "loss=0.5 sort:beta") == ["one"]


def test_an_unknown_name_is_one_problem(paths: Paths, make: MakeRun) -> None:
    make("one", 0.5)
    with pytest.raises(ProblemError) as caught:
        names(paths, "evil_loss<1 sort:evil_loss")
    (problem,) = caught.value.problems
    assert "evil_loss" in problem.what
    assert "eval_loss" in problem.next_step
    assert caught.value.exit_code == 2


def test_only_what_has_changed_is_read_again(
    paths: Paths, make: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [make(f"run{number}", 0.5) for number in range(3)]
    read: list[str] = []
    real = {name: getattr(history, name) for name in ("read_record", "read_settings")}
    for name, function in real.items():
        monkeypatch.setattr(
            history,
            name,
            lambda run, *rest, name=name, function=function: (
                read.append(name) or function(run, *rest)
            ),
        )
    read_all = MetricsReader.read_all
    monkeypatch.setattr(
        MetricsReader, "read_all", lambda reader: read.append("metrics") or read_all(reader)
    )
    known = History(paths)
    known.read()
    assert sorted(read) == ["read_record"] * 3
    query = parse_query("beta>0 loss>0")
    known.read(query.keys())
    assert read.count("metrics") == read.count("read_settings") == 3
    read.clear()
    known.read(query.keys())
    assert read == []
    append_json(runs[0].metrics, {"stage": "dpo", "step": 2, "loss": 0.1})
    change_notes(runs[1], add=["x"])
    facts = known.read(query.keys())
    assert read == ["metrics"]
    assert [one.notes.tags for one in facts if one.run == runs[1]] == [("x",)]
    read.clear()
    History(paths).read([parse_key("loss")])
    assert "metrics" not in read, "what came of them is kept in the cache folder"


def test_hostile_runs_do_no_harm(paths: Paths, make: MakeRun) -> None:
    run = make("one", 0.5)
    evil = "\x1b[2Jx"
    run.record.write_text(json.dumps({**json.loads(run.record.read_text()), "title": evil}))
    with run.metrics.open("a") as file:
        file.write('{"stage": "dpo", "step": 3, "\\u001b[2J": 1, "loss": 1e999, "x": true}\n[[[\n')
    assert names(paths, "loss>0 sort:title") == ["one"]
