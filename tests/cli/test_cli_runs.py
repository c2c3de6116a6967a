"""runs, status, logs, stop and rm on runs that nothing trains."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rank_helpers import leave_ranks

from workbench.base.files import append_json, write_atomic
from workbench.cli import main
from workbench.run.directory import RunDirectory
from workbench.run.ranks import rank_log
from workbench.run.record import update_record

Capture = pytest.CaptureFixture[str]
MakeRun = Callable[..., RunDirectory]
LogMetrics = Callable[..., None]

FAILURE = {"what": "the loss is not a number", "where": "step 3", "next_step": "Lower it."}
RESULTS = {
    "dpo": {
        "seconds": 252.0,
        "steps": 40,
        "train_loss": 0.4123,
        "peak_rss_bytes": 1.2e9,
        "eval": {"eval_rewards/accuracies": 0.912, "eval_rewards/margins": 1.5},
    }
}


def test_no_runs_yet(home: Path, capsys: Capture) -> None:
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == "No runs yet. Start one: dpo-workbench quickstart\n"


def test_runs_lists_the_newest_first(make_run: MakeRun, capsys: Capture) -> None:
    older = make_run("finished", step=40, max_steps=40, title="Old \x1b[2Jone")
    newer = make_run("running", name="second", step=3, max_steps=12)
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["RUN", "STATE", "STEP", "CREATED", "TITLE"]
    columns = [re.split(r"  +", line) for line in lines[1:]]
    assert [column[0] for column in columns] == [newer.id, older.id]
    assert [column[1:3] for column in columns] == [
        ["running", "dpo 3/12"],
        ["finished", "dpo 40/40"],
    ]
    assert columns[0][4] == "Short answers"
    assert columns[1][4] == "Old one"


def test_status_tells_each_of_several_processes(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run("running", processes=2, stage="dpo", step=4, max_steps=9)
    leave_ranks(run)
    assert main(["status", "last"]) == 0
    lines = capsys.readouterr().out.splitlines()
    words = "2 ranks, 1240 tok/s, comm 20 %, rank 1 slower by 40 %, efficiency at most 0.80"
    place = lines.index(f"ranks    {words}")
    table = [line.split() for line in lines[place : place + 9]]
    assert ["0", "box", "4", "620", "64", "%", "36", "%", "5", "%", "3", "s", "ago"] in table
    assert "num_processes: 1" in " ".join(lines)
    assert main(["status", "last", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["rank"] for one in told["ranks"]] == [0, 1]
    assert told["ranks"][1]["exposed_share"] == 0.04
    assert 2 < told["ranks"][0]["heartbeat_age"] < 60
    assert told["scaling"]["slowest"] == 1
    assert told["scaling"]["at_most"] == 0.8
    assert told["scaling"]["efficiency"] is None


def test_status_of_one_process_tells_nothing_of_ranks(make_run: MakeRun, capsys: Capture) -> None:
    make_run("running", stage="dpo", step=4, max_steps=9)
    assert main(["status", "last"]) == 0
    assert "ranks" not in capsys.readouterr().out
    assert main(["status", "last", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ranks"], told["scaling"]) == ([], None)


def test_runs_as_json(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run("stopped", step=5, max_steps=12)
    assert main(["runs", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["id"], record["state"], record["step"]) == (run.id, "stopped", 5)
    assert record["path"] == str(run.path)


def test_status_of_a_finished_run(
    make_run: MakeRun, log_metrics: LogMetrics, capsys: Capture
) -> None:
    run = make_run(started=1000.0, finished=1300.0, results=RESULTS)
    log_metrics(run, "dpo", {"loss": 0.7}, {"loss": 0.41234})
    assert main(["status", "last"]) == 0
    out = capsys.readouterr().out
    assert f"run      {run.id}\n" in out
    assert "state    finished\n" in out
    assert "took     5:00\n" in out
    assert "  loss                         0.412\n" in out
    assert (
        "  dpo   40 steps in 4:12, peak memory 1.2 GB\n"
        "        mean loss 0.412; loss 0.412; held-out accuracy 0.912, margin 1.5\n"
    ) in out


def test_status_of_a_failed_run_says_why(make_run: MakeRun, capsys: Capture) -> None:
    make_run("failed", error=FAILURE)
    assert main(["status", "last"]) == 0
    captured = capsys.readouterr()
    assert "state    failed\n" in captured.out
    assert captured.err == "step 3: the loss is not a number. Lower it.\n"


def test_status_as_json(make_run: MakeRun, log_metrics: LogMetrics, capsys: Capture) -> None:
    run = make_run("running", name="mine", step=2, max_steps=12)
    log_metrics(run, "dpo", {"loss": 0.5}, {"loss": None, "non_finite": ["loss"]})
    write_atomic(run.scores, '{"pairs": 12, "eval_loss": 0.5}')
    assert main(["status", "mine", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["state"] == "running"
    assert shown["metrics"] == {"loss": 0.5}
    assert shown["checkpoints"] == {"dpo": []}
    assert shown["scores"] == {"pairs": 12, "eval_loss": 0.5}


@pytest.mark.parametrize("command", ["status", "logs", "stop", "resume", "rm", "compare"])
def test_an_unknown_run_is_one_line_and_exit_code_2(
    command: str, make_run: MakeRun, capsys: Capture
) -> None:
    make_run()
    assert main([command, "no\x1b[31mpe"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "nope: there is no such run. List them: dpo-workbench runs.\n"
    assert captured.out == ""


def test_logs_prints_the_last_lines_and_makes_them_inert(
    make_run: MakeRun, capsys: Capture
) -> None:
    run = make_run()
    run.log.write_text("one\ntwo\n\x1b]0;owned\x07three\rfour\n[/INST]\n")
    assert main(["logs", "last", "-n", "3"]) == 0
    assert capsys.readouterr().out == "two\nfour\n[/INST]\n"
    assert main(["logs", "last"]) == 0
    assert capsys.readouterr().out == "one\ntwo\nfour\n[/INST]\n"


def test_logs_of_one_of_several_processes(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run(name="mine", processes=2)
    run.log.write_text("of 0\n")
    rank_log(run, 1).parent.mkdir()
    rank_log(run, 1).write_text("of 1\n")
    assert main(["logs", "mine", "--rank", "1"]) == 0
    assert main(["logs", "mine", "--rank", "0"]) == 0
    assert capsys.readouterr().out == "of 1\nof 0\n"
    assert main(["logs", "mine", "--rank", "2"]) == 2
    said = f"{run.id}: there is no log of rank 2; the run has 2 processes. Name one from 0 to 1."
    assert capsys.readouterr().err == f"{said}\n"


def test_logs_of_a_run_without_a_log(make_run: MakeRun, capsys: Capture) -> None:
    make_run()
    assert main(["logs", "last"]) == 0
    assert capsys.readouterr().out == ""


def test_logs_follows_until_the_run_ends(
    make_run: MakeRun, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("running")
    run.log.write_text("first\n")
    waits = iter(["second", "third", None])

    def pause(_: float) -> None:
        line = next(waits)
        if line is None:
            update_record(run, state="finished")
            return
        with run.log.open("a") as log:
            log.write(f"{line}\n")

    monkeypatch.setattr("workbench.cli.runs.time.sleep", pause)
    assert main(["logs", "last", "-f"]) == 0
    assert capsys.readouterr().out == "first\nsecond\nthird\n"


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_a_bad_line_count_is_bad_usage(count: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["logs", "last", "-n", count])
    assert f"{count!r} is not a whole number above 0" in capsys.readouterr().err


def test_stop_of_a_run_that_has_ended(make_run: MakeRun, capsys: Capture) -> None:
    make_run("finished")
    assert main(["stop", "last"]) == 0
    assert capsys.readouterr().out == "The run is finished; there is nothing to stop.\n"


def test_stop_says_what_happens_now(
    make_run: MakeRun, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool]] = []

    def stop(run: RunDirectory, *, kill: bool) -> str:
        asked.append((run.id, kill))
        return "Stopping."

    monkeypatch.setattr("workbench.cli.runs.stop", stop)
    run = make_run("running")
    assert main(["stop", "last"]) == 0
    assert main(["stop", "last", "--kill"]) == 0
    assert asked == [(run.id, False), (run.id, True)]
    assert capsys.readouterr().out == "Stopping.\nStopping.\n"


def test_rm_without_a_terminal_wants_yes(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run()
    assert main(["rm", "last"]) == 2
    assert capsys.readouterr().err == (
        f"{run.id} and all its checkpoints would be deleted. Add --yes to do so.\n"
    )
    assert run.path.exists()
    assert main(["rm", run.id[:-1], "--yes"]) == 0
    assert capsys.readouterr().out == f"Deleted {run.id}\n"
    assert not run.path.exists()


@pytest.mark.parametrize(("answer", "gone"), [("", False), ("n", False), ("Yes", True)])
def test_rm_in_a_terminal_asks(
    answer: str, gone: bool, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.cli.runs.interactive", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    run = make_run()
    assert main(["rm", "last"]) == 0
    assert run.path.exists() is not gone


def test_rm_of_a_live_run_is_refused(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run("running")
    assert main(["rm", "last", "--yes"]) == 1
    assert capsys.readouterr().err == f"{run.id}: the run is running. Stop it first.\n"
    assert run.path.exists()


def test_ctrl_c_is_exit_code_130(
    make_run: MakeRun, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pause(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workbench.cli.runs.time.sleep", pause)
    make_run("running")
    assert main(["logs", "last", "-f"]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_status_tells_of_health(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run("running", step=30, max_steps=40)
    append_json(run.metrics, {"time": 1, "event": "stage", "stage": "dpo", "max_steps": 40})
    for step in range(1, 31):
        row = {"time": step, "stage": "dpo", "step": step, "loss": 0.693, "samples": 16}
        row |= {"logps/chosen": -50.0 - step % 7, "logps/rejected": -50.0 - step % 7}
        row |= {"rewards/margins": 0.0, "rewards/accuracies": 0.0, "grad_norm": 0.01}
        append_json(run.metrics, row)
    assert main(["status", run.id]) == 0
    out = capsys.readouterr().out
    assert "health   1 alarm: chosen and rejected are the same text (since dpo step 6)" in out
    assert "-> change dpo.columns: map chosen and rejected" in out
    assert max(map(len, out[out.index("health") :].splitlines())) <= 80
    assert main(["status", run.id, "--json"]) == 0
    (alarm, *_) = json.loads(capsys.readouterr().out)["health"]
    assert (alarm["rule"], alarm["severity"], alarm["step"]) == ("identical_pairs", "alarm", 6)


def test_status_of_a_run_without_metrics_says_nothing_of_health(
    make_run: MakeRun, capsys: Capture
) -> None:
    assert main(["status", make_run("queued").id]) == 0
    assert "health" not in capsys.readouterr().out


def test_a_run_that_failed_is_not_called_healthy(make_run: MakeRun, capsys: Capture) -> None:
    error = {"what": "out of memory", "where": "", "next_step": "Halve the batch."}
    run = make_run("failed", step=3, max_steps=40, error=error)
    append_json(run.metrics, {"time": 1, "stage": "dpo", "step": 3, "loss": 0.6})
    assert main(["status", run.id]) == 0
    assert "healthy" not in capsys.readouterr().out
