"""Host figures and control groups, by folders and clocks that the test supplies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from workbench.run.machine import host
from workbench.run.machine.cgroups import CpuLimit, MemoryLimit, cpu_limit, memory_limit
from workbench.run.machine.host import (
    Capacity,
    HostReader,
    WorkerReader,
    core_count,
    disk_room,
    memory_room,
)

Times = namedtuple("Times", "user nice system idle iowait guest guest_nice")


class Clock:
    """Seconds that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A process of the job 7 of a batch system."""
    folder = tmp_path / "proc" / "self"
    folder.mkdir(parents=True)
    (folder / "cgroup").write_text(
        "4:memory:/slurm/job_7\n3:cpu,cpuacct:/slurm/job_7\n0::/slurm/job_7\n"
    )
    return tmp_path / "proc"


def test_no_group_is_no_limit(tmp_path: Path, proc: Path) -> None:
    assert memory_limit(tmp_path / "none", proc) is None
    assert cpu_limit(tmp_path / "none", proc) is None
    write(tmp_path / "top", memory__max="max\n", memory__current="5\n", cpu__max="max 100000\n")
    assert memory_limit(tmp_path / "top", tmp_path / "no-proc") is None
    assert cpu_limit(tmp_path / "top", tmp_path / "no-proc") is None


def test_the_tightest_of_nested_groups_counts(tmp_path: Path, proc: Path) -> None:
    top = write(tmp_path / "top", memory__max="9000", memory__current="8500", cpu__max="max 9")
    write(top / "slurm", memory__max="8000", memory__current="1000", cpu__max="400000 100000")
    write(
        top / "slurm" / "job_7",
        memory__max="max",
        memory__current="900",
        cpu__max="150000 100000",
        cpu__stat="usage_usec 2500000\nuser_usec 1\n",
    )
    # The limit of one and what is left of another.
    assert memory_limit(top, proc) == MemoryLimit(8000, 500)
    assert cpu_limit(top, proc) == CpuLimit(1.5, 2.5)


def test_groups_of_version_1(tmp_path: Path, proc: Path) -> None:
    top = tmp_path / "top"
    write(
        top / "memory/slurm/job_7",
        memory__limit_in_bytes="4000",
        memory__usage_in_bytes="3000",
        memory__stat="cache 9\ntotal_inactive_file 500\n",
    )
    write(top / "memory", memory__limit_in_bytes=str(2**63), memory__usage_in_bytes="3000")
    write(top / "cpu/slurm/job_7", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    write(top / "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    write(top / "cpuacct/slurm/job_7", cpuacct__usage="3000000000")
    assert memory_limit(top, proc) == MemoryLimit(4000, 1500)
    assert cpu_limit(top, proc) == CpuLimit(2.0, 3.0)


def test_a_group_outside_of_the_container_is_its_top(tmp_path: Path, proc: Path) -> None:
    (proc / "self/cgroup").write_text("0::/../../other\n")
    top = write(tmp_path / "top", memory__max="700", memory__current="800")
    write(tmp_path / "other", memory__max="1", memory__current="0")
    assert memory_limit(top, proc) == MemoryLimit(700, 0)


@pytest.mark.parametrize("text", ["", "many few", "0 100000", "5 0", "\xff", "1" * 30])
def test_groups_that_make_no_sense(text: str, tmp_path: Path, proc: Path) -> None:
    top = write(tmp_path / "top", cpu__max=text, memory__max=text, memory__current="x")
    assert memory_limit(top, proc) is None
    assert cpu_limit(top, proc) is None


def test_memory_and_cores_are_those_of_the_container(tmp_path: Path, proc: Path) -> None:
    top = write(tmp_path / "top", memory__max="3000000", memory__current="2000000")
    write(top, cpu__max="50000 100000")
    assert memory_room(top, proc) == Capacity(3000000, 1000000)
    assert core_count(top, proc) == 0.5
    whole = memory_room(tmp_path / "none", proc)
    assert whole is not None
    assert whole.total == psutil.virtual_memory().total
    assert 0 < whole.used < whole.total
    seen = HostReader(tmp_path, cgroups=top, proc=proc).read()
    assert (seen.limited, seen.cores, seen.memory) == (True, 0.5, Capacity(3000000, 1000000))


def test_cpu_share_is_that_of_the_cores_that_may_be_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    idle = Times(1, 0, 1, 10, 3, 1, 0)
    looks = [
        [Times(9, 9, 9, 9, 9, 0, 0), idle],
        # Core 1: 3 of 4 seconds at work, one of them a guest's and counted twice, 1 waiting.
        [Times(99, 9, 9, 9, 9, 0, 0), Times(3, 0, 2, 10, 4, 2, 0)],
    ]
    monkeypatch.setattr(host, "usable_cores", lambda: [1, 5])
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: looks.pop(0))
    reader = HostReader(tmp_path, cgroups=tmp_path / "none")
    assert reader.read().cpu_percent is None
    assert reader.read().cpu_percent == 75.0


def test_cpu_share_of_a_limited_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proc: Path
) -> None:
    monkeypatch.setattr(host, "usable_cores", lambda: list(range(64)))
    top = write(tmp_path / "top", cpu__max="200000 100000", cpu__stat="usage_usec 1000000\n")
    clock = Clock()
    reader = HostReader(tmp_path, clock, top, proc)
    reader.read()
    clock.now += 4
    write(top, cpu__stat="usage_usec 7000000\n")
    seen = reader.read()
    assert (seen.cpu_percent, seen.cores) == (75.0, 2.0)
    # Nothing can be said of a moment; what was said stays.
    assert reader.read().cpu_percent == 75.0


@pytest.mark.parametrize("error", [OSError, psutil.AccessDenied, AttributeError, ValueError])
def test_what_cannot_be_read_is_none_and_nothing_else_is(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> object:
        raise error()

    for name in ("virtual_memory", "swap_memory", "cpu_times"):
        monkeypatch.setattr(psutil, name, fail)
    monkeypatch.setattr(os, "getloadavg", fail)
    seen = HostReader(tmp_path).read()
    assert (seen.memory, seen.swap, seen.cpu_percent, seen.load) == (None, None, None, None)
    assert seen.disk is not None


def test_the_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert disk_room(tmp_path / "a" / "b") is not None
    room = Capacity(10, 12)
    assert room.used == 0


@pytest.fixture
def worker() -> Iterator[psutil.Process]:
    """A process with one child; both work."""
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'while True: pass'])\n"
        "print(flush=True)\n"
        "sys.stdin.read()\nchild.kill(); child.wait()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield psutil.Process(process.pid)


def test_a_worker_counts_with_its_children(worker: psutil.Process) -> None:
    clock = Clock()
    reader = WorkerReader(clock)
    first = reader.read(worker.pid, worker.create_time())
    assert first is not None
    assert (first.cpu_percent, first.processes) == (None, 2)
    assert first.rss_bytes is not None
    assert first.rss_bytes > 10**6
    (child,) = worker.children()
    begun = sum(child.cpu_times()[:2])
    while sum(child.cpu_times()[:2]) < begun + 0.1:
        pass
    clock.now += 0.1
    later = reader.read(worker.pid, worker.create_time())
    assert later is not None
    assert later.cpu_percent is not None
    assert later.cpu_percent >= 90


def test_a_recycled_pid_is_nobody(worker: psutil.Process) -> None:
    assert WorkerReader().read(worker.pid, worker.create_time() - 60) is None
    assert WorkerReader().read(0, 0.0) is None
