"""Known votes give known results."""

from __future__ import annotations

from pathlib import Path

import pytest
from vote_helpers import ready_sitting, vote

from workbench.base.files import json_safe
from workbench.judge.statistics import wilson
from workbench.judge.vote_results import (
    Tally,
    agreement_line,
    headline,
    remarks,
    results,
    results_json,
    verdict,
)
from workbench.judge.votes import Vote, load_votes
from workbench.run.directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def votes(outcomes: str, voter: str = "ada", left: str = "base") -> list[Vote]:
    """One vote a letter, on comparisons 0, 1, ...: t(uned), b(ase), = tie, x both bad, s(kip)."""
    found = []
    right = "tuned" if left == "base" else "base"
    for number, letter in enumerate(outcomes):
        winner = {"t": "tuned", "b": "base"}.get(letter, "")
        choice = ("left" if winner == left else "right") if winner else ""
        found.append(
            Vote(
                1.0, voter, "one", f"c{number}", left, right,
                choice or {"=": "tie", "x": "both_bad", "s": "skip"}[letter],
                category=f"kind {number % 2}", sides=("base", "tuned"),
                words={"base": 10, "tuned": 20}, id=f"{voter}{number}",
            )
        )  # fmt: skip
    return found


def test_counts_rate_and_interval(run: RunDirectory) -> None:
    sitting = ready_sitting(run, 8)
    for item, outcome in enumerate(["tuned"] * 4 + ["base", "tie", "both_bad", "skip"]):
        vote(run, sitting, item, outcome)
    (found,) = results(load_votes(run)).pairs
    assert (found.first, found.second) == ("base", "tuned")
    assert found.tally == Tally(wins=4, losses=1, ties=1, both_bad=1, skips=1)
    assert found.tally.rate == 5 / 7
    assert found.tally.interval == wilson(5, 7)
    assert found.by_category == {
        "kind 0": Tally(wins=2, losses=1, both_bad=1),
        "kind 1": Tally(wins=2, ties=1, skips=1),
    }
    assert headline(found) == (
        "tuned against base: win rate 71 % (95 % interval 36 to 92 %) of 7 votes.".replace(
            "36 to", "36 % to"
        )
    )
    assert verdict(found) == "Not told apart yet; about 14 more votes at this rate would do."


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ("t" * 18 + "bb", "The votes tell them apart: tuned is preferred."),
        ("b" * 9, "The votes tell them apart: base is preferred."),
        ("tb=", "They are level: no number of votes at this rate tells them apart."),
        ("tttb", "Not told apart yet; about 12 more votes at this rate would do."),
        ("t" * 3, "Not told apart yet; about 1 more vote at this rate would do."),
        ("ss", ""),
    ],
)
def test_the_verdict(outcomes: str, said: str) -> None:
    assert verdict(results(votes(outcomes)).pairs[0]) == said


def test_voters_apart_and_together() -> None:
    found = results([*votes("tttb=s"), *votes("tttt=t", "bob", left="tuned")])
    assert found.voters == ("ada", "bob")
    assert found.pairs[0].tally == Tally(wins=8, losses=1, ties=2, skips=1)
    assert [(one.voter, one.tally.wins) for one in found.by_voter] == [("ada", 3), ("bob", 5)]
    agreed = found.agreement["base", "tuned"]
    # Five shared comparisons, four equal; by chance 3/5 * 4/5 + 1/5 * 1/5 = 0.52.
    assert (agreed.items, agreed.equal) == (5, 0.8)
    assert agreed.value == pytest.approx((0.8 - 0.52) / 0.48)
    assert agreement_line(agreed) == (
        "2 voters agree on 80 % of the 5 comparisons that they share (Cohen's kappa 0.58)."
    )


def test_a_tie_and_both_bad_agree_that_neither_won() -> None:
    agreed = results([*votes("=t"), *votes("xt", "bob")]).agreement["base", "tuned"]
    assert agreed.equal == 1.0


def test_length_and_side_are_told_when_they_explain_the_votes() -> None:
    found = results(votes("t" * 18 + "bb")).pairs[0]
    assert found.longer == (18, 20)
    lines = remarks(found)
    assert lines[0] == "The longer answer won 18 of 20 (90 %, 70 % to 97 %)."
    # tuned is always longer and always right: both may be why it wins.
    assert "At equal length they are not told apart: length may be what wins." in lines
    assert lines[-1].startswith("The right answer won 18 of 20: more than chance (p = 0.0004)")


def test_a_side_that_wins_at_any_length_is_not_flagged() -> None:
    mixed = [
        Vote(**{**vars(one), "words": {"base": 10 + number % 7, "tuned": 13}})
        for number, one in enumerate(votes("t" * 45 + "b" * 5))
    ]
    balanced = [
        Vote(**{**vars(one), "choice": "left", "left": one.winner, "right": one.left})
        if number % 2 and one.winner != one.left
        else one
        for number, one in enumerate(mixed)
    ]
    found = results(balanced).pairs[0]
    lines = remarks(found)
    assert found.controlled is not None
    assert found.controlled.low > 0.5
    assert not any("length may be" in line or "than chance" in line for line in lines)


def test_without_lengths_and_without_known_order() -> None:
    old = [Vote(**{**vars(one), "words": {}, "sides": ()}) for one in votes("ttb")]
    found = results(old).pairs[0]
    assert (found.first, found.second, found.controlled) == ("base", "tuned", None)
    assert remarks(found) == []
    other = Vote(1.0, "a", "", "c", "sft", "dpo", "left")
    assert results([other]).pairs[0].first == "dpo"


def test_pairs_stay_apart_and_are_found_either_way() -> None:
    other = Vote(1.0, "ada", "two", "c0", "base", "sft", "right", sides=("base", "sft"))
    found = results([*votes("tt"), other])
    assert [(one.first, one.second) for one in found.pairs] == [("base", "tuned"), ("base", "sft")]
    sft = found.of("sft", "base")
    assert sft is not None
    assert sft.tally == Tally(wins=1)
    assert found.of("sft", "tuned") is None


def test_results_for_scripts() -> None:
    shown = json_safe(results_json(results([*votes("tb="), *votes("tbs", "bob")])))
    pair = shown["pairs"][0]
    assert (pair["wins"], pair["losses"], pair["ties"], pair["skips"]) == (2, 2, 1, 1)
    assert pair["win_rate"] == 0.5
    assert pair["more_votes_to_tell"] is None
    assert set(pair["by_category"]) == {"kind 0", "kind 1"}
    assert [one["voter"] for one in shown["by_voter"]] == ["ada", "bob"]
    assert shown["agreement"][0]["equal"] == 1.0
    assert results_json(results([]))["pairs"] == []
