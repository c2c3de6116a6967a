"""The queue's file and its dispatcher, with a launch that only writes records."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from workbench.base.locks import take_lock
from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.recipe.recipe import Recipe, load_recipe
from workbench.run import dispatcher as dispatching
from workbench.run.devices import (
    Occupancy,
    check_device,
    slot_environment,
    slot_of_recipe,
    visible_slots,
)
from workbench.run.directory import RunDirectory, create_run
from workbench.run.dispatcher import Dispatcher, take_free_device
from workbench.run.queue import Queue
from workbench.run.record import read_record, update_record

MakeRuns = Callable[[int], list[RunDirectory]]
ME = {"supervisor_pid": os.getpid(), "supervisor_create_time": psutil.Process().create_time()}


@pytest.fixture
def make_runs(paths: Paths, make_recipe: Callable[..., Recipe]) -> MakeRuns:
    return lambda count: [create_run(paths, make_recipe()) for _ in range(count)]


@pytest.fixture
def queue(paths: Paths) -> Queue:
    return Queue.of(paths)


class Launches:
    """Stands in for `launch` and `resume`: this process is the worker of what it starts."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.problem: BaseException | None = None
        self.accepted = False

    def launch(self, run: RunDirectory, *, accept_changes: bool = False) -> int:
        self.accepted = accept_changes
        if self.problem is not None:
            raise self.problem
        self.calls.append((run.id, read_record(run).device))
        update_record(run, state="running", started=1000.0 + len(self.calls), **ME)
        return os.getpid()


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Launches:
    fake = Launches()
    monkeypatch.setattr(dispatching, "launch", fake.launch)
    monkeypatch.setattr(dispatching, "resume", fake.launch)
    monkeypatch.setattr(dispatching, "visible_slots", lambda: ["cuda:0", "cuda:1"])
    return fake


def dispatcher(queue: Queue) -> Dispatcher:
    queue.folder.mkdir(parents=True, exist_ok=True)
    lock = take_lock(queue.dispatcher_lock)
    assert lock is not None
    return Dispatcher(queue, lock)


def waiting(queue: Queue) -> list[str]:
    return [entry.run for entry in queue.read().entries]


def end(run: RunDirectory, state: str = "finished") -> None:
    update_record(run, state=state, finished=2000.0)


def test_order_is_editable(queue: Queue, make_runs: MakeRuns) -> None:
    a, b, c = make_runs(3)
    assert [queue.add(run, ["cpu"]) for run in (a, b, c)] == [1, 2, 3]
    assert queue.move(c.id, -1) == 2
    assert queue.top(b.id) == 1
    assert queue.move(b.id, 99) == 3
    assert waiting(queue) == [a.id, c.id, b.id]
    queue.remove(c.id)
    assert waiting(queue) == [a.id, b.id]
    with pytest.raises(ProblemError, match="not in the queue"):
        queue.remove(c.id)
    assert queue.file.stat().st_mode & 0o077 == 0
    assert queue.folder.stat().st_mode & 0o077 == 0


def test_what_cannot_wait_is_refused(queue: Queue, make_runs: MakeRuns) -> None:
    waits, works, done = make_runs(3)
    queue.add(waits, ["cpu"])
    with pytest.raises(ProblemError, match="in the queue already, at place 1"):
        queue.add(waits, ["cpu"])
    update_record(works, state="running", **ME)
    with pytest.raises(ProblemError, match="the run is running"):
        queue.add(works, ["cpu"])
    end(done)
    with pytest.raises(ProblemError, match=r"the run is finished. Start a new run"):
        queue.add(done, ["cpu"])


def test_one_run_for_each_device_in_order(
    queue: Queue, make_runs: MakeRuns, launches: Launches
) -> None:
    a, b, c, d = make_runs(4)
    both = ["cuda:0", "cuda:1"]
    queue.add(a, ["cuda:1"])
    queue.add(b, ["cuda:1"])
    queue.add(c, both)
    queue.add(d, both)
    work = dispatcher(queue)
    assert work.tick()
    assert launches.calls == [(a.id, "cuda:1"), (c.id, "cuda:0")]
    assert work.tick()
    assert waiting(queue) == [b.id, d.id]
    end(a)
    assert work.tick()
    assert launches.calls[2:] == [(b.id, "cuda:1")]
    end(c, "failed")
    assert work.tick()  # the last one, which goes on after the failure
    assert launches.calls[3:] == [(d.id, "cuda:0")]
    assert not work.tick()
    assert queue.dispatcher() == 0


