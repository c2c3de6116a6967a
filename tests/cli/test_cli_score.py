"""score: what is asked for, what is printed and kept, with a process that loads no model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.base.problems import Problem, ProblemError
from workbench.cli import main
from workbench.judge.endpoint import Endpoint
from workbench.judge.score_summary import summarise_answers, summarise_pairs
from workbench.judge.scores import Score, Wanted, load_scores
from workbench.run.directory import RunDirectory

Capture = pytest.CaptureFixture[str]
MakeRun = Callable[..., RunDirectory]

LOGPS = {"base": [-10.0, -10.0], "tuned": [-8.0, -12.0], "reference": [-10.0, -10.0]}
PAIRS = [
    {"row": row, "batch": 0, "prompt": f"Question {row}", "slices": {}, "tokens": [20, 10 + row],
     "logps": LOGPS if row else {**LOGPS, "tuned": [-20.0, -10.0]}}
    for row in range(12)
]  # fmt: skip
ANSWERS = [
    {"number": 0, "side": side, "prompt_id": "row 0", "category": "", "prompt": "Why?",
     "text": f"I am {side}.", "tokens": 3, "finish": "eos", "log_ratios": [0.0]}
    for side in ("base", "tuned")
]  # fmt: skip


class Measure:
    """Stands in for the measuring process; remembers what was wanted."""

    def __init__(self) -> None:
        self.wanted: list[Wanted] = []
        self.sides: list[list[str]] = []
        self.failure: ProblemError | None = None

    def __call__(self, run: RunDirectory, sides: Any, wanted: Wanted, *, say: Any) -> Score:
        self.wanted.append(wanted)
        self.sides.append([side.spec for side in sides])
        say("scoring held-out pairs 4/12")
        say("scoring held-out pairs 12/12")
        if self.failure:
            raise self.failure
        weights = {side.spec: {"folder": str(side.folder or ""), "sha256": ""} for side in sides}
        summary = {
            "run": run.id,
            "time": 1.0,
            "sides": ["base", "tuned"],
            "labels": {"base": "base", "tuned": "tuned (dpo)"},
            "weights": weights,
            "reference": {"folder": "", "sha256": "", "of": "dpo"},
            "beta": 0.1,
            "model": "tiny",
            "dtype": "float32",
            "device": "cpu",
            "data": {"source": "the held-out split of dpo", "rows": 12, "used": 12, "dropped": 0},
            "answers": summarise_answers(ANSWERS, ["base", "tuned"]),
            "sampling": {"temperature": 1.0, "max_new_tokens": 128, "seed": 42},
            **summarise_pairs(PAIRS, ["base", "tuned"], {"beta": 0.1}),
        }
        answers = {one["side"]: {"text": one["text"]} for one in ANSWERS}
        rows = [
            {"kind": "pair", "row": 0},
            {"kind": "answers", "prompt": "Why?", "answers": answers},
        ]
        return Score(summary, rows)


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> Measure:
    found = Measure()
    monkeypatch.setattr("workbench.cli.score.measure", found)
    return found


@pytest.fixture
def run(make_run: MakeRun) -> RunDirectory:
    found = make_run(results={"dpo": {}})
    found.output("dpo").mkdir(parents=True)
    (found.output("dpo") / "adapter_config.json").write_text("{}")
    return found


def test_the_table_and_the_files(run: RunDirectory, measure: Measure, capsys: Capture) -> None:
    assert main(["score", "last"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == f"Score of {run.id}: base and tuned (dpo)"
    assert lines[4] == "Pairs that got worse from base to tuned, by reward margin:"
    assert lines[6].split() == ["0", "0", "-1", "-1", "Question", "0"]
    assert lines[-2] == f"Kept: {run.scores_folder / 'base..tuned.json'}"
    assert captured.err == "scoring held-out pairs 4/12\n"
    assert measure.wanted == [Wanted()]
    (kept,) = load_scores(run)
    assert kept["rewards"]["tuned"]["accuracy"]["value"] == pytest.approx(11 / 12)
    rows = (run.scores_folder / "base..tuned.rows.jsonl").read_text().splitlines()
    assert [json.loads(row)["kind"] for row in rows] == ["pair", "answers"]


def test_as_json(run: RunDirectory, measure: Measure, capsys: Capture) -> None:
    assert main(["score", "last", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == run.id


def test_what_is_asked_for(run: RunDirectory, measure: Measure, tmp_path: Path) -> None:
    prompts = tmp_path / "my.jsonl"
    prompts.write_text('{"prompt": "One?", "category": "x"}\n{"prompt": "Two?"}\n')
    options = ["--sides", "tuned,base", "--data", "pairs.jsonl", "--rows", "5", "--no-sft"]
    options += ["--prompts", str(prompts), "--temperature", "0", "--seed", "7"]
    assert main(["score", "last", *options]) == 0
    (wanted,) = measure.wanted
    assert measure.sides == [["tuned", "base"]]
    assert wanted.data == str(Path.cwd() / "pairs.jsonl")
    assert (wanted.rows, wanted.samples, wanted.sft_rows) == (5, 2, 0)
    assert (wanted.temperature, wanted.seed) == (0.0, 7)
    assert wanted.prompts is not None
    assert wanted.prompts[0]["category"] == "x"
    assert wanted.prompts[1]["messages"] == [{"role": "user", "content": "Two?"}]
    assert main(["score", "last", "--no-samples"]) == 0
    assert measure.wanted[1].samples == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sides", "base,dpo:8"], "the run has no weights for dpo:8"),
        (["--sides", "base"], "a comparison has two or three different sides"),
        (["--prompts", "nowhere"], "there is no such prompt set"),
        (["--judge", "https://h/v1"], "a judge needs the name of its model"),
        (["--judge", "https://h/v1", "--judge-model", "m"],
         "the prompts and both answers would be sent to h"),
        (["--judge", "https://h/v1", "--judge-model", "m", "--send-answers", "--no-samples"],
         "a judge compares sampled answers"),
        (["--judge", "ftp://h", "--judge-model", "m", "--send-answers"], "this is no address"),
        (["--judge", "https://h/v1", "--judge-model", "m", "--send-answers", "--judge-key-env",
          "NO_SUCH_KEY"], "the variable NO_SUCH_KEY is not set"),
        (["--lm-eval", "arc_easy"], "lm_eval is not installed"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_before_anything_is_measured(
    options: list[str],
    message: str,
    run: RunDirectory,
    measure: Measure,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["score", "last", *options]) in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert measure.wanted == []


def test_a_failure_is_one_line(run: RunDirectory, measure: Measure, capsys: Capture) -> None:
    measure.failure = ProblemError(Problem("no pairs", "test_split_size", "Give some."))
    assert main(["score", "last"]) == 1
    assert capsys.readouterr().err.endswith("test_split_size: no pairs. Give some.\n")
    assert not run.scores_folder.exists()


def test_a_judge_gets_the_answers_and_the_key(
    run: RunDirectory, measure: Measure, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def judge(rows: Any, sides: Any, endpoint: Endpoint, *, say: Any) -> dict[str, Any]:
        asked.append((rows, sides, endpoint))
        rate = {"value": 1.0, "low": 0.2, "high": 1.0, "n": 1}
        return {"model": endpoint.model, "first": "base", "second": "tuned", "wins": 1,
                "losses": 0, "ties": 0, "win_rate": rate, "judged": 1, "disagreed": 0,
                "failed": 0, "failure": ""}  # fmt: skip

    monkeypatch.setattr("workbench.cli.score.judge_answers", judge)
    monkeypatch.setenv("MY_KEY", "planted-key-of-mine-42")
    options = ["--judge", "https://h/v1", "--judge-model", "m", "--send-answers"]
    options += ["--judge-key-env", "MY_KEY"]
    assert main(["score", "last", *options]) == 0
    ((rows, sides, endpoint),) = asked
    assert sides == ("base", "tuned")
    assert [row["prompt"] for row in rows] == ["Why?"]
    assert endpoint.key == "planted-key-of-mine-42"
    shown = capsys.readouterr()
    assert "Judge m, both orders: base and tuned" in shown.out
    kept = "".join(file.read_text() for file in run.scores_folder.iterdir())
    assert "planted-key" not in shown.out + shown.err + kept
    assert load_scores(run)[0]["judge"]["wins"] == 1


def test_what_lm_eval_loses_is_not_lost_with_the_rest(
    run: RunDirectory,
    measure: Measure,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    file = tmp_path / "lm_eval"
    file.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    file.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert main(["score", "last", "--lm-eval", "arc_easy"]) == 1
    shown = capsys.readouterr()
    assert re.search("lm_eval failed: broken", shown.err)
    assert "Held-out pairs" in shown.out
    assert len(load_scores(run)) == 1
