"""Processes that die, hang, hide or are mistaken for others; each is a real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from run_helpers import ended, stand_in, until

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.base.tail import read_jsonl
from workbench.recipe.recipe import Recipe
from workbench.run import launch as launching
from workbench.run import record as records
from workbench.run.directory import RunDirectory, create_run
from workbench.run.launch import describe_error, launch, resume, stop
from workbench.run.processes import end_processes
from workbench.run.record import RunRecord, read_record, update_record

BEGIN = """\
import faulthandler, os, signal, subprocess, sys, time
from pathlib import Path
from workbench.run.directory import RunDirectory
from workbench.run.record import update_record
from workbench.worker.run_writer import RunWriter, StopRequested
run = RunDirectory(Path(sys.argv[1]))
faulthandler.register(signal.SIGUSR1, run.stacks.open("a"))
writer = RunWriter(run)
writer.listen()
writer.start()
"""
WORK = """\
try:
    # From here on somebody may ask it to stop.
    writer.update(state="running", step=3, max_steps=9, step_seconds=0.001, heartbeat=time.time())
    while True:
        time.sleep(60)
except StopRequested:
    writer.end("stopped")
"""


@pytest.fixture
def run(make_recipe: Callable[..., Recipe], paths: Paths) -> Iterator[RunDirectory]:
    made = create_run(paths, make_recipe())
    yield made
    supervisor = read_record(made).supervisor_pid
    end_processes(made)
    if supervisor and psutil.pid_exists(supervisor):
        psutil.Process(supervisor).wait(timeout=20)


@pytest.fixture
def begin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: RunDirectory
) -> Callable[..., RunDirectory]:
    """Launches the run with a worker of the given code, behind the common beginning."""

    def start(code: str = WORK, setup: str = "") -> RunDirectory:
        stand_in(monkeypatch, tmp_path / "code", BEGIN + code, setup)
        launch(run)
        return run

    return start


def running(run: RunDirectory) -> RunRecord:
    until(lambda: read_record(run).state == "running")
    return read_record(run)


def test_a_killed_trainer(begin: Callable[..., RunDirectory]) -> None:
    """Row 29."""
    run = begin()
    os.kill(running(run).pid, signal.SIGKILL)
    record = ended(run)
    assert (record.state, record.exit_code, record.signal) == ("killed", -9, signal.SIGKILL)
    assert "killed from outside (SIGKILL)" in describe_error(record)
    assert "Resume it" in describe_error(record)
    assert record.evidence == ["the trainer ended by SIGKILL"]
    assert read_jsonl(run.metrics)[-1]["state"] == "killed"


@pytest.mark.parametrize("counter", ["cgroup", "kernel"])
def test_the_kernels_memory_killer(
    begin: Callable[..., RunDirectory], tmp_path: Path, counter: str
) -> None:
    """Row 38: the counters are a copy, the SIGKILL is real."""
    root = tmp_path / "root"
    group, vmstat = root / "sys/fs/cgroup/box/memory.events", root / "proc/vmstat"
    for file in (group, vmstat, root / "proc/self/cgroup"):
        file.parent.mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text("0::/box\n")
    group.write_text("low 0\noom 0\noom_kill 2\n")
    vmstat.write_text("nr_free_pages 7\noom_kill 40\n")
    grown, old, new = (
        (group, "oom_kill 2", "oom_kill 3")
        if counter == "cgroup"
        else (vmstat, "oom_kill 40", "oom_kill 41")
    )
    run = begin(
        f"file = Path({str(grown)!r})\n"
        f"file.write_text(file.read_text().replace({old!r}, {new!r}))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n",
        setup=(
            "from pathlib import Path\nfrom workbench.run import evidence\n"
            f"supervisor.memory_kills = lambda: evidence.memory_kills(Path({str(root)!r}))"
        ),
    )
    record = ended(run)
    assert record.state == "out_of_memory"
    assert "memory ran out" in describe_error(record)
    assert "per_device_train_batch_size" in describe_error(record)
    name, before, after = grown.relative_to(root), old.split()[1], new.split()[1]
    assert record.evidence[1] == f"/{name}: oom_kill rose from {before} to {after}"


@pytest.mark.parametrize(
    ("code", "state", "words", "exit_code"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "failed", "invalid memory access (SIGSEGV)", -11),
        ("os.abort()", "failed", "abort by one of its libraries (SIGABRT)", -6),
        ("os._exit(3)", "failed", "exit code 3 and left no report", 3),
        ("os._exit(0)", "failed", "exit code 0 and left no report", 0),
        ("writer.end('finished'); os.kill(os.getpid(), 11)", "finished", "", -11),
    ],
)
def test_an_end_without_or_after_the_end_record(
    begin: Callable[..., RunDirectory], code: str, state: str, words: str, exit_code: int
) -> None:
    record = ended(begin(code))
    assert (record.state, record.exit_code) == (state, exit_code)
    assert words in describe_error(record)
    assert any("trainer" in fact for fact in record.evidence)


def test_no_descendant_outlives_the_run(begin: Callable[..., RunDirectory]) -> None:
    """Row 41: a child in a session of its own, as the ranks of torchrun are."""
    run = begin(
        "child = subprocess.Popen([sys.executable, '-c', 'import signal, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)'],"
        "start_new_session=True, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "(run.path / 'child').write_text(str(child.pid))\n" + WORK
    )
    record = running(run)
    child = psutil.Process(int((run.path / "child").read_text()))
    os.kill(record.pid, signal.SIGKILL)
    assert ended(run).state == "killed"
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_trainer_goes_on_without_its_supervisor(begin: Callable[..., RunDirectory]) -> None:
    """Row 44: it is found by its own pid, guarded by its own lock, and can be stopped."""
    run = begin()
    record = running(run)
    os.kill(record.supervisor_pid, signal.SIGKILL)
    until(lambda: not _lives(record.supervisor_pid))
    assert read_record(run).state == "running"
    with pytest.raises(ProblemError, match="the run is running"):
        resume(run)
    assert "Stopping" in stop(run)
    until(lambda: read_record(run).state == "stopped")


def test_when_all_are_killed_the_run_is_lost_and_can_start_again(
    begin: Callable[..., RunDirectory],
) -> None:
    """Row 14."""
    run = begin()
    record = running(run)
    os.kill(record.supervisor_pid, signal.SIGKILL)
    os.kill(record.pid, signal.SIGKILL)
    until(lambda: read_record(run).state == "lost")
    assert "left no end record" in describe_error(read_record(run))
    resume(run)
    again = running(run)
    assert again.pid != record.pid
    assert again.error is None


def test_a_strangers_process_is_not_the_trainer(run: RunDirectory) -> None:
    """Row 45: after a reboot the pid belongs to somebody else, who is left alone."""
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        facts = {"pid": stranger.pid, "create_time": 5.0, "supervisor_pid": stranger.pid}
        update_record(run, state="running", boot_id="another start", **facts)
        record = read_record(run)
        assert record.state == "lost"
        assert "the machine was restarted" in describe_error(record)
        assert "nothing to stop" in stop(run, kill=True)
        assert stranger.poll() is None
    finally:
        stranger.communicate(b"\n")


def test_a_trainer_that_hangs(
    begin: Callable[..., RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 40."""
    run = begin(
        setup="from workbench.run import record\nrecord.SILENCE_SECONDS = 0.2\n"
        "supervisor.LOOK_SECONDS = supervisor.TICK_SECONDS = 0.05"
    )
    record = running(run)
    monkeypatch.setattr(records, "SILENCE_SECONDS", 0.2)
    until(lambda: read_record(run).state == "stalled")
    until(lambda: run.stacks.exists() and "stand_in.py" in run.stacks.read_text())
    until(lambda: stalls(run) == [3])
    assert "at step 3" in describe_error(read_record(run))
    os.kill(record.pid, signal.SIGSTOP)
    until(lambda: "suspended" in describe_error(read_record(run)))
    assert f"kill -CONT {record.pid}" in describe_error(read_record(run))
    os.kill(record.pid, signal.SIGCONT)
    assert "Killed" in stop(run, kill=True)
    assert ended(run).state == "killed"