def test_a_run_started_by_hand_takes_the_first_device(
    queue: Queue, make_runs: MakeRuns, launches: Launches
) -> None:
    by_hand, waits = make_runs(2)
    update_record(by_hand, state="running", **ME)
    queue.add(waits, ["cuda:0"])
    work = dispatcher(queue)
    assert work.tick()
    assert launches.calls == []
    update_record(by_hand, supervisor_create_time=1.0)  # its processes are gone: it reads as lost
    assert work.tick()
    assert launches.calls == [(waits.id, "cuda:0")]


def test_a_run_started_meanwhile_or_deleted_leaves(
    queue: Queue, make_runs: MakeRuns, launches: Launches
) -> None:
    started, deleted, stopped = make_runs(3)
    update_record(stopped, state="stopped", started=500.0)
    for run in (started, deleted, stopped):
        queue.add(run, ["cuda:0"])
    assert [entry.action for entry in queue.read().entries] == ["launch", "launch", "resume"]
    launches.launch(started)
    end(started)
    for file in deleted.path.iterdir():
        file.unlink()
    deleted.path.rmdir()
    work = dispatcher(queue)
    assert work.tick()
    assert launches.calls == [(started.id, ""), (stopped.id, "cuda:0")]
    assert not work.tick()


def test_a_launch_that_died_before_it_made_a_process_is_done_again(
    queue: Queue, make_runs: MakeRuns, launches: Launches
) -> None:
    (run,) = make_runs(1)
    queue.add(run, ["cuda:0"])
    update_record(run, state="starting", started=1000.0, host="elsewhere")  # still counts as live
    work = dispatcher(queue)
    assert work.tick()
    assert launches.calls == []
    host = os.uname().nodename
    update_record(run, host=host)  # its grace is long over: it reads as lost
    assert work.tick()
    assert launches.calls == [(run.id, "cuda:0")]


def test_a_run_that_cannot_start_fails_and_the_next_one_starts(
    queue: Queue, make_runs: MakeRuns, launches: Launches
) -> None:
    bad, good = make_runs(2)
    queue.add(bad, ["cuda:0"])
    queue.add(good, ["cuda:0"])
    launches.problem = ProblemError(Problem("the recipe is gone", "recipe.yaml", "Start anew."))
    work = dispatcher(queue)
    assert work.tick()
    record = read_record(bad)
    assert record.state == "failed"
    assert record.error is not None
    assert record.error["what"] == "the recipe is gone"
    launches.problem = None
    assert waiting(queue) == [good.id]
    assert work.tick()
    assert launches.calls == [(good.id, "cuda:0")]


def test_a_resume_that_is_refused_is_noted(
    queue: Queue, make_runs: MakeRuns, launches: Launches
) -> None:
    refused, accepted = make_runs(2)
    for run in (refused, accepted):
        update_record(run, state="stopped", started=500.0)
    queue.add(refused, ["cuda:0"])
    queue.add(accepted, ["cuda:0"], accept_changes=True)
    launches.problem = ProblemError(Problem("changed since the checkpoint: beta", "x", "Undo it."))
    work = dispatcher(queue)
    assert work.tick()
    launches.problem = None
    assert waiting(queue) == [accepted.id]
    record = read_record(refused)
    assert record.state == "stopped"
    assert record.notes == [
        "The queue could not resume it: x: changed since the checkpoint: beta. Undo it."
    ]
    assert work.tick()
    assert launches.accepted


def test_a_full_disk_is_waited_out(queue: Queue, make_runs: MakeRuns, launches: Launches) -> None:
    (run,) = make_runs(1)
    queue.add(run, ["cuda:0"])
    full = ProblemError(Problem("cannot start the run: No space left on device"))
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    launches.problem = full
    work = dispatcher(queue)
    assert work.tick()
    assert waiting(queue) == [run.id]
    launches.problem = None
    assert work.tick()
    assert waiting(queue) == []
    assert launches.calls == [(run.id, "cuda:0")]


