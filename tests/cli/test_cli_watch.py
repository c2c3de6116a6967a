"""A run in plain lines."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rank_helpers import leave_ranks

from workbench.base.files import append_json
from workbench.base.paths import Paths
from workbench.cli import main
from workbench.cli.watch_items import History, Item, Items
from workbench.cli.watch_lines import TextLines, describe
from workbench.run.directory import RunDirectory
from workbench.run.pace import Eta
from workbench.run.record import RunRecord, update_record

MakeRun = Callable[..., RunDirectory]
Capture = pytest.CaptureFixture[str]
START = 1_800_000_000.0


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TERM", "dumb")
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def write(run: RunDirectory, when: float, stage: str = "dpo", **row: Any) -> None:
    append_json(run.metrics, {"time": START + when, "stage": stage, **row})


def train(run: RunDirectory, first: int, last: int) -> None:
    for step in range(first, last + 1):
        write(run, 10.0 * step, step=step, loss=1 / step, tokens_per_second=310.4)


class Turns:
    """What happens to a run while nobody looks: a call for each pause, the last one ends it."""

    def __init__(self, run: RunDirectory, *turns: Callable[[], object]) -> None:
        self.run, self.turns = run, list(turns)

    def __call__(self, _: float) -> None:
        if self.turns:
            self.turns.pop(0)()
        else:
            update_record(self.run, state="finished", finished=START + 500)


def watch(monkeypatch: pytest.MonkeyPatch, turns: Turns, *arguments: str) -> int:
    monkeypatch.setattr("workbench.cli.keys.time.sleep", turns)
    return main(["watch", turns.run.id, *arguments])


def test_communication_of_several_processes_is_told(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run(processes=2)
    leave_ranks(run, steps=1)
    assert main(["watch", "last"]) == 0
    assert "dpo 1  loss 0.5  1240 tok/s  comm 20 %" in capsys.readouterr().out


def test_a_run_that_has_ended_is_told_in_a_screenful(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run(started=START, finished=START + 3000, step=300, max_steps=300)
    write(run, 0, event="stage", max_steps=300)
    train(run, 1, 300)
    write(run, 3000, step=300, eval_loss=0.25, **{"eval_rewards/accuracies": 0.75})
    write(run, 3000, event="checkpoint", step=300, path="x")
    assert main(["watch", "last"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Run {run.id}  Short answers"
    assert "08:00:00  dpo begins: 300 steps" in lines
    assert "08:50:00  dpo 300/300 100%  loss 0.00333  310 tok/s" in lines
    assert "08:50:00  dpo 300/300  held-out  loss 0.25  accuracy 0.75" in lines
    assert "08:50:00  dpo 300/300  checkpoint saved" in lines
    assert f"{run.id} finished after 50:00" in lines
    assert "  dpo   300 steps in 50:00" in lines
    assert 10 < len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_a_failed_run_is_told_with_its_reason_and_exit_code_1(
    make_run: MakeRun, capsys: Capture
) -> None:
    error = {"what": "the loss is no number", "where": "", "next_step": "Lower it."}
    make_run("diverged", error=error, notes=["The batch was \x1b[2Jcut."])
    assert main(["watch", "last"]) == 1
    captured = capsys.readouterr()
    assert "note: The batch was cut." in captured.out
    assert "diverged: the loss is no number" in captured.out
    assert captured.err == "the loss is no number. Lower it.\n"


def test_a_live_run_is_told_line_by_line(
    make_run: MakeRun, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("running", step=2, max_steps=9)
    write(run, 0, event="stage", max_steps=9)
    train(run, 1, 2)

    def go_on() -> None:
        train(run, 3, 5)
        write(run, 51, event="checkpoint", step=5, path="x")
        update_record(run, step=5, notes=["Shortened."])

    turns = Turns(run, go_on, lambda: train(run, 6, 9))
    assert watch(monkeypatch, turns, "--every", "0") == 0
    shown = capsys.readouterr().out
    steps = re.findall(r"dpo (\d+)/9 ", shown)
    assert [int(step) for step in steps] == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9]
    assert "dpo 3/9 33%  left " in shown
    assert "dpo 5/9  checkpoint saved" in shown
    assert "note: Shortened." in shown
    assert shown.index("checkpoint saved") < shown.index("dpo 6/9")
    assert "\x1b" not in shown
    assert "\r" not in shown


def test_values_come_at_most_every_so_many_seconds_but_the_last_ones_always(
    make_run: MakeRun, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("running", step=1, max_steps=9)
    turns = [(lambda n=n: train(run, n, n)) for n in range(2, 9)]
    assert watch(monkeypatch, Turns(run, *turns), "--every", "3600") == 0
    steps = re.findall(r"dpo (\d+)  ?loss", capsys.readouterr().out)
    assert steps == ["2", "8"]


def test_json_is_one_object_a_line(
    make_run: MakeRun, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("running", step=2, max_steps=9)
    write(run, 0, event="stage", max_steps=9)
    turns = Turns(run, lambda: train(run, 1, 3))
    assert watch(monkeypatch, turns, "--json") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["kind"] for one in told] == [
        "stage", "state", "metrics", "metrics", "metrics", "state", "end",
    ]  # fmt: skip
    assert told[2]["values"]["loss"] == 1.0
    assert told[2]["left"]["stage_seconds"] > 0
    assert (told[-1]["state"], told[-1]["summary"][0]["stage"]) == ("finished", "dpo")


def test_ctrl_c_leaves_the_training_alone(
    make_run: MakeRun, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("running")

    def interrupt() -> None:
        raise KeyboardInterrupt

    assert watch(monkeypatch, Turns(run, interrupt)) == 130
    assert "The training goes on." in capsys.readouterr().err


def test_a_run_that_waits_in_the_queue_is_waited_for(
    make_run: MakeRun, paths: Paths, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.run.devices import visible_slots
    from workbench.run.queue import Queue

    run = make_run("queued")
    queue = Queue.of(paths)
    queue.add(run, visible_slots(), stop_on_failure=False, accept_changes=False)

    def begin() -> None:
        queue.remove(run.id)
        update_record(run, state="finished")

    assert watch(monkeypatch, Turns(run, begin)) == 0
    out = capsys.readouterr().out
    assert out.index("queued") < out.index("finished")


def test_what_a_resume_supersedes_is_not_told(tmp_path: Any) -> None:
    run = RunDirectory(tmp_path)
    write(run, 0, event="stage", max_steps=9)
    train(run, 1, 8)
    write(run, 90, event="resume", step=4)
    train(run, 5, 6)
    history = History()
    history.take(Items(run).read())
    steps = [item.step for item in history.shown(50) if item.kind == "metrics"]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_the_past_of_a_long_run_is_thinned_in_bounded_memory(tmp_path: Any) -> None:
    history = History()
    history.take(Item("metrics", float(step), "dpo", step) for step in range(100_000))
    history.take(Item("eval", 1.0, "dpo", step) for step in range(5000))
    shown = history.shown(12)
    assert len(shown) == 12
    rows = [item.step for item in shown if item.kind == "metrics"]
    assert rows == sorted(rows)
    assert rows[-1] > 99_000
    assert len(history._rows) + len(history._rest) < 2000


def test_foreign_records_are_inert_or_left_out(tmp_path: Any) -> None:
    run = RunDirectory(tmp_path)
    append_json(run.metrics, {"event": ["x"], "stage": {}, "step": "y"})
    append_json(run.metrics, {"event": "stage", "stage": "d\x1b[2Jpo", "max_steps": "many"})
    append_json(run.metrics, {"event": "save_failed", "step": 10**30, "reason": {"a": 1}})
    append_json(run.metrics, {"stage": "dpo", "step": 1, "loss": 1.0, "time": 1e300})
    append_json(run.metrics, {"stage": "dpo", "step": 1, "non_finite": ["lo\x9b31mss", 3]})
    append_json(run.metrics, {"event": "progress", "message": ["x" * 5000]})
    said: list[str] = []
    lines = TextLines(said.append)
    for item in Items(run).read():
        lines.show(item, Eta(1.0, 1.0))
    assert not [line for line in said if not line.isprintable()]
    assert any("loss was not a finite number" in line for line in said)
    assert max(map(len, said)) <= 80


def test_what_the_doctor_finds_is_told_with_its_advice(
    make_run: MakeRun, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("running", max_steps=400)
    write(run, 0, event="stage", max_steps=400)
    rows = ({"loss": 0.9, "rewards/margins": -0.5, "rewards/accuracies": 0.2, "samples": 8},) * 200
    turns = Turns(
        run, lambda: [write(run, step, step=step, **row) for step, row in enumerate(rows, start=1)]
    )
    assert watch(monkeypatch, turns) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert re.search(r"(alarm|warning): .+ \((since|at) dpo step \d+\)\. .+ -> ", shown)


def test_a_record_is_one_line_whatever_it_holds() -> None:
    said: list[str] = []
    values = {"loss": 0.512, "rewards/accuracies": 0.71, "rewards/margins": 0.84}
    item = Item("metrics", START, "dpo", 1200, 4000, {**values, "tokens_per_second": 4344.0})
    TextLines(said.append).show(item, Eta(15_000.0, 30_000.0, exact=False))
    line = said[-1]
    assert len(said) == 2  # the day comes first
    assert len(line) <= 80
    assert "left 4:10:00 (run > 8:20:00)  loss 0.512" in line


def test_hints_of_the_doctor_are_left_to_status() -> None:
    assert describe(Item("finding", values={"severity": "hint", "title": "Slow"})) == ""


def test_notes_and_states_are_told_once(tmp_path: Any) -> None:
    items = Items(RunDirectory(tmp_path))
    record = RunRecord(state="running", notes=["One."])
    assert [item.kind for item in items.changes(record)] == ["note", "state"]
    record = RunRecord(state="stalled", notes=["One.", "Two."])
    assert [item.values["text"] for item in items.changes(record)] == ["Two.", ""]
    assert list(items.changes(record)) == []