def test_a_kill_waits_for_a_checkpoint_that_is_being_written(
    begin: Callable[..., RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 47."""
    run = begin(
        "writer.update(state='running', saving='checkpoint-8')\n"
        "with writer.uninterrupted():\n"
        "    while not (run.path / 'go').exists(): time.sleep(0.01)\n"
        "    (run.path / 'checkpoint-8').write_text('whole')\n"
        "    writer.update(saving='')\n"
        "    time.sleep(60)\n"
    )
    until(lambda: read_record(run).saving)
    assert "Stopping" in stop(run)
    assert "Stopping" in stop(run)
    until(lambda: read_record(run).state == "stopping")
    looks = 0
    read = launching.read_record

    def counted(of: RunDirectory) -> RunRecord:
        nonlocal looks
        looks += 1
        if looks == 4:
            (run.path / "go").touch()
        return read(of)

    monkeypatch.setattr(launching, "read_record", counted)
    assert "Killed" in stop(run, kill=True)
    assert looks >= 4
    record = ended(run)
    assert record.state == "killed"
    assert "killed on request" in describe_error(record)
    assert (run.path / "checkpoint-8").read_text() == "whole"


def test_signals_to_the_supervisor(begin: Callable[..., RunDirectory]) -> None:
    run = begin()
    supervisor = running(run).supervisor_pid
    os.kill(supervisor, signal.SIGHUP)
    os.kill(supervisor, signal.SIGTERM)
    record = ended(run)
    assert (record.state, record.exit_code, record.error) == ("stopped", 0, None)


def test_a_stop_before_the_worker_is_there(begin: Callable[..., RunDirectory]) -> None:
    run = begin(setup="import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    record = ended(run)
    assert (record.state, record.exit_code, record.pid) == ("stopped", 0, 0)


def test_a_clock_that_goes_back_stalls_nothing(run: RunDirectory) -> None:
    """Row 59: a sign of life from the future is one."""
    mine = psutil.Process()
    update_record(
        run,
        state="running",
        pid=mine.pid,
        create_time=mine.create_time(),
        heartbeat=time.time() + 5000,
        step_seconds=0.1,
        max_steps=9,
    )
    assert read_record(run).state == "running"


def stalls(run: RunDirectory) -> list[int]:
    """Steps at which the supervisor has told of a stall."""
    return [row["step"] for row in read_jsonl(run.metrics) if row.get("event") == "stalled"]


def _lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