def test_a_failure_pauses_the_queue_where_that_was_asked_for(
    queue: Queue, make_runs: MakeRuns, launches: Launches
) -> None:
    first, second = make_runs(2)
    queue.add(first, ["cuda:0"], stop_on_failure=True)
    queue.add(second, ["cuda:0"])
    work = dispatcher(queue)
    assert work.tick()
    end(first, "diverged")
    assert not work.tick()
    state = queue.read()
    assert state.paused
    assert state.reason == f"{first.id} ended as diverged"
    assert waiting(queue) == [second.id]
    assert not queue.wake()  # a paused queue gets no dispatcher
    queue.pause(False)
    assert dispatcher(queue).tick()
    assert launches.calls[-1] == (second.id, "cuda:0")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\x00\xff",
        b'{"version": 999, "entries": []}',
        b'{"version": 1, "entries": [{"run": "../x", "action": "launch", "devices": ["cpu"]}]}',
        b'{"version": 1, "entries": [7]}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_kept_and_told(queue: Queue, make_runs: MakeRuns, content: bytes) -> None:
    (run,) = make_runs(1)
    queue.folder.mkdir(parents=True)
    queue.file.write_bytes(content)
    fault = queue.read().fault
    assert fault is not None
    assert "resume RUN --queue" in str(fault)
    assert queue.file.read_bytes() == content  # looking changes nothing
    assert queue.add(run, ["cpu"]) == 1
    (kept,) = queue.folder.glob("queue.json.bad-*")
    assert kept.read_bytes() == content
    assert queue.read().fault is None
    assert waiting(queue) == [run.id]


def test_a_write_that_fails_leaves_the_old_queue(
    queue: Queue, make_runs: MakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = make_runs(2)
    queue.add(a, ["cpu"])

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("workbench.run.queue.write_atomic", full)
    with pytest.raises(ProblemError, match="cannot change the queue: No space left"):
        queue.add(b, ["cpu"])
    assert waiting(queue) == [a.id]


def test_slots(tmp_path: Path) -> None:
    assert visible_slots({}, tmp_path) == ["cpu"]
    for name in ("nvidia3", "nvidia5", "nvidiactl", "nvidia-uvm", "nvidia-caps"):
        (tmp_path / name).touch()
    assert visible_slots({}, tmp_path) == ["cuda:0", "cuda:1"]
    assert visible_slots({"CUDA_VISIBLE_DEVICES": "2, GPU-ab"}, tmp_path) == [
        "cuda:2",
        "cuda:GPU-ab",
    ]
    for nothing in ("", "-1"):
        assert visible_slots({"CUDA_VISIBLE_DEVICES": nothing}, tmp_path) == ["cpu"]
    by_bus = {"CUDA_VISIBLE_DEVICES": "2", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert slot_environment("cuda:2", {}) == by_bus
    assert slot_environment("cuda:2", {"CUDA_VISIBLE_DEVICES": "2,3"}) == {
        "CUDA_VISIBLE_DEVICES": "2"
    }
    assert slot_environment("cpu") == {"CUDA_VISIBLE_DEVICES": ""}
    assert slot_environment("") == {}
    assert check_device("cpu", ["cuda:0"]) == "cpu"
    with pytest.raises(ProblemError, match=r"cuda:7: there is no such device. .*cuda:0, cpu"):
        check_device("cuda:7", ["cuda:0"])


def test_occupancy_sees_what_changes(paths: Paths, make_runs: MakeRuns) -> None:
    a, b = make_runs(2)
    occupancy = Occupancy(paths.runs, ["cuda:0", "cuda:1"])
    assert occupancy.look() == {}
    update_record(a, state="running", device="cuda:1", **ME)
    update_record(b, state="running", **ME)
    assert occupancy.look() == {"cuda:1": a.id, "cuda:0": b.id}
    end(a)
    b.record.write_text(json.dumps({"state": "running", "host": "elsewhere"}))
    assert occupancy.look() == {}


def test_a_new_run_takes_the_first_free_device(
    make_runs: MakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = make_runs(3)
    monkeypatch.setattr(dispatching, "visible_slots", lambda: ["cuda:0", "cuda:1"])
    update_record(a, state="running", **ME)
    assert take_free_device(b) == "cuda:1"
    assert read_record(b).device == "cuda:1"
    assert read_record(b).notes == ["It has cuda:1, the first device that was free."]
    update_record(b, state="running", **ME)
    assert take_free_device(c) == ""
    assert read_record(c).device == ""


def test_a_recipe_that_names_its_device_keeps_it(
    make_runs: MakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = make_runs(1)
    with run.recipe.open("a") as recipe:
        recipe.write("env: {CUDA_VISIBLE_DEVICES: 1}\n")
    monkeypatch.setattr(dispatching, "visible_slots", lambda: ["cuda:0", "cuda:1"])
    assert take_free_device(run) == ""
    assert slot_of_recipe(load_recipe(run.recipe)) == "cuda:1"
