"""What becomes a preference pair, and what never does."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from vote_helpers import HOSTILE, answer, prompts, ready_sitting, user, vote

from workbench.base.problems import ProblemError
from workbench.judge.answers import Sampling
from workbench.judge.comparisons import Asked, save_comparison
from workbench.judge.sittings import new_sitting
from workbench.judge.vote_export import Export, preference_rows, write_rows
from workbench.judge.votes import undo_vote
from workbench.run.directory import RunDirectory

SYSTEM = {"role": "system", "content": "Be brief."}
EARLIER = {"role": "assistant", "content": "Hello."}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_the_winner_is_chosen_and_the_other_rejected(run: RunDirectory) -> None:
    sitting = ready_sitting(run, 2, base="Base {n}.", tuned="Tuned {n}.")
    vote(run, sitting, 0, "tuned")
    vote(run, sitting, 1, "base")
    export = preference_rows(run)
    tuned, base = [[assistant(f"{name} {n}.") for n in (0, 1)] for name in ("Tuned", "Base")]
    assert export.rows == (
        {"prompt": [user("Question 0?")], "chosen": tuned[0], "rejected": base[0]},
        {"prompt": [user("Question 1?")], "chosen": base[1], "rejected": tuned[1]},
    )
    assert export.sentences() == ["2 preference pairs."]


def test_ties_skips_and_undone_votes_never_become_pairs(run: RunDirectory) -> None:
    sitting = ready_sitting(run, 6, base="Base {n}.", tuned="Tuned {n}.")
    for item, outcome in enumerate(("tie", "both_bad", "skip")):
        vote(run, sitting, item, outcome)
    undo_vote(run, vote(run, sitting, 3, "tuned"), 1.0)
    vote(run, sitting, 4, "base")
    vote(run, sitting, 4, "tie")
    vote(run, sitting, 5, "tuned")
    export = preference_rows(run)
    assert [row["chosen"] for row in export.rows] == [assistant("Tuned 5.")]
    assert export.left_out == {"tie or both bad": 3, "skipped": 1}
    assert export.sentences()[1] == "Left out: 3 tie or both bad, 1 skipped."


def test_divided_voters(run: RunDirectory) -> None:
    sitting = ready_sitting(run, 5, base="Base {n}.", tuned="Tuned {n}.")
    for item, outcomes in enumerate(
        (
            ("tuned", "tuned", "base"),  # a majority
            ("tuned", "base", "skip"),  # even
            ("tuned", "tie", "both_bad"),  # most found neither better
            ("base", "skip", "skip"),  # one alone
            ("tuned", "base", "tie"),  # nobody has most
        )
    ):
        for voter, outcome in zip(("ada", "bob", "cy"), outcomes, strict=True):
            vote(run, sitting, item, outcome, voter)
    export = preference_rows(run)
    assert [row["chosen"] for row in export.rows] == [assistant("Tuned 0."), assistant("Base 3.")]
    assert export.left_out == {"voters divided evenly": 2, "tie or both bad": 1}
    assert export.outvoted == 1
    assert len(preference_rows(run, "ada").rows) == 5
    assert preference_rows(run, "nobody") == Export((), {})


@pytest.mark.parametrize(
    ("base", "tuned", "reason"),
    [
        ("Same.", " Same.\n", "identical answers"),
        ("Something.", " \n", "the better answer is empty"),
    ],
)
def test_answers_that_teach_nothing(run: RunDirectory, base: str, tuned: str, reason: str) -> None:
    vote(run, ready_sitting(run, 1, base=base, tuned=tuned), 0, "tuned")
    assert preference_rows(run) == Export((), {reason: 1})


def test_earlier_turns_and_the_system_prompt_are_part_of_the_prompt(run: RunDirectory) -> None:
    conversation = [SYSTEM, user("Hi"), EARLIER, user("And?")]
    both = {"base": answer("a"), "tuned": answer("b", finish="length")}
    save_comparison(run, Asked(conversation, Sampling()), both)
    sitting = new_sitting(run, ("base", "tuned"), None)
    vote(run, sitting, 0, "tuned")
    export = preference_rows(run)
    assert export.rows[0]["prompt"] == conversation
    assert "was cut at the length limit" in export.sentences()[-1]


def test_comparisons_that_are_gone_or_had_two_conversations(run: RunDirectory) -> None:
    sitting = ready_sitting(run, 2)
    vote(run, sitting, 0, "tuned")
    vote(run, sitting, 1, "tuned")
    first, second = (json.loads(line) for line in run.comparisons.read_text().splitlines())
    second["histories"] = {"base": [user("x")], "tuned": [user("y")]}
    run.comparisons.write_text(json.dumps(second))
    assert preference_rows(run).left_out == {
        "the comparison is not kept any more": 1,
        "the sides had conversations of their own": 1,
    }
    assert first["comparison"] != second["comparison"]


def test_the_file(run: RunDirectory, tmp_path: Path) -> None:
    sitting = new_sitting(run, ("base", "tuned"), prompts(1, category=HOSTILE))
    with pytest.raises(ProblemError, match="no vote gives a preference pair"):
        write_rows(preference_rows(run), tmp_path / "none.jsonl")
    save_comparison(
        run,
        Asked([user(HOSTILE)], Sampling(), prompt_id="p0", batch=sitting.batch),
        {"base": answer("é\u2028\n"), "tuned": answer(HOSTILE)},
    )
    vote(run, sitting, 0, "tuned")
    path = tmp_path / "pairs.jsonl"
    write_rows(preference_rows(run), path)
    (line,) = path.read_text(encoding="utf-8").split("\n")[:-1]
    row = json.loads(line)
    assert row["chosen"] == assistant(HOSTILE)
    assert row["rejected"] == assistant("é\u2028\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ProblemError, match="exists already"):
        write_rows(preference_rows(run), path)
    write_rows(preference_rows(run), path, force=True)
    with pytest.raises(ProblemError, match="cannot be written"):
        write_rows(preference_rows(run), tmp_path / "no" / "folder.jsonl")
