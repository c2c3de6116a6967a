"""Votes on disk, and sittings that go on another day and for several voters."""

from __future__ import annotations

import json
import stat
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from vote_helpers import HOSTILE, answer, keep_answers, prompts, ready_sitting, user, vote

from workbench.base.files import append_json
from workbench.base.problems import ProblemError
from workbench.judge.answers import Sampling
from workbench.judge.comparisons import Asked, save_comparison
from workbench.judge.sittings import (
    answered_items,
    list_sittings,
    load_sitting,
    new_sitting,
    voted_items,
)
from workbench.judge.statistics import binomial_test
from workbench.judge.votes import Vote, add_vote, judgements, load_votes, undo_vote, voter_name
from workbench.run.directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def test_a_vote_comes_back_as_cast(run: RunDirectory) -> None:
    sitting = ready_sitting(run)
    cast = vote(run, sitting, 3, "tuned")
    assert load_votes(run) == [cast]
    record = json.loads(run.votes.read_text())
    assert len(record["vote"]) == 12
    assert {record["left"], record["right"]} == {"base", "tuned"}
    assert record[record["choice"]] == record["winner"] == "tuned"
    assert record["prompt"] == "Question 3?"
    assert record["category"] == "kind 1"
    assert record["words"] == {"base": 7, "tuned": 1}
    assert record["tokens"] == {"base": 7, "tuned": 1}
    assert (record["seconds"], record["sitting"]) == (2.0, sitting.name)
    assert stat.S_IMODE(run.votes.stat().st_mode) == 0o600


def test_undone_votes_do_not_count(run: RunDirectory) -> None:
    sitting = ready_sitting(run)
    first, second = vote(run, sitting, 0, "tuned"), vote(run, sitting, 1, "base")
    append_json(run.votes, {"undo": first.id, "time": 1.0, "voter": "somebody else"})
    assert load_votes(run) == [first, second]
    undo_vote(run, first, 10.0)
    assert load_votes(run) == [second]
    assert len(run.votes.read_text().splitlines()) == 4
    again = vote(run, sitting, 0, "tie")
    assert load_votes(run) == [second, again]


def test_the_newest_vote_on_a_comparison_counts(run: RunDirectory) -> None:
    sitting = ready_sitting(run)
    vote(run, sitting, 0, "tuned")
    newer = vote(run, sitting, 0, "base")
    others = vote(run, sitting, 0, "tuned", "bob")
    assert load_votes(run) == [newer, others]
    elsewhere = Vote(**{**vars(newer), "sitting": "another", "id": "f" * 12})
    add_vote(run, elsewhere)
    assert load_votes(run) == [newer, others, elsewhere]
    assert judgements(load_votes(run)) == [others, elsewhere]
    assert judgements(load_votes(run), "bob") == [others]


def test_lines_that_are_no_vote_are_left_out(run: RunDirectory) -> None:
    cast = vote(run, ready_sitting(run), 0, "tuned")
    good = json.loads(run.votes.read_text())
    bad = [
        {**good, "vote": "a", "choice": "maybe"},
        {**good, "vote": "b", "left": good["right"]},
        {**good, "vote": "c", "voter": None},
        {**good, "vote": ["d"]},
        {"undo": ["x"]},
        {"undo": "no such vote", "voter": "ada"},
    ]
    odd = {**good, "vote": "e", "voter": "eve", "time": "x", "seconds": None, "sides": [1, 2],
           "words": {"base": "many", "tuned": -1}, "tokens": 7, "category": 3}  # fmt: skip
    lines = [json.dumps(row) for row in [*bad, odd]]
    with run.votes.open("a") as stream:
        stream.write("\n".join([*lines, "[1, 2]", "null", '{"torn": ']))
    first, second = load_votes(run)
    assert first == cast
    assert (second.voter, second.words, second.tokens, second.sides) == ("eve", {}, {}, ())
    assert (second.time, second.seconds, second.category) == (0.0, 0.0, "")


def test_hostile_text_is_kept_and_read(run: RunDirectory) -> None:
    assert voter_name(HOSTILE) == "[/INST] [@click=app.quit]x[/] red"
    assert voter_name(" \x1b[2J\n ") == "somebody"
    assert len(voter_name("x" * 999)) == 60
    sitting = new_sitting(run, ("base", "tuned"), prompts(2, category=HOSTILE), prompt_set=HOSTILE)
    keep_answers(run, sitting, base=HOSTILE)
    cast = vote(run, sitting, 0, "base", voter=HOSTILE)
    assert load_votes(run) == [cast]
    assert (cast.voter, cast.category) == (HOSTILE, HOSTILE)
    assert load_sitting(run, sitting.name) == sitting
    assert sitting.name.isascii()


