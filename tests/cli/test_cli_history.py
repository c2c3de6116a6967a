"""runs --where, tag, note, and import of a run."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from foreign_states import dpo_state, write_output

from workbench.base.paths import Paths
from workbench.cli import main
from workbench.cli.parser_history import QUERY_HELP, free_minus
from workbench.run.directory import RunDirectory, list_runs
from workbench.run.notes import read_notes
from workbench.run.query import parse_query
from workbench.run.record import read_record

Capture = pytest.CaptureFixture[str]
MakeRun = Callable[..., RunDirectory]
LogMetrics = Callable[..., None]


@pytest.fixture
def three(make_run: MakeRun, log_metrics: LogMetrics) -> list[RunDirectory]:
    runs = [make_run(name=name, started=1000.0, finished=1300.0) for name in ("one", "two")]
    for run, loss in zip(runs, (0.5, 0.25), strict=True):
        log_metrics(run, "dpo", {"loss": 0.7}, {"loss": loss, "odd\x1b[2Jname": 1.0})
    return [*runs, make_run("failed", name="three")]


def ids(out: str) -> list[str]:
    return [line.split("  ")[0] for line in out.splitlines()[1:]]


def test_where_sort_and_columns(three: list[RunDirectory], capsys: Capture) -> None:
    one, two, failed = (run.id for run in three)
    asked = ["runs", "--where", "beta=0.1", "--sort", "-loss"]
    assert main([*asked, "--columns", "beta, best:loss,seconds,state"]) == 0
    out = capsys.readouterr().out
    assert ids(out) == [one, two, failed]
    head, *rows = out.splitlines()
    assert head.split() == [
        "RUN", "STATE", "STEP", "CREATED", "beta", "best:loss", "seconds", "state", "loss", "TITLE",
    ]  # fmt: skip
    assert rows[0].split()[-7:-2] == ["0.1", "0.5", "5:00", "finished", "0.5"]
    assert rows[2].split()[-7:-2] == ["0.1", "-", "-", "failed", "-"]
    assert main(["runs", "--where", "loss<0.4", "--where", "state:fin"]) == 0
    assert ids(capsys.readouterr().out) == [two]
    assert main(["runs", "--where", "-loss<0.4", "--sort=name"]) == 0
    assert ids(capsys.readouterr().out) == [one, failed]


def test_json_has_the_values_that_were_asked_for(
    three: list[RunDirectory], capsys: Capture
) -> None:
    assert main(["runs", "--json", "--sort", "loss", "--columns", "beta"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [run["id"] for run in shown] == [three[1].id, three[0].id, three[2].id]
    assert [run["values"] for run in shown] == [
        {"beta": 0.1, "loss": 0.25}, {"beta": 0.1, "loss": 0.5}, {"beta": 0.1, "loss": None},
    ]  # fmt: skip
    assert shown[0]["tags"] == []


def test_none_fulfils_it(three: list[RunDirectory], capsys: Capture) -> None:
    assert main(["runs", "--where", "beta>5"]) == 0
    assert capsys.readouterr().out == "None of 3 runs fulfils this.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--where", "beta>x"], "`x` is no number for beta"),
        (["--where", "bleu>1"], "no run has `bleu`, as a setting or a metric"),
        (["--sort", "-losss"], "Did you mean loss?"),
        (["--columns", "losss"], "Did you mean loss?"),
    ],
)
def test_a_query_that_means_nothing_is_one_line_and_code_2(
    three: list[RunDirectory], words: list[str], said: str, capsys: Capture
) -> None:
    assert main(["runs", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert said in captured.err


def test_tags(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run(name="mine")
    assert main(["tag", "mine"]) == 0
    assert main(["tag", "mine", "+baseline", "good", "#old"]) == 0
    assert main(["tag", "mine", "-old", "--json"]) == 0
    out = capsys.readouterr().out
    shown = {"run": run.id, "tags": ["baseline", "good"], "note": ""}
    assert out.startswith("no tags\nbaseline good old\n")
    assert json.loads(out.partition("old\n")[2]) == shown
    assert main(["runs"]) == 0
    assert "baseline good" in capsys.readouterr().out
    assert main(["status", "mine"]) == 0
    assert "tags     baseline good\n" in capsys.readouterr().out
    assert main(["tag", "mine", "+two words"]) == 2
    assert "`two words` is no tag" in capsys.readouterr().err
    assert main(["tag", "nobody", "+x"]) == 2


def test_notes(make_run: MakeRun, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("running", name="mine")
    assert main(["note", "mine"]) == 0
    assert main(["note", "mine", "why \x1b[2Jnot [/INST]"]) == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("line one\nline two\n"))
    assert main(["note", "mine", "-"]) == 0
    assert capsys.readouterr().out == "no note\nwhy not [/INST]\nline one\nline two\n"
    assert read_notes(run).text == "line one\nline two"
    assert main(["status", "mine"]) == 0
    assert "note     line one\nnote     line two\n" in capsys.readouterr().out
    assert main(["status", "mine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["note"] == "line one\nline two"
    assert main(["note", "mine", ""]) == 0
    assert read_notes(run).text == ""


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["runs", "--sort", "-loss"], ["runs", "--sort=-loss"]),
        (["runs", "--where", "-tag:x", "--json"], ["runs", "--where=-tag:x", "--json"]),
        (["runs", "--sort", "--json"], ["runs", "--sort", "--json"]),
        (["tag", "r", "-old", "--json", "+new"], ["tag", "--json", "--", "r", "-old", "+new"]),
        (["tag", "r", "--", "-old"], ["tag", "r", "--", "-old"]),
        (["logs", "r", "-n", "3"], ["logs", "r", "-n", "3"]),
        ([], []),
    ],
)
def test_a_minus_in_front_of_a_value(words: list[str], wanted: list[str]) -> None:
    assert free_minus(words) == wanted


def test_every_line_of_the_help_is_a_query(capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["runs", "--help"])
    assert QUERY_HELP.splitlines()[1] in capsys.readouterr().out
    for line in QUERY_HELP.splitlines()[1:]:
        parse_query(line.split()[0])


def test_a_run_is_imported(paths: Paths, capsys: Capture) -> None:
    write_output(Path("their run"), dpo_state(15))
    assert main(["import", "their run"]) == 0
    (run,) = list_runs(paths)
    out = capsys.readouterr().out
    assert out.startswith("Imported DPO run their run: 15 of 20 steps, 4 log rows.\n")
    assert out.endswith(f"It is {run.id}. Next: dpo-workbench overlay {run.id} RUN\n")
    assert main(["import", "their run", "--json"]) == 1
    assert "imported before" in json.loads(capsys.readouterr().out)["problems"][0]["what"]
    assert main(["status", run.id]) == 0
    out = capsys.readouterr().out
    assert "tags     imported\n" in out
    assert f"imported {Path('their run').absolute()}/trainer_state.json\n" in out
    for words in (["resume"], ["compare"], ["score"], ["fork"]):
        assert main([*words, run.id]) == 1
        assert "only its curves are here" in capsys.readouterr().err
    assert main(["merge", run.id, "out"]) == 1
    assert "only its curves are here" in capsys.readouterr().err
    assert main(["rm", run.id, "--yes"]) == 0


def test_an_imported_run_gets_a_name_and_tells_all_as_json(paths: Paths, capsys: Capture) -> None:
    write_output(Path("out"))
    assert main(["import", "out/trainer_state.json", "--name", "theirs", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["stage"], shown["rows"], shown["left_out"]) == ("dpo", 6, 0)
    assert shown["settings"]["lora_r"] == 16
    assert read_record(list_runs(paths)[0]).name == "theirs"


@pytest.mark.parametrize(
    ("content", "said"), [("{", "not JSON"), ("{}", "no log_history"), (None, "no trainer_state")]
)
def test_a_bad_folder_is_one_line_and_code_2(
    home: Path, content: str | None, said: str, capsys: Capture
) -> None:
    Path("out").mkdir()
    if content is not None:
        Path("out/trainer_state.json").write_text(content)
    assert main(["import", "out"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert said in captured.err


def test_options_of_recipes_are_refused_for_runs(home: Path, capsys: Capture) -> None:
    write_output(Path("out"))
    assert main(["import", "out", "--print"]) == 2
    assert main(["import", "out", "--from", "trl"]) == 2
    assert "Leave --from out." in capsys.readouterr().err
