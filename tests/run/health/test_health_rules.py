"""Each rule finds its fault, where it was planted, and no rule cries wolf."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
from planted_faults import FAULTS, Fault, well_balanced
from series import dpo_run, healthy, long_run

from workbench.recipe.schema import OWN_KEYS, load_schema
from workbench.run.health import Finding, RunHistory, examine
from workbench.run.health.examine import ORDER
from workbench.run.health.registry import RULES

SEEDS = 300
FAULT_SEEDS = 10
HINTS = {"tiny_batches", "no_held_out"}
NAMES = [f"{fault.rule}-{fault.history.__name__}" for fault in FAULTS]
FASTEST = next(fault for fault in FAULTS if fault.rule == "rate_too_high")
RANKS = {"alarm": 0, "warning": 1, "hint": 2}


def worth_a_look(history: RunHistory) -> list[Finding]:
    return [finding for finding in examine(history) if finding.rule not in HINTS]


def test_healthy_runs_are_left_alone() -> None:
    assert [(seed, found) for seed in range(SEEDS) if (found := worth_a_look(healthy(seed)))] == []


def test_healthy_runs_are_left_alone_at_each_moment() -> None:
    for seed in range(1000, 1030):
        for stage in healthy(seed).stages:
            for step in stage.steps[:: max(1, len(stage.steps) // 15)]:
                assert worth_a_look(RunHistory((stage.until(step),))) == [], (seed, step)


def test_long_healthy_runs_are_left_alone() -> None:
    for seed in range(3):
        assert worth_a_look(long_run(seed)) == []


def test_healthy_runs_of_several_processes_are_left_alone() -> None:
    for seed in range(30):
        (stage,) = well_balanced(seed).stages
        assert stage.points("ranks/slowest")
        for step in stage.steps[20::20]:
            assert worth_a_look(RunHistory((stage.until(step),))) == [], (seed, step)


def test_healthy_runs_of_which_no_setting_is_known_are_left_alone() -> None:
    for seed in range(2000, 2030):
        stages = tuple(replace(stage, config={}) for stage in healthy(seed).stages)
        assert worth_a_look(RunHistory(stages)) == [], seed


def test_without_a_config_the_logged_rate_is_the_present_one() -> None:
    stages = [replace(stage, config={}) for stage in FASTEST.history(1).stages]
    findings = [one for one in examine(RunHistory(tuple(stages))) if one.rule == FASTEST.rule]
    assert [one.change.partition(" -> ")[0] for one in findings] == [f"{stages[-1].rate:g}"]


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
def test_a_fault_is_found_where_it_was_planted(fault: Fault) -> None:
    hits = 0
    for seed in range(FAULT_SEEDS):
        findings = examine(fault.history(seed))
        own = [finding for finding in findings if finding.rule == fault.rule]
        alarms = {finding.rule for finding in findings if finding.severity == "alarm"}
        assert alarms <= {fault.rule} | fault.also, (seed, findings)
        if own:
            (finding,) = own
            assert fault.low <= finding.step <= fault.high, (seed, finding)
            assert finding.key == fault.key
            hits += RANKS[finding.severity] <= RANKS[fault.severity]
    assert hits >= fault.hits


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
def test_a_finding_says_what_to_do(fault: Fault) -> None:
    for finding in examine(fault.history(1)):
        assert re.search(r"\d", finding.evidence) or finding.severity == "hint"
        assert finding.evidence.endswith(".")
        sentences = re.findall(r"[.!?](?:\s|$)", finding.explanation)
        assert 1 <= len(sentences) <= 2, finding.explanation
        assert finding.change
        if finding.key:
            stage, key = finding.key.split(".")
            assert key in OWN_KEYS or load_schema().field(key, stage) is not None


def test_each_rule_has_a_fault_and_a_place() -> None:
    assert set(ORDER) == set(RULES)
    assert set(RULES) - {fault.rule for fault in FAULTS} == HINTS
    assert len(RULES) >= 14


def test_the_first_row_of_dpo_is_no_fault() -> None:
    stage = dpo_run(0).stages[0].until(1)
    assert stage.values("rewards/accuracies") == [0.0]
    assert examine(RunHistory((stage,))) == ()


def test_nothing_logged_is_nothing_found() -> None:
    assert examine(RunHistory(())) == ()
    assert examine(RunHistory((dpo_run(0).stages[0].until(0),))) == ()


def test_hints_tell_of_few_pairs_and_of_no_held_out_data() -> None:
    from series import Shape

    found = examine(dpo_run(3, Shape(evaluations=0)))
    assert [(one.rule, one.severity) for one in found] == [
        ("tiny_batches", "hint"),
        ("no_held_out", "hint"),
    ]
    assert found[0].change == "1 -> 2"
    assert examine(dpo_run(3, Shape(pairs=8))) == ()


def test_the_worst_comes_first_and_causes_before_what_follows() -> None:
    from planted_faults import too_fast

    found = examine(too_fast(0))
    assert found[0].rule == "rate_too_high"
    assert [RANKS[one.severity] for one in found] == sorted(RANKS[one.severity] for one in found)


def test_an_examination_of_a_long_run_is_fast() -> None:
    history = long_run(0)
    examine(history)
    took = min(_seconds(history) for _ in range(5))
    assert took < 0.25, "measured: 0.01 s on an idle core"


def _seconds(history: RunHistory) -> float:
    began = time.perf_counter()
    examine(RunHistory(tuple(stage.until(10**9) for stage in history.stages)))
    return time.perf_counter() - began
