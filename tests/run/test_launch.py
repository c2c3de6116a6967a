from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import psutil
import pytest

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.recipe import Recipe
from workbench.run import launch as launching
from workbench.run.directory import RunDirectory, create_run
from workbench.run.record import read_record, update_record

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


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.02)


@pytest.fixture
def run(make_recipe: Callable[..., Recipe], paths: Paths) -> RunDirectory:
    return create_run(paths, make_recipe("model_name_or_path: m\nenv: {OMP_NUM_THREADS: 3}\n"))


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: RunDirectory) -> Iterator[None]:
    """A worker of a few lines stands in for the real one, which needs seconds to import."""
    (tmp_path / "stand_in.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(launching, "WORKER", "stand_in")
    yield
    pid = read_record(run).pid
    if pid and psutil.pid_exists(pid):
        psutil.Process(pid).kill()


@pytest.mark.usefixtures("worker")
def test_the_worker_is_detached_and_its_output_kept(run: RunDirectory) -> None:
    pid = launching.launch(run)
    seen = run.path / "seen.json"
    until(lambda: seen.exists() and seen.read_text().endswith("}"))
    facts = json.loads(seen.read_text())
    assert facts["pid"] == pid
    assert facts["sid"] == pid != os.getsid(0)
    assert facts["stdin"] == Path(os.devnull).stat().st_rdev
    assert facts["threads"] == "3"
    assert "hello" in run.log.read_text()
    assert run.log.stat().st_mode & 0o077 == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
    record = read_record(run)
    assert (record.state, record.pid) == ("starting", pid)
    assert "Stopping" in launching.stop(run)
    until(lambda: "worker stops" in run.log.read_text())
    until(lambda: read_record(run).state == "lost")


@pytest.mark.usefixtures("worker")
def test_kill(run: RunDirectory) -> None:
    launching.launch(run)
    with pytest.raises(ProblemError, match="the run is starting"):
        launching.delete(run)
    with pytest.raises(ProblemError, match="the run is starting"):
        launching.resume(run)
    assert "Killed" in launching.stop(run, kill=True)
    until(lambda: read_record(run).state == "lost")
    with pytest.raises(ProblemError, match="not running"):
        launching.stop(run)


def test_no_second_worker(run: RunDirectory) -> None:
    with (
        filelock.FileLock(run.lock),
        pytest.raises(ProblemError, match="another worker is at work"),
    ):
        launching.launch(run)


def test_a_finished_run_is_not_resumed(run: RunDirectory) -> None:
    update_record(run, state="finished")
    with pytest.raises(ProblemError, match="finished already"):
        launching.resume(run)


def test_deleting(run: RunDirectory) -> None:
    launching.delete(run)
    assert not run.path.exists()


def test_a_worker_that_cannot_start(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching.sys, "executable", "/nowhere/python")
    with pytest.raises(ProblemError, match="cannot start the worker"):
        launching.launch(run)
    assert read_record(run).state == "failed"
