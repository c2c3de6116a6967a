"""The queue through kills at every moment and through several front ends at once.

Launch and supervisor are the real ones; the worker is a few lines, and the dispatcher a process
of its own that looks more often.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from run_helpers import stand_in, until

from workbench.base.paths import Paths
from workbench.recipe.recipe import Recipe
from workbench.run.directory import RunDirectory, create_run
from workbench.run.launch import stop
from workbench.run.queue import Queue
from workbench.run.record import is_active, read_record, update_record

WORKER = """\
import sys, time
from pathlib import Path
from workbench.run.directory import RunDirectory
from workbench.run.record import update_record
run = RunDirectory(Path(sys.argv[1]))
shared = run.path.parent.parent / "shared"
def note(words):
    with shared.open("a") as file:
        file.write(words + " " + run.id + "\\n")
note("begin")
while (run.path.parent.parent / "hold").exists():
    time.sleep(0.02)
time.sleep(0.1)
note("end")
update_record(run, state="finished", exit_code=0, finished=time.time())
"""
DISPATCHER = """\
import os, signal
from workbench.run import dispatcher, launch, queue, record
launch.SUPERVISOR = "stand_in_supervisor"
dispatcher.POLL_SECONDS = 0.1
record.START_GRACE_SECONDS = 0.5
def dying(owner, name, *, after=False):
    real = getattr(owner, name)
    def replacement(*arguments, **options):
        result = real(*arguments, **options) if after else None
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, replacement)
deadly = os.environ.get("DIE_AT", "")
if deadly == "before the launch":
    dying(dispatcher, "launch")
elif deadly == "before there is a process":
    dying(launch, "_spawn")
elif deadly == "after the launch":
    dying(dispatcher, "launch", after=True)
elif deadly == "before the entry goes":
    dying(queue, "write_atomic")
raise SystemExit(dispatcher.main())
"""
ADDER = """\
import sys, time
from pathlib import Path
from workbench.run.directory import RunDirectory
from workbench.run.queue import Queue
data, run = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
while not (data / "go").exists():
    pass
