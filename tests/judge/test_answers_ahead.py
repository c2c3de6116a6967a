"""Answers are asked for in the voter's order, soon and not all at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from vote_helpers import prompts

from workbench.judge.answers import Sampling
from workbench.judge.answers_ahead import AHEAD, AnswersAhead
from workbench.judge.comparisons import load_comparisons
from workbench.judge.sittings import Sitting, answered_items, new_sitting
from workbench.run.directory import RunDirectory


class Process:
    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def batch(self, prompts: Sequence[Any], sampling: Sampling, sides: Sequence[str] = ()) -> int:
        assert tuple(sides) == ("base", "tuned")
        self.batches.append([prompt[-1]["content"] for prompt in prompts])
        return len(self.batches)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


@pytest.fixture
def sitting(run: RunDirectory) -> Sitting:
    return new_sitting(run, ("base", "tuned"), prompts(20), prompt_set="trial", seed="5eed")


def answer(ahead: AnswersAhead, request: int, number: int, *sides: str, **more: Any) -> list[int]:
    event = {"event": "answer", "id": request, "prompt": number, "text": "x", "tokens": 1}
    return [item for side in sides for item in ahead.take({**event, "side": side, **more})]


def test_one_prompt_first_then_a_few_in_the_voters_order(
    run: RunDirectory, sitting: Sitting
) -> None:
    plan, process = sitting.plan("ada"), Process()
    order = [place.item for place in plan]
    ahead = AnswersAhead(run, sitting, plan, [])
    assert ahead.next_items([]) == order[:1]
    request = ahead.ask(process, order[:1])
    assert ahead.next_items([]) == []
    ahead.take({"event": "weights", "id": request, "sides": {"base": {"sha256": ""}}})
    assert answer(ahead, request, 0, "base") == []
    assert answer(ahead, request, 0, "tuned") == [order[0]]
    ahead.take({"event": "done", "id": request})
    assert ahead.next_items([]) == order[1:5]
    request = ahead.ask(process, order[1:5])
    # They come in any order.
    assert answer(ahead, request, 3, "tuned", "base") == [order[4]]
    assert process.batches[1] == [sitting.items[item].text for item in order[1:5]]
    kept = load_comparisons(run)[0]
    assert (kept["batch"], kept["set"]) == (sitting.batch, "trial")
    assert kept["sides"] == {"base": {"sha256": ""}}
    assert set(answered_items(run, sitting)) == {order[0], order[4]}
    assert ahead.missing == 18


def test_what_lies_far_ahead_waits_for_the_voter(run: RunDirectory, sitting: Sitting) -> None:
    plan = sitting.plan("ada")
    order = [place.item for place in plan]
    ahead = AnswersAhead(run, sitting, plan, order[:AHEAD])
    assert ahead.next_items([]) == []
    assert ahead.next_items(order[:2]) == order[AHEAD : AHEAD + 2]
    assert AnswersAhead(run, sitting, plan, range(20)).next_items([]) == []
    assert ahead.next_items(order) == []


def test_failed_and_odd_events(run: RunDirectory, sitting: Sitting) -> None:
    plan = sitting.plan("ada")
    ahead, process = AnswersAhead(run, sitting, plan, []), Process()
    request = ahead.ask(process, [3])
    assert answer(ahead, request + 1, 0, "base", "tuned") == []
    assert answer(ahead, request, 7, "base", "tuned") == []
    assert answer(ahead, request, 0, "base", "tuned", finish="cancelled") == []
    ahead.take({"event": "error", "id": request})
    assert ahead.next_items([]) == [plan[0].item]
    ahead.ask(process, [3])
    # The process died before it read any request.
    ahead.take({"event": "error", "id": None})
    assert ahead.next_items([]) == [plan[0].item]
    assert load_comparisons(run) == []
