"""run --queue, resume --queue and queue, without a dispatcher of their own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.base.paths import Paths
from workbench.cli import main
from workbench.run.directory import RunDirectory, list_runs
from workbench.run.notify import end_file
from workbench.run.queue import Queue
from workbench.run.record import read_record

Capture = pytest.CaptureFixture[str]
MakeRun = Callable[..., RunDirectory]


@pytest.fixture(autouse=True)
def woken(monkeypatch: pytest.MonkeyPatch) -> list[Queue]:
    """Queues for which a dispatcher was asked."""
    asked: list[Queue] = []

    def wake(queue: Queue) -> bool:
        asked.append(queue)
        return True

    monkeypatch.setattr(Queue, "wake", wake)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return asked


def waiting(paths: Paths) -> list[str]:
    return [entry.run for entry in Queue.of(paths).read().entries]


def test_run_queue_says_where_it_stands(
    recipe_file: Path, paths: Paths, woken: list[Queue], capsys: Capture
) -> None:
    assert main(["run", "short.yaml", "--queue", "--on-end", "echo over"]) == 0
    (run,) = list_runs(paths)
    assert capsys.readouterr().out.splitlines() == [
        f"{run.id} is number 1 in the queue.",
        "Look at it: dpo-workbench queue",
    ]
    assert read_record(run).state == "queued"
    assert waiting(paths) == [run.id]
    assert end_file(run).read_text() == "echo over\n"
    assert len(woken) == 1


def test_run_queue_as_json(recipe_file: Path, paths: Paths, capsys: Capture) -> None:
    assert main(["run", "short.yaml", "--queue", "--json"]) == 0
    (run,) = list_runs(paths)
    expected = {"run": run.id, "path": str(run.path), "position": 1}
    assert json.loads(capsys.readouterr().out) == expected


def test_an_unknown_device_makes_no_run(recipe_file: Path, paths: Paths, capsys: Capture) -> None:
    assert main(["run", "short.yaml", "--queue", "--device", "cuda:4"]) == 2
    assert "cuda:4: there is no such device. Name one of these: cpu." in capsys.readouterr().err
    assert list_runs(paths) == []


def test_a_bad_recipe_does_not_come_into_the_queue(
    recipe_file: Path, paths: Paths, capsys: Capture
) -> None:
    recipe_file.with_name("prefs.jsonl").unlink()
    assert main(["run", "short.yaml", "--queue"]) == 1
    assert waiting(paths) == []


def test_the_list_and_its_order(make_run: MakeRun, paths: Paths, capsys: Capture) -> None:
    a, b, c = (make_run("queued", name=name) for name in ("first", "second", "third"))
    live = make_run("running", name="live")
    for run in (a, b, c):
        assert main(["resume", run.id, "--queue"]) == 0
    assert main(["queue", "up", "third"]) == 0
    assert main(["queue", "top", "second"]) == 0
    assert main(["queue", "down", "third"]) == 0
    capsys.readouterr()
    assert main(["queue"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["RUN", "STATE", "DEVICE", "WAITS", "FOR"]
    assert [line.split()[:4] for line in lines] == [
        ["1", b.id, "queued", "cpu"],
        ["2", a.id, "queued", "cpu"],
        ["3", c.id, "queued", "cpu"],
    ]
    assert all(f"cpu, which {live.id} has" in line for line in lines)
    assert main(["queue", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["paused"], shown["dispatcher"]) == (False, 0)
    assert [(e["position"], e["name"]) for e in shown["entries"]] == [
        (1, "second"),
        (2, "first"),
        (3, "third"),
    ]


def test_remove_and_stop_take_a_run_out(make_run: MakeRun, paths: Paths, capsys: Capture) -> None:
    a, b = make_run("queued", name="first"), make_run("stopped", name="second")
    for run in (a, b):
        assert main(["resume", run.id, "--queue"]) == 0
    capsys.readouterr()
    assert main(["stop", "first"]) == 0
    assert main(["queue", "remove", "second"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{run.id} is out of the queue. Start it by hand: dpo-workbench resume {run.id}"
        for run in (a, b)
    ]
    assert waiting(paths) == []
    assert [read_record(run).state for run in (a, b)] == ["queued", "stopped"]
    assert main(["queue", "remove", "second"]) == 1
    assert "the run is not in the queue" in capsys.readouterr().err
    assert main(["queue"]) == 0
    assert "Nothing waits." in capsys.readouterr().out


def test_pause_and_resume(make_run: MakeRun, paths: Paths, capsys: Capture) -> None:
    run = make_run("queued")
    assert main(["queue", "pause"]) == 0
    assert main(["resume", run.id, "--queue"]) == 0
    capsys.readouterr()
    assert main(["queue"]) == 0
    out = capsys.readouterr().out
    assert "The queue is paused. Go on: dpo-workbench queue resume" in out
    assert "the queue is paused" in out.splitlines()[-1]
    assert main(["queue", "resume"]) == 0
    assert not Queue.of(paths).read().paused


def test_runs_shows_places(make_run: MakeRun, capsys: Capture) -> None:
    fresh, old = make_run("queued"), make_run("stopped")
    for run in (fresh, old):
        assert main(["resume", run.id, "--queue"]) == 0
    capsys.readouterr()
    assert main(["runs"]) == 0
    out = capsys.readouterr().out
    assert "queued 1" in out
    assert "stopped, queued 2" in out


def test_a_damaged_queue_is_told(make_run: MakeRun, paths: Paths, capsys: Capture) -> None:
    make_run("queued")
    Queue.of(paths).folder.mkdir()
    Queue.of(paths).file.write_text("{")
    assert main(["queue"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("warning: ")
    assert "the queue's file cannot be read" in captured.err
    assert "Nothing waits." in captured.out
