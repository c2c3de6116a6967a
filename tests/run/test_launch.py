from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import pytest
from run_helpers import stand_in, until

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.recipe import Recipe
from workbench.run import launch as launching
from workbench.run.directory import RunDirectory, create_run
from workbench.run.launch import describe_error
from workbench.run.processes import end_processes
from workbench.run.record import has_ended, read_record, update_record

WORKER = """\
import json, os, signal, sys
from pathlib import Path
run = Path(sys.argv[1])
assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, [])  # kept until it listens
print("worker says hello", flush=True)
(run / "seen.json").write_text(json.dumps({
    "sid": os.getsid(0), "pid": os.getpid(), "stdin": os.fstat(0).st_rdev,
    "threads": os.environ.get("OMP_NUM_THREADS"),
}))
signal.sigwait([signal.SIGTERM])
print("worker stops", flush=True)
"""


@pytest.fixture
def run(make_recipe: Callable[..., Recipe], paths: Paths) -> RunDirectory:
    return create_run(paths, make_recipe("model_name_or_path: m\nenv: {OMP_NUM_THREADS: 3}\n"))


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: RunDirectory) -> Iterator[None]:
    """A worker of a few lines stands in for the real one, which needs seconds to import."""
    stand_in(monkeypatch, tmp_path, WORKER)
    yield
    end_processes(run)


@pytest.mark.usefixtures("worker")
def test_the_worker_is_detached_and_its_output_kept(run: RunDirectory) -> None:
    pid = launching.launch(run)
    record = read_record(run)
    assert (record.state, record.supervisor_pid) == ("starting", pid)
    assert os.getsid(pid) == pid != os.getsid(0)
    seen = run.path / "seen.json"
    until(lambda: seen.exists() and seen.read_text().endswith("}"))
    facts = json.loads(seen.read_text())
    assert facts["sid"] == facts["pid"] not in (pid, os.getsid(0))
    assert facts["stdin"] == Path(os.devnull).stat().st_rdev
    assert facts["threads"] == "3"
    assert "hello" in run.log.read_text()
    assert run.log.stat().st_mode & 0o077 == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
    assert "Stopping" in launching.stop(run)
    until(lambda: "worker stops" in run.log.read_text())
    until(lambda: has_ended(read_record(run)))


@pytest.mark.usefixtures("worker")
def test_kill(run: RunDirectory) -> None:
    launching.launch(run)
    with pytest.raises(ProblemError, match="the run is starting"):
        launching.delete(run)
    with pytest.raises(ProblemError, match="the run is starting"):
        launching.resume(run)
    until(lambda: (run.path / "seen.json").exists())
    assert "Killed" in launching.stop(run, kill=True)
    until(lambda: has_ended(read_record(run)))
    record = read_record(run)
    assert (record.state, record.signal, record.exit_code) == ("killed", 9, -9)
    assert "killed on request" in describe_error(record)
    assert launching.stop(run) == "The run is killed; there is nothing to stop."


@pytest.mark.parametrize("lock", ["run.lock", "supervisor.lock"])
def test_no_second_worker(run: RunDirectory, lock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "LOCK_SECONDS", 0.1)
    with (
        filelock.FileLock(run.path / lock),
        pytest.raises(ProblemError, match="another process is at work"),
    ):
        launching.launch(run)
    assert read_record(run).state == "queued"


@pytest.mark.usefixtures("worker")
def test_of_two_launches_at_once_one_wins_and_the_other_is_told(run: RunDirectory) -> None:
    """Row 13."""
    launching.LOCK_SECONDS, patience = 0.2, launching.LOCK_SECONDS
    start = threading.Barrier(2)
    told: list[str] = []

    def launch() -> None:
        start.wait()
        try:
            told.append(f"pid {launching.launch(run)}")
        except ProblemError as error:
            told.append(str(error))

    threads = [threading.Thread(target=launch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    launching.LOCK_SECONDS = patience
    winner, loser = sorted(told, key=lambda text: not text.startswith("pid"))
    assert winner == f"pid {read_record(run).supervisor_pid}"
    assert "at work on this run" in loser
    # The winner may not have a worker yet that could be found and ended.
    launching.stop(run, kill=True)
    until(lambda: has_ended(read_record(run)))


def test_a_finished_run_is_not_resumed(run: RunDirectory) -> None:
    """Row 35."""
    update_record(run, state="finished")
    with pytest.raises(ProblemError, match="finished already"):
        launching.resume(run)


def test_deleting(run: RunDirectory) -> None:
    launching.delete(run)
    assert not run.path.exists()


def test_a_supervisor_that_cannot_start(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching.sys, "executable", "/nowhere/python")
    with pytest.raises(ProblemError, match="cannot start the run: No such file"):
        launching.launch(run)
    assert read_record(run).state == "failed"


def test_a_supervisor_that_ends_at_once(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "SUPERVISOR", "no_such_module")
    with pytest.raises(ProblemError, match="its supervisor ended with exit code 1"):
        launching.launch(run)
    assert read_record(run).state == "failed"
    assert "No module named" in run.log.read_text()


def test_a_run_whose_recipe_was_broken_is_not_begun(run: RunDirectory) -> None:
    before = run.record.read_text()
    run.recipe.write_text("beta: [1,\n")
    with pytest.raises(ProblemError, match=r"recipe\.yaml"):
        launching.launch(run)
    assert run.record.read_text() == before


def test_a_run_of_another_machine_is_stopped_there(run: RunDirectory) -> None:
    update_record(run, state="running", pid=1, create_time=1.0, host="elsewhere")
    with pytest.raises(ProblemError, match="runs on another machine, elsewhere"):
        launching.stop(run)
