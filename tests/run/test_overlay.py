"""Several runs over one another."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from workbench.base.files import append_json
from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.recipe import Recipe
from workbench.run.differences import UNKNOWN
from workbench.run.directory import RunDirectory, create_run
from workbench.run.notes import change_notes
from workbench.run.overlay import MOST_RUNS, Overlay, OverlayReader, best_of
from workbench.run.overlay_words import cautions, verdict
from workbench.run.record import update_record

RECIPE = "model_name_or_path: org/model\ndataset_name: org/pairs\nbeta: {beta}\nlora_r: {rank}\n"
Make = Callable[..., RunDirectory]


@pytest.fixture
def make(paths: Paths, make_recipe: Callable[..., Recipe]) -> Make:
    def make_run(
        name: str,
        losses: list[float],
        *,
        every: int = 1,
        held_out: float | None = None,
        beta: float = 0.1,
        rank: int = 8,
        environment: dict[str, Any] | None = None,
        **changes: Any,
    ) -> RunDirectory:
        recipe = make_recipe(RECIPE.format(beta=beta, rank=rank), f"{name}.yaml")
        run = create_run(paths, recipe, name=name)
        append_json(run.metrics, {"event": "stage", "stage": "dpo", "max_steps": 9, "time": 100.0})
        for number, loss in enumerate(losses, start=1):
            step = number * every
            row = {"stage": "dpo", "step": step, "loss": loss, "epoch": step / 10,
                   "time": 100.0 + 2 * step, "num_tokens": 50.0 * step}  # fmt: skip
            append_json(run.metrics, row)
        if held_out is not None:
            last = {
                "stage": "dpo",
                "step": len(losses) * every,
                "eval_rewards/accuracies": held_out,
            }
            append_json(run.metrics, last)
        if environment is not None:
            run.environment.write_text(json.dumps(environment))
        update_record(run, **{"state": "finished", **changes})
        return run

    return make_run


def lay(*runs: RunDirectory) -> Overlay:
    return OverlayReader(runs).read()


def test_curves_share_an_axis(make: Make) -> None:
    found = lay(make("fine", [0.6, 0.5, 0.4, 0.3]), make("coarse", [0.7, 0.2], every=2))
    fine, coarse = found.members
    assert (fine.sign, coarse.sign, found.stage) == ("A", "B", "dpo")
    assert fine.curve("loss", "dpo") == ((1, 0.6), (2, 0.5), (3, 0.4), (4, 0.3))
    assert coarse.curve("loss", "dpo", "epoch") == ((0.2, 0.7), (0.4, 0.2))
    assert coarse.curve("loss", "dpo", "tokens") == ((100, 0.7), (200, 0.2))
    assert coarse.curve("loss", "dpo", "time") == ((4, 0.7), (8, 0.2))
    assert coarse.curve("loss", "sft") == coarse.curve("nothing", "dpo") == ()
    assert found.axes("dpo") == ("step", "epoch", "tokens", "time")


def test_an_axis_that_a_run_never_logged_has_no_curve_of_it(make: Make) -> None:
    other = make("other", [0.6, 0.5])
    bare = make("bare", [])
    append_json(bare.metrics, {"stage": "dpo", "step": 1, "loss": 0.5})
    found = lay(other, bare)
    assert found.members[1].curve("loss", "dpo") == ((1, 0.5),)
    assert found.members[1].curve("loss", "dpo", "tokens") == ()
    assert found.common_end("dpo", "tokens") is None
    assert found.common_end("dpo") == 1
    (line,) = found.lines("dpo", "tokens", ["loss"])
    assert line.at == (None, None)
    assert not line.tells_at


def test_the_table_tells_who_is_best(make: Make) -> None:
    found = lay(
        make("long", [0.6, 0.2, 0.3, 0.4], held_out=0.8),
        make("short", [0.7, 0.5], held_out=0.9),
        make("none", []),
    )
    line, accuracy = found.lines("dpo", metrics=["loss", "eval_rewards/accuracies"])
    assert line.final == (0.4, 0.5, None)
    assert line.best == ((0.2, 2), (0.5, 2), None)
    assert found.common_end("dpo") == 2
    assert line.at == (0.2, 0.5, None)
    assert line.winners == {"final": {0}, "best": {0}, "at": {0}}
    assert accuracy.winners["final"] == {1}
    assert accuracy.at == (None, 0.9, None)
    assert accuracy.winners["at"] == frozenset()


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("loss", [0.5, 0.4, None], {1}),
        ("rewards/accuracies", [0.5, 0.9, 0.9], {1, 2}),
        ("loss", [0.5, None], set()),
        ("loss", [0.5, 0.5], set()),
        ("grad_norm", [1.0, 2.0], set()),
        ("logps/chosen", [1.0, 2.0], set()),
        ("loss", [], set()),
    ],
)
def test_best_of(metric: str, values: list[float | None], best: set[int]) -> None:
    assert best_of(metric, values) == best


def test_usual_metrics_come_first(make: Make) -> None:
    run = make("one", [0.5], held_out=0.7)
    append_json(run.metrics, {"stage": "dpo", "step": 1, "a_first": 1.0, "rewards/margins": 1.0})
    assert lay(run, make("two", [0.5])).metrics("dpo") == (
        "loss", "rewards/margins", "eval_rewards/accuracies", "a_first", "num_tokens",
    )  # fmt: skip


def test_what_differs_is_told_of_all(make: Make) -> None:
    data = {"datasets": {"dpo": {"train": {"rows": 5}, "test": {"rows": 2}, "files": []}}}
    changed = {
        "datasets": {
            "dpo": {
                "train": {"rows": 7},
                "test": {"rows": 2},
                "files": [{"path": "/x/p.jsonl", "bytes": 9, "sha256": "abcdef0123"}],
            }
        },
        "versions": {"torch": "2"},
        "gpus": [{"name": "A100"}],
        "git": {"commit": "123"},
    }
    found = lay(
        make("one", [0.5], environment=data),
        make("two", [0.5], beta=0.5, environment=changed),
        make("three", [0.5], beta=0.5, rank=16),
    )
    told = {(row.group, row.key): row.values for row in found.differences}
    assert told == {
        ("dpo", "beta"): (0.1, 0.5, 0.5),
        ("dpo", "lora_r"): (8, 8, 16),
        ("dpo", "rows"): (5, 7, UNKNOWN),
        ("dpo", "data files"): ([], ["p.jsonl abcdef01"], UNKNOWN),
        ("versions", "torch"): (None, "2", None),
    }
    assert [row.shown(2) for row in found.differences] == ["16", "0.5", "-", "-", "(not set)"]
    said = list(cautions(found, "dpo"))
    assert said[0].startswith("beta differs: losses, rewards and margins are on other scales")
    assert said[1] == "data files differ: eval_ values may be of other rows."


def test_of_an_imported_run_only_what_it_tells_is_compared(make: Make) -> None:
    imported = make("theirs", [0.5], imported="/x/trainer_state.json")
    for file in (imported.config("dpo"), imported.recipe):
        file.write_text("dpo: {lora_r: 64}\n" if file == imported.recipe else "lora_r: 64\n")
    found = lay(make("mine", [0.5], beta=0.7), imported)
    assert [(row.key, row.values) for row in found.differences] == [("lora_r", (8, 64))]
    assert "nobody can tell which rows the eval_ values of B are of." in cautions(found, "dpo")


def test_a_recipe_that_cannot_be_read_is_a_fault_and_the_curves_stay(make: Make) -> None:
    broken = make("broken", [0.5])
    broken.recipe.write_text("[1")
    found = lay(make("good", [0.4]), broken)
    assert found.differences == ()
    assert found.faults[0].startswith("broken: ")
    assert len(found.lines("dpo")) == 2


def test_the_verdict_names_the_best_and_minds_chance(make: Make) -> None:
    few = {"dpo": {"eval": {"pairs": 20}}}
    many = {"dpo": {"eval": {"pairs": 20_000}}}
    good, bad = make("good", [0.5], held_out=0.8), make("bad", [0.1], held_out=0.7)
    assert verdict(lay(bad, good), "dpo") == (
        "B is best by eval_rewards/accuracies at the end: 0.8, next 0.7."
    )
    update_record(good, results=few)
    assert "With 20 held-out pairs chance alone" in verdict(lay(bad, good), "dpo")
    update_record(good, results=many)
    assert "chance" not in verdict(lay(bad, good), "dpo")
    same = make("same", [0.2], held_out=0.8)
    assert verdict(lay(bad, good, same), "dpo").startswith("B and C are best by")
    assert verdict(lay(good, same), "dpo").startswith("All have the same eval_rewards/accuracies")
    assert verdict(lay(good, make("none", [])), "dpo") == ""
    assert "best by loss" in verdict(lay(make("x", [0.1]), make("y", [0.2])), "dpo")


def test_the_stage_that_most_have_is_shown(make: Make) -> None:
    one, two = make("one", []), make("two", [0.5])
    for run in (one, two):
        append_json(run.metrics, {"stage": "sft", "step": 1, "loss": 2.0})
    found = lay(one, two)
    assert found.stages == ("sft", "dpo")
    assert found.stage == "sft"
    assert lay(make("a", []), make("b", [])).stage == ""


def test_only_what_is_new_is_read(make: Make) -> None:
    first, second = make("one", [0.5]), make("two", [0.6])
    reader = OverlayReader([first, second])
    found = reader.read()
    assert reader.read() is found
    append_json(second.metrics, {"stage": "dpo", "step": 2, "loss": 0.1})
    newer = reader.read()
    assert newer.members[1].curve("loss", "dpo")[-1] == (2, 0.1)
    change_notes(first, add=["x"])
    assert reader.read().members[0].notes.tags == ("x",)


def test_too_many_are_refused(make: Make) -> None:
    runs = [make(f"run{number}", [0.5]) for number in range(MOST_RUNS + 1)]
    with pytest.raises(ProblemError, match="more than a chart can tell apart"):
        OverlayReader(runs)


def test_damaged_runs_are_laid_over_as_far_as_they_go(make: Make) -> None:
    bad = make("bad", [0.5])
    with bad.metrics.open("a") as file:
        file.write('[[[\n{"stage": "dpo", "step": 2, "loss": 1e999}\n{"stage": 3}\n\x00\n')
    bad.environment.write_text('{"versions": [1], "gpus": 3, "git": [], "datasets": {"dpo": 5}}')
    bad.record.write_text("{")
    found = lay(make("good", [0.4]), bad)
    assert found.members[1].curve("loss", "dpo") == ((1, 0.5),)


def test_a_run_with_an_alarm_is_not_the_best(make: Make) -> None:
    def broken(name: str, **options: Any) -> RunDirectory:
        run = make(name, [0.6] * 12, **options)
        fault = {"stage": "dpo", "step": 13, "time": 130.0, "non_finite": ["loss"], "loss": None}
        append_json(run.metrics, fault)
        return run

    good, other = make("good", [0.6] * 12, held_out=0.7), make("other", [0.6] * 12, held_out=0.5)
    best = broken("best", held_out=0.9)
    found = lay(good, best, other)
    assert verdict(found, "dpo") == (
        "A is best by eval_rewards/accuracies at the end: 0.7, next 0.5."
    )
    assert next(iter(cautions(found, "dpo"))).startswith("B has an alarm")
    (line,) = found.lines("dpo", metrics=["eval_rewards/accuracies"])
    assert line.winners["final"] == {0}
    assert verdict(lay(good, best), "dpo") == "A is best: it alone has no alarm."
    assert "A is best by" in verdict(lay(best, broken("worse", held_out=0.4)), "dpo")
    same = make("same", [0.6] * 12, held_out=0.7)
    assert verdict(lay(good, best, same), "dpo").startswith("All without an alarm have the same")