print(Queue(data).add(RunDirectory(data / "runs" / run), ["cpu"]), flush=True)
"""


@pytest.fixture
def queue(paths: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Queue]:
    """A queue whose runs have a worker of a few lines; nothing that it started is left over."""
    stand_in(monkeypatch, tmp_path / "modules", WORKER)
    (tmp_path / "modules" / "stand_in_dispatcher.py").write_text(DISPATCHER)
    monkeypatch.setattr("workbench.run.queue.DISPATCHER", "stand_in_dispatcher")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    made = Queue.of(paths)
    yield made
    if pid := made.dispatcher():
        os.kill(pid, signal.SIGKILL)
    for folder in paths.runs.iterdir():
        if is_active(read_record(RunDirectory(folder))):
            stop(RunDirectory(folder), kill=True)


@pytest.fixture
def make_runs(paths: Paths, make_recipe: Callable[..., Recipe]) -> Callable[[int], list[str]]:
    return lambda count: [create_run(paths, make_recipe()).id for _ in range(count)]


def add(queue: Queue, runs: list[str]) -> None:
    for run in runs:
        queue.add(queue.run(run), ["cpu"])


def story(queue: Queue) -> list[str]:
    shared = queue.data / "shared"
    return shared.read_text().splitlines() if shared.exists() else []


def one_after_the_other(runs: list[str]) -> list[str]:
    return [f"{what} {run}" for run in runs for what in ("begin", "end")]


def work_off(queue: Queue) -> None:
    """Do what a front end does each second, until nothing waits and nobody is at work."""

    def done() -> bool:
        queue.wake()
        return not queue.read().entries and queue.dispatcher() == 0

    until(done, 60)


@pytest.mark.parametrize(
    "moment",
    [
        "before the launch",
        "before there is a process",
        "after the launch",
        "before the entry goes",
    ],
)
def test_row_14_a_dispatcher_killed_at_any_moment_loses_and_repeats_nothing(
    queue: Queue,
    make_runs: Callable[[int], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """Row 14."""
    runs = make_runs(2)
    add(queue, runs)
    monkeypatch.setenv("DIE_AT", moment)
    assert queue.wake()
    until(lambda: "begins" in queue.log.read_text() and queue.dispatcher() == 0)
    monkeypatch.delenv("DIE_AT")
    work_off(queue)
    until(lambda: all(read_record(queue.run(run)).state == "finished" for run in runs))
    assert story(queue) == one_after_the_other(runs)
    assert queue.log.read_text().count("begins") >= 2


def test_row_14_the_device_of_a_killed_run_is_free_again(
    queue: Queue, make_runs: Callable[[int], list[str]]
) -> None:
    """Row 14."""
    first, second = make_runs(2)
    (queue.data / "hold").touch()
    add(queue, [first, second])
    queue.wake()
    until(lambda: story(queue) == [f"begin {first}"])
    record = read_record(queue.run(first))
    (worker,) = psutil.Process(record.supervisor_pid).children()
    assert queue.read().position(second) == 1
    for pid in (record.supervisor_pid, worker.pid):
        os.kill(pid, signal.SIGKILL)
    until(lambda: f"begin {second}" in story(queue))
    assert read_record(queue.run(first)).state == "lost"
    (queue.data / "hold").unlink()
    work_off(queue)


def test_row_13_several_front_ends_at_the_same_instant(
    queue: Queue, make_runs: Callable[[int], list[str]]
) -> None:
    """Row 13."""
    runs = make_runs(4)
    adders = [
        subprocess.Popen(
            [sys.executable, "-c", ADDER, str(queue.data), run], stdout=subprocess.PIPE, text=True
        )
        for run in runs
    ]
    for adder in adders:
        assert adder.stdout is not None
        assert adder.stdout.readline() == "ready\n"
    (queue.data / "go").touch()
    places = {run: adder.communicate()[0] for run, adder in zip(runs, adders, strict=True)}
    assert sorted(places.values()) == ["1\n", "2\n", "3\n", "4\n"]
    order = sorted(runs, key=lambda run: places[run])
    assert [entry.run for entry in queue.read().entries] == order
    for _ in range(3):  # nobody holds the dispatcher's lock yet
        queue.wake()
    work_off(queue)
    until(lambda: len(story(queue)) == 8)
    assert story(queue) == one_after_the_other(order)
    assert queue.log.read_text().count(" started on cpu") == 4


def test_a_run_started_by_hand_at_the_same_moment_starts_once(
    queue: Queue, make_runs: Callable[[int], list[str]]
) -> None:
    """Row 13."""
    from workbench.base.problems import ProblemError
    from workbench.run.launch import launch

    (run,) = make_runs(1)
    add(queue, [run])
    queue.wake()
    try:
        launch(queue.run(run))
    except ProblemError as error:
        assert "is at work on this run" in str(error)  # noqa: PT017
    work_off(queue)
    until(lambda: len(story(queue)) == 2)
    assert story(queue) == one_after_the_other([run])


def test_what_waits_survives_that_nobody_is_left(
    queue: Queue, make_runs: Callable[[int], list[str]]
) -> None:
    """Row 14: dispatcher, supervisor and worker are killed, as by a restart of the machine."""
    runs = make_runs(3)
    (queue.data / "hold").touch()
    add(queue, runs)
    queue.wake()
    until(lambda: story(queue) == [f"begin {runs[0]}"])
    record = read_record(queue.run(runs[0]))
    (worker,) = psutil.Process(record.supervisor_pid).children()
    for pid in (queue.dispatcher(), record.supervisor_pid, worker.pid):
        os.kill(pid, signal.SIGKILL)
    until(lambda: queue.dispatcher() == 0)
    update_record(queue.run(runs[0]), boot_id="another start of the machine")
    assert "restarted" in str(read_record(queue.run(runs[0])).error)
    (queue.data / "hold").unlink()
    queue.move(runs[2], -1)
    work_off(queue)
    until(lambda: len(story(queue)) == 5)
    assert story(queue)[1:] == one_after_the_other([runs[2], runs[1]])