def test_a_sitting_is_the_same_on_another_day(run: RunDirectory) -> None:
    sampling = Sampling(temperature=0.5, seed=3)
    made = new_sitting(
        run, ("base", "dpo:8"), prompts(20), prompt_set="every day", sampling=sampling
    )
    found = load_sitting(run, made.name)
    assert found == made
    assert found.plan("ada") == made.plan("ada")
    assert made.name == "every-day-base-dpo-8"
    assert sorted(place.item for place in made.plan("ada")) == list(range(20))
    assert stat.S_IMODE((run.sittings / f"{made.name}.json").stat().st_mode) == 0o600
    other = new_sitting(run, ("base", "dpo:8"), prompts(20), prompt_set="every day")
    assert other.name == "every-day-base-dpo-8-2"
    assert [one.name for one in list_sittings(run)] == [other.name, made.name]


def test_going_on_asks_only_what_is_left(run: RunDirectory) -> None:
    sitting = ready_sitting(run, 4)
    for place in sitting.plan("ada")[:2]:
        vote(run, sitting, place.item, "skip")
    again = load_sitting(run, sitting.name)
    assert again is not None
    voted = voted_items(run, again, "ada")
    assert set(voted) == {place.item for place in sitting.plan("ada")[:2]}
    assert voted_items(run, again, "bob") == {}
    undo_vote(run, next(iter(voted.values())), 1.0)
    assert len(voted_items(run, again, "ada")) == 1


def test_voters_see_other_orders_and_sides(run: RunDirectory) -> None:
    sitting = ready_sitting(run, 30)
    plans = [sitting.plan(voter) for voter in ("ada", "bob", "cy")]
    for one, other in combinations(plans, 2):
        assert [place.item for place in one] != [place.item for place in other]
        left = [{place.item: place.left for place in plan} for plan in (one, other)]
        assert 5 < sum(left[0][item] == left[1][item] for item in range(30)) < 25


def test_no_side_stands_left_more_often_than_chance_has_it(run: RunDirectory) -> None:
    places = []
    for number in range(60):
        sitting = new_sitting(run, ("base", "tuned"), prompts(20), seed=f"seed {number}")
        places += [place for voter in ("ada", "bob") for place in sitting.plan(voter)]
    left = sum(place.left == "tuned" for place in places)
    assert len(places) == 2400
    assert binomial_test(left, 2400) > 0.01
    # Nor does the place in the order tell the side: by chance every other is the same.
    same = sum(one.left == other.left for one, other in pairwise(places))
    assert binomial_test(same, 2399) > 0.01


def test_kept_comparisons_can_be_voted_on(run: RunDirectory) -> None:
    both = {"base": answer("a"), "tuned": answer("b")}
    save_comparison(run, Asked([user("One?")], Sampling(), category="kind"), both)
    broken_off = {**both, "tuned": answer("", finish="cancelled")}
    save_comparison(run, Asked([user("Two?")], Sampling()), broken_off)
    save_comparison(run, Asked([user("Three?")], Sampling(), histories={"base": []}), both)
    save_comparison(run, Asked([user("Four?")], Sampling()), {"base": answer("a")})
    # As it was kept before comparisons had names.
    append_json(run.comparisons, {"time": 1.0, "messages": [user("Old?")], "answers": both})
    append_json(run.comparisons, {"messages": ["odd"], "answers": both})
    ready_sitting(run, 2)
    sitting = new_sitting(run, ("base", "tuned"), None)
    assert [item.text for item in sitting.items] == ["One?", "Old?"]
    assert sitting.name == "kept-base-tuned"
    assert set(answered_items(run, sitting)) == {0, 1}
    vote(run, sitting, 1, "tuned")
    assert list(voted_items(run, sitting, "ada")) == [1]
    with pytest.raises(ProblemError, match="no comparison of base and sft is kept"):
        new_sitting(run, ("base", "sft"), None)


def test_files_that_are_no_sitting(run: RunDirectory) -> None:
    sitting = ready_sitting(run, 1)
    whole = (run.sittings / f"{sitting.name}.json").read_text()
    for number, text in enumerate(("", "[]", "{}", whole.replace('"base"', ""), "[" * 99_999)):
        (run.sittings / f"bad{number}.json").write_text(text)
    (run.sittings / "sub.json").mkdir()
    assert list_sittings(run) == [sitting]
    assert load_sitting(run, "../run") is None
    assert list_sittings(RunDirectory(run.path / "none")) == []
