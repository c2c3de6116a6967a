"""overlay."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import pytest

from workbench.cli import main
from workbench.cli.parser_history import AXES
from workbench.run import axes
from workbench.run.directory import RunDirectory

Capture = pytest.CaptureFixture[str]
MakeRun = Callable[..., RunDirectory]
LogMetrics = Callable[..., None]
EVIL = "evil\x1b[2J[/INST]"


@pytest.fixture
def two(make_run: MakeRun, log_metrics: LogMetrics) -> list[RunDirectory]:
    runs = [make_run(name=name) for name in ("one", "two")]
    log_metrics(runs[0], "dpo", {"loss": 0.7, "epoch": 0.1}, {"loss": 0.5, "epoch": 0.2})
    log_metrics(runs[1], "dpo", {"loss": 0.6, "epoch": 0.1, EVIL: 1.0})
    runs[1].config("dpo").write_text(runs[1].config("dpo").read_text() + "seed: 7\n")
    return runs


def test_the_parser_knows_the_axes() -> None:
    assert AXES == axes.AXES


def test_table_verdict_and_differences(two: list[RunDirectory], capsys: Capture) -> None:
    assert main(["overlay", "one", "two"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["A", two[0].id]
    assert [line.split() for line in lines if line.startswith("loss")] == [
        ["loss", "last", "0.5*", "0.6"]
    ]
    assert ["best", "0.5", "@2*", "0.6"] not in [line.split() for line in lines]
    assert ["best", "0.5*", "@2", "0.6", "@1"] in [line.split() for line in lines]
    assert ["at", "1", "0.7", "0.6*"] in [line.split() for line in lines]
    assert "A is best by loss at the end: 0.5, next 0.6." in lines
    assert ["dpo", "seed", "42", "7"] in [line.split() for line in lines]


def test_json(two: list[RunDirectory], capsys: Capture) -> None:
    assert main(["overlay", "one", "two", "--json", "--by", "epoch", "--metric", "loss"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["stage"], shown["by"], shown["common_end"]) == ("dpo", "epoch", 0.1)
    assert [run["name"] for run in shown["runs"]] == ["one", "two"]
    (metric,) = shown["metrics"]
    assert metric["final"] == [0.5, 0.6]
    assert metric["best"][0] == {"value": 0.5, "step": 2}
    assert metric["winners"]["final"] == [0]
    assert {"group": "dpo", "key": "seed", "values": [42, 7], "known": [True, True]} in shown[
        "differences"
    ]
    assert shown["curves"]["loss"] == [[[0.1, 0.7], [0.2, 0.5]], [[0.1, 0.6]]]


def test_csv_is_one_table_on_one_axis(two: list[RunDirectory], capsys: Capture) -> None:
    assert main(["overlay", "one", "two", "--csv", "--metric", "loss"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows == [["step", "A one loss", "B two loss"], ["1", "0.7", "0.6"], ["2", "0.5", ""]]


def test_hostile_names_are_inert(two: list[RunDirectory], capsys: Capture) -> None:
    for words in (["--csv"], ["--json"], []):
        assert main(["overlay", "one", "two", "--metric", EVIL, *words]) == 0
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert "[/INST]" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["one"], "an overlay takes two runs or more"),
        (["one", "one"], "an overlay takes two runs or more"),
        (["one", "two", "--metric", "bleu"], "has logged bleu in dpo"),
        (["one", "two", "--stage", "sft"], "has logged anything in sft"),
        (["one", "three"], "there is no such run"),
    ],
)
def test_what_cannot_be_laid_over_is_one_line_and_code_2(
    two: list[RunDirectory], words: list[str], said: str, capsys: Capture
) -> None:
    assert main(["overlay", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1


def test_runs_without_metrics_still_tell_what_differs(make_run: MakeRun, capsys: Capture) -> None:
    make_run(name="one")
    make_run("failed", name="two")
    assert main(["overlay", "one", "two"]) == 0
    out = capsys.readouterr().out
    assert "no stage" in out
    assert ["results", "state", "finished", "failed"] in [line.split() for line in out.splitlines()]
