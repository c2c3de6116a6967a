from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from workbench.base.paths import Paths
from workbench.recipe.recipe import Recipe
from workbench.run.directory import RunDirectory, create_run
from workbench.run.launch import describe_error
from workbench.run.record import is_active, is_alive, read_record, update_record


@pytest.fixture
def run(make_recipe: Callable[..., Recipe], paths: Paths) -> RunDirectory:
    return create_run(paths, make_recipe())


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child
    child.kill()
    child.communicate()


def test_a_live_worker(run: RunDirectory, process: subprocess.Popen[bytes]) -> None:
    created = psutil.Process(process.pid).create_time()
    update_record(run, state="running", pid=process.pid, create_time=created, step=3)
    record = read_record(run)
    assert (record.state, record.step) == ("running", 3)
    assert is_active(record)


def test_a_dead_worker_is_lost(run: RunDirectory, process: subprocess.Popen[bytes]) -> None:
    """Row 46: it stays a zombie, since its parent does not wait."""
    created = psutil.Process(process.pid).create_time()
    update_record(run, state="running", pid=process.pid, create_time=created)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but a zombie still
    record = read_record(run)
    assert record.state == "lost"
    assert "left no end record" in describe_error(record)
    assert '"state": "running"' in run.record.read_text()  # a reader never writes


def test_a_recycled_pid_is_not_the_worker(run: RunDirectory) -> None:
    update_record(run, state="running", pid=os.getpid(), create_time=1.0)
    assert read_record(run).state == "lost"


def test_a_worker_without_pid_has_a_moment_to_start(run: RunDirectory) -> None:
    assert is_alive(update_record(run, state="starting", pid=0, started=time.time()))
    assert not is_alive(update_record(run, state="starting", pid=0, started=time.time() - 60))


def test_another_hosts_run_is_believed(run: RunDirectory) -> None:
    update_record(run, state="running", pid=1, create_time=1.0, host="elsewhere")
    assert read_record(run).state == "running"


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", '{"state": "odd"}', '{"state": ', "\x00"),
        *('{"created": "yesterday"}', '{"stages": "sft"}', '{"notes": null}', '{"error": "x"}'),
    ],
)
def test_an_unreadable_record_is_lost_with_its_reason(run: RunDirectory, content: str) -> None:
    run.record.write_text(content)
    record = read_record(run)
    assert record.state == "lost"
    assert "run.json cannot be read" in describe_error(record)


def test_fields_of_a_newer_version_are_ignored(run: RunDirectory) -> None:
    text = run.record.read_text().replace('"version": 1', '"version": 9, "colour": "red"')
    run.record.write_text(text)
    assert read_record(run).state == "queued"
