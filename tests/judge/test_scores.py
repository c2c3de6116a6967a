"""What rows of a score come to, where the answer is known; no model is loaded."""

from __future__ import annotations

import json
import math
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.base.problems import ProblemError
from workbench.judge.length_view import length_view, line, pearson
from workbench.judge.score_summary import (
    EDGES,
    accuracy_of,
    histogram,
    kl_of,
    margin_of,
    mean_of,
    summarise_answers,
    summarise_pairs,
    summarise_sft,
)
from workbench.judge.score_text import WIDTH, score_lines
from workbench.judge.scores import Wanted, load_scores, score, score_file
from workbench.run.directory import RunDirectory
from workbench.run.sides import Side

FACTS = {"beta": 0.1}
SIDES = ("base", "tuned")
BASE, TUNED = Side("base", "base"), Side("tuned", "tuned (dpo)", "r", "dpo", 0, Path("/a"))


def pair(
    row: int,
    tuned: tuple[float, float],
    *,
    base: tuple[float, float] = (-10.0, -10.0),
    tokens: tuple[int, int] = (20, 20),
    **slices: str,
) -> dict[str, Any]:
    """A pair whose reference is the base."""
    logps = {"base": list(base), "tuned": list(tuned), "reference": list(base)}
    about = {"row": row, "batch": row // 4, "prompt": f"Question {row}", "slices": slices}
    return {**about, "tokens": list(tokens), "logps": logps}


def lengthening(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """An adapter that only likes length: each token of an answer gains 0.5 nats and some noise.

    The chosen answer is the longer one in three of four pairs, so the accuracy looks good.
    """
    chance = random.Random(seed)
    pairs = []
    for row in range(count):
        shorter = chance.randint(10, 40)
        longer = shorter + chance.randint(5, 60)
        tokens = (longer, shorter) if row % 4 else (shorter, longer)
        gains = [0.5 * size + chance.gauss(0, 2) for size in tokens]
        pairs.append(pair(row, (-10 + gains[0], -10 + gains[1]), tokens=tokens))
    return pairs


def preferring(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """An adapter that likes what was chosen, long or short."""
    chance = random.Random(seed)
    pairs = []
    for row in range(count):
        tokens = (chance.randint(10, 60), chance.randint(10, 60))
        pairs.append(pair(row, (-10 + chance.gauss(5, 2), -10 + chance.gauss(0, 2)), tokens=tokens))
    return pairs


def summary_of(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return summarise_pairs(pairs, SIDES, FACTS)


def test_an_adapter_that_only_lengthens_is_flagged() -> None:
    found = summary_of(lengthening(80))["rewards"]["tuned"]
    assert found["accuracy"]["value"] > 0.7
    view = found["length"]
    assert view["verdict"] == "mostly length"
    assert view["correlation"] > 0.9
    assert view["longer"]["value"] > 0.9
    assert view["shorter"]["value"] < 0.1
    assert view["equal_margin"]["low"] <= 0 <= view["equal_margin"]["high"]
    assert abs(view["slope"] - 0.1 * 0.5) < 0.01


def test_an_adapter_that_prefers_the_chosen_is_not_flagged() -> None:
    view = summary_of(preferring(80))["rewards"]["tuned"]["length"]
    assert view["verdict"] == "not only length"
    assert view["equal_margin"]["low"] > 0.3
    assert view["equal_margin"]["low"] < 0.5 < view["equal_margin"]["high"]


def test_length_is_not_spoken_of_where_it_cannot_be_told() -> None:
    same = [pair(row, (-5, -10), tokens=(20, 10)) for row in range(20)]
    assert summary_of(same)["rewards"]["tuned"]["length"]["verdict"] == "cannot be told"
    shorter = [pair(row, (-5, -10 - row % 7), tokens=(10, 20 + row % 5)) for row in range(20)]
    assert summary_of(shorter)["rewards"]["tuned"]["length"]["verdict"] == "cannot be told"
    few = lengthening(5)
    assert summary_of(few)["rewards"]["tuned"]["length"]["verdict"] == "cannot be told"
    wrong = [pair(row, (-20, -10 - row), tokens=(20, 10 + row)) for row in range(9)]
    assert summary_of(wrong)["rewards"]["tuned"]["length"]["verdict"] == "no preference"


def test_all_chosen_longer_and_only_length_is_flagged() -> None:
    pairs = [one for one in lengthening(120) if one["tokens"][0] > one["tokens"][1]]
    view = summary_of(pairs)["rewards"]["tuned"]["length"]
    assert view["shorter"]["n"] == 0
    assert view["verdict"] == "mostly length"


def test_line_and_correlation() -> None:
    assert line([0, 1, 2], [1, 3, 5]) == pytest.approx((1, 2))
    assert line([2, 2], [1, 3]) == pytest.approx((2, 0))
    assert pearson([0, 1, 2], [5, 3, 1]) == pytest.approx(-1)
    assert pearson([1, 1], [0, 5]) is None


def test_the_interval_of_a_margin_covers_the_truth() -> None:
    chance = random.Random(5)
    held = 0
    for _ in range(400):
        found = mean_of([chance.gauss(0.3, 1) for _ in range(60)])
        held += found["low"] <= 0.3 <= found["high"]
    assert 0.92 <= held / 400 <= 0.98


def test_the_interval_of_the_intercept_covers_the_truth() -> None:
    chance = random.Random(6)
    held = 0
    for _ in range(60):
        tokens = [(chance.randint(10, 60), chance.randint(10, 60)) for _ in range(50)]
        margins = [0.4 + 0.02 * (a - b) + chance.gauss(0, 0.5) for a, b in tokens]
        right = [float(margin > 0) for margin in margins]
        margin = length_view(tokens, right, margins)["equal_margin"]
        held += margin["low"] <= 0.4 <= margin["high"]
    assert held / 60 >= 0.85


def test_a_share_of_all_is_not_certain() -> None:
    assert accuracy_of([1.0] * 10)["low"] == pytest.approx(0.722, abs=0.001)
    mixed = accuracy_of([1.0, 0.0] * 20)
    assert 0.3 < mixed["low"] < mixed["value"] == 0.5 < mixed["high"] < 0.7


def test_rewards_are_beta_times_the_log_ratios() -> None:
    one = pair(0, (-7.0, -12.0), base=(-10.0, -11.0))
    assert margin_of(one, "tuned", "reference", 0.1) == pytest.approx(0.1 * (3 + 1))
    assert margin_of(one, "tuned", "base", 0.5) == pytest.approx(2.0)
    found = summary_of([one])
    assert found["rewards"]["tuned"]["chosen"] == pytest.approx(0.3)
    assert found["rewards"]["tuned"]["trl"]["eval_logps/rejected"] == -12.0
    assert found["rewards"]["base"]["ties"] == 1


def test_as_trl_takes_the_mean_of_its_batches_means() -> None:
    pairs = [pair(row, (-9.0, -10.0)) for row in range(4)] + [pair(4, (-13.0, -10.0))]
    trl = summary_of(pairs)["rewards"]["tuned"]["trl"]
    assert trl["eval_rewards/accuracies"] == 0.5
    assert trl["eval_rewards/margins"] == pytest.approx((0.1 - 0.3) / 2)


def test_equal_sides_are_told() -> None:
    same = [pair(row, (-10.0, -10.0)) for row in range(3)]
    found = summary_of(same)
    assert found["equal"] is True
    assert found["between"]["accuracy"]["value"] == 0.0
    assert found["between"]["ties"] == 3


def test_a_margin_lies_in_the_bin_that_it_begins() -> None:
    counts = histogram([-9.0, -0.2, 0.0, 0.1, 4.0, 4.0])
    assert len(counts) == len(EDGES) + 1
    assert (counts[0], counts[-1]) == (1, 2)
    assert counts[EDGES.index(-0.2) + 1] == 1
    assert counts[EDGES.index(0.0) + 1] == 2


def test_slices_by_length_and_columns_the_worst_first() -> None:
    pairs = [
        pair(row, (-9.0 if row % 3 else -12.0, -10.0), tokens=(row + 1, 6), source=f"s{row % 3}")
        for row in range(12)
    ]
    found = summary_of(pairs)["rewards"]["tuned"]["slices"]
    sources = [one for one in found if one["by"] == "source"]
    assert [one["value"] for one in sources] == ["s0", "s1", "s2"]
    high = pytest.approx(0.49, abs=0.01)
    assert sources[0]["accuracy"] == {"value": 0.0, "low": 0.0, "high": high, "n": 4}
    lengths = [one for one in found if one["by"] == "length"]
    assert sum(one["accuracy"]["n"] for one in lengths) == 12
    assert {one["value"] for one in found if one["by"] == "answers"} == {
        "chosen longer", "chosen shorter", "both equally long",
    }  # fmt: skip


def test_the_kl_estimators_on_a_known_distribution() -> None:
    chance = random.Random(3)
    p, q = (0.7, 0.3), (0.4, 0.6)
    true = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    answers = [
        [math.log(p[token] / q[token]) for token in chance.choices((0, 1), p, k=20)]
        for _ in range(100)
    ]
    for found in kl_of(answers).values():
        assert found["low"] < true < found["high"]
        assert found["value"] == pytest.approx(true, abs=0.03)
    assert kl_of([[0.0, 0.0]])["k3"]["value"] == 0.0
    assert math.isfinite(kl_of([[-5000.0]])["k3"]["value"])


def answer(side: str, number: int, text: str, finish: str = "eos") -> dict[str, Any]:
    about = {"prompt_id": f"row {number}", "category": "", "prompt": "Why?", "number": number}
    ratios = [0.0] if side == "base" else [0.5, -0.1]
    words = len(text.split())
    return {"side": side, **about, "text": text, "tokens": words, "finish": finish,
            "log_ratios": ratios}  # fmt: skip


ANSWERS = [
    answer("base", 0, "Yes, gladly!"),
    answer("base", 1, "I cannot help with that."),
    answer("tuned", 0, "no " * 30, "length"),
    answer("tuned", 1, ""),
]


def test_answers_are_counted_by_side() -> None:
    found = summarise_answers(ANSWERS, SIDES)
    assert found["base"]["refused"]["value"] == 0.5
    assert found["tuned"]["loops"]["value"] == found["tuned"]["no_eos"]["value"] == 0.5
    assert found["tuned"]["empty"]["value"] == 0.5
    assert found["tuned"]["tokens"]["value"] == 15


def sft_row(row: int, base: float, tuned: float, tokens: int = 10) -> dict[str, Any]:
    about = {"row": row, "prompt": f"SFT {row}", "source": "the training rows of sft"}
    logps = {"base": base, "tuned": tuned}
    return {**about, "tokens": tokens, "answers_only": True, "logps": logps}


def test_perplexity_and_the_rows_that_became_less_likely() -> None:
    rows = [sft_row(0, -20.0, -10.0), sft_row(1, -20.0, -30.0), sft_row(2, -20.0, -22.0)]
    found = summarise_sft(rows, SIDES)
    assert found["perplexity"]["base"] == pytest.approx(math.exp(2))
    assert found["ratio"]["value"] == pytest.approx(math.exp(2 / 30))
    assert found["ratio"]["low"] < 1 < found["ratio"]["high"]
    assert [row["row"] for row in found["rose"]] == [1, 2]
    assert found["rose_rows"] == 2


def full_summary(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """A summary with everything in it."""
    weights = {"base": {"folder": "", "sha256": ""}, "tuned": {"folder": "/a", "sha256": "abc123"}}
    rate = {"value": 0.75, "low": 0.3, "high": 0.95, "n": 4}
    judge = {"model": "judge-1", "first": "base", "second": "tuned", "wins": 3, "losses": 1,
             "ties": 0, "win_rate": rate, "judged": 4, "disagreed": 1, "failed": 1,
             "failure": "it slept"}  # fmt: skip
    values = {"base": {"value": 0.25, "stderr": 0.01}, "tuned": {"value": 0.5, "stderr": None}}
    return {
        "run": "20260101-000000-mine-aaaa",
        "sides": ["base", "tuned"],
        "labels": {"base": "base", "tuned": "tuned (dpo)"},
        "weights": weights,
        "reference": {"folder": "", "sha256": "", "of": "dpo"},
        "beta": 0.1,
        "dtype": "float32",
        "device": "cpu",
        "data": {"source": "the held-out split of dpo", "rows": 90, "used": 80, "dropped": 0},
        "notes": ["2 prompts leave no room for an answer."],
        "training": {"side": "tuned", "recorded": {"eval_rewards/margins": 0.5},
                     "differences": {"eval_rewards/margins": 1e-5}},
        "answers": summarise_answers(ANSWERS, SIDES),
        "sampling": {"temperature": 1.0, "max_new_tokens": 128},
        "sft": summarise_sft([sft_row(0, -20.0, -30.0)], SIDES),
        "judge": judge,
        "lm_eval": {"sides": ["base", "tuned"],
                    "table": [{"task": "arc_easy", "metric": "acc", "values": values}]},
        **summary_of(pairs),
    }  # fmt: skip


def test_the_table_has_80_columns_and_the_worst_rows_first() -> None:
    pairs = [*lengthening(80), pair(99, (-40.0, -5.0), source="forum"), pair(100, (-9, -9))]
    pairs[80]["prompt"] = "Bad \x1b[2J\nprompt " + "x" * 200
    lines = score_lines(full_summary(pairs))
    text = "\n".join(lines)
    assert max(map(len, lines)) <= WIDTH
    assert "\x1b" not in text
    order = [text.index(words) for words in (
        "Pairs that got worse from base to tuned",
        "SFT rows that became less likely",
        "Held-out pairs, rewards against DPO's reference, beta 0.1:",
        "Is it length? tuned: mostly length.",
        "2 sampled answers a side, temperature 1",
        "Perplexity of 1 rows, answers only",
        "Judge judge-1, both orders",
        "lm-eval:",
    )]  # fmt: skip
    assert order == sorted(order)
    worst = lines[[line[:10] for line in lines].index("Pairs that") + 2]
    assert worst.startswith("   99        0     -3.5     -3.5  Bad  prompt xxx")
    assert "As training measured tuned at its end (margin 0.5): the same numbers." in lines
    assert "is the reference" in text
    assert "arc_easy acc" in text


def test_equal_sides_in_words() -> None:
    summary = full_summary([pair(row, (-10.0, -10.0)) for row in range(3)])
    assert "tuned (dpo) equals base: not one log-probability differs." in score_lines(summary)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the measuring process some other code."""

    def write(code: str) -> None:
        (tmp_path / "stand_in_score.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr("workbench.judge.scores.WORKER", "stand_in_score")

    return write


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    found = RunDirectory(tmp_path / "run")
    found.path.mkdir()
    found.record.write_text(json.dumps({"id": "run", "stages": ["dpo"], "state": "finished"}))
    return found


SAY = "import json, sys\ndef say(**event):\n    print(json.dumps(event), flush=True)\n"


def test_the_process_is_asked_and_its_rows_are_taken(run: RunDirectory, stand_in: Any) -> None:
    facts = {"event": "facts", "beta": 0.1, "weights": {}, "reference": {}, "data": {}}
    one = {"event": "pair", **pair(3, (-8.0, -10.0))}
    said: list[str] = []
    stand_in(
        SAY + "request = json.load(open(sys.argv[1]))\n"
        "say(event='progress', message=request['sides'][1]['spec'] + '\\x1b', done=1, total=2)\n"
        f"say(**{facts!r})\nprint('chatter')\nsay(event='note', path='packed', text='A note.')\n"
        f"say(**{one!r})\nsay(event='end')\n"
    )
    found = score(run, [BASE, TUNED], Wanted(samples=0), say=said.append)
    assert said == ["tuned 1/2"]
    assert found.summary["rewards"]["tuned"]["margin"]["value"] == pytest.approx(0.2)
    assert (found.summary["path"], found.summary["notes"]) == ("packed", ["A note."])
    assert [row["row"] for row in found.rows] == [3]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("say(event='problem', what='no pairs', where='x', next_step='Do.')\n", "x: no pairs. Do."),
        ("sys.exit('RuntimeError: odd')\n", "the score has failed: RuntimeError: odd"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "it was killed"),
        ("say(event='end')\n", "no held-out pair was scored"),
    ],
)
def test_what_goes_wrong_is_one_problem(
    code: str, message: str, run: RunDirectory, stand_in: Any
) -> None:
    stand_in(SAY + code)
    with pytest.raises(ProblemError) as caught:
        score(run, [BASE, TUNED], Wanted())
    assert message in str(caught.value)
    assert len(caught.value.problems) == 1


def test_three_sides_are_refused(run: RunDirectory) -> None:
    with pytest.raises(ProblemError, match="a score is of two sides, not of 3"):
        score(run, [BASE, TUNED, TUNED], Wanted())


def test_a_ctrl_c_ends_the_process(run: RunDirectory, stand_in: Any) -> None:
    stand_in(SAY + "import signal\nsay(event='progress', message='on')\nsignal.pause()\n")
    ends: list[Any] = []

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(run, [BASE, TUNED], Wanted(), say=interrupt, begun=ends.append)
    process = ends[0].__self__
    assert process.poll() is not None
    assert sys.executable in process.args


def test_kept_files_that_are_no_scores_are_left_out(run: RunDirectory) -> None:
    assert load_scores(run) == []
    run.scores_folder.mkdir()
    score_file(run, SIDES).write_text('{"rewards": {}, "time": "soon"}')
    (run.scores_folder / "torn.json").write_text('{"rew')
    (run.scores_folder / "list.json").write_text("[1]")
    assert [one["time"] for one in load_scores(run)] == ["soon"]
