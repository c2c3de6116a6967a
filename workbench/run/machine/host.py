"""The host: CPU, memory, swap, disk, and what a run's own processes take of them.

Where a container or a batch job may have less than the machine has, its limits are told
(`cgroups.py`). Each figure is read for itself, and one that cannot be read is None.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from workbench.base.text import clean
from workbench.run.machine.cgroups import CGROUPS, PROC, cpu_limit, memory_limit
from workbench.run.processes import find_process

SHORTEST_SECONDS = 0.05
"""CPU time is counted in ticks of 10 ms: a share of less than this says nothing."""
UNREADABLE = (psutil.Error, OSError, ValueError, AttributeError, RuntimeError)
T = TypeVar("T")


@dataclass(frozen=True)
class Capacity:
    """Something that fills up, in bytes."""

    total: int
    free: int

    @property
    def used(self) -> int:
        return max(0, self.total - self.free)


@dataclass(frozen=True)
class Host:
    """One look at the host; None for what is not known.

    Attributes:
        cores: CPU cores that this process may use, by affinity and limits: 2.0, or 0.5.
        cpu_percent: How busy they were since the last look, 100 = all of them.
        load: Mean number of processes that want a core, over 1, 5 and 15 minutes.
        memory: RAM, or what the container has of it. Free is what a process could get.
        disk: The file system of `folder`.
        limited: Whether cores or memory are limited below what the machine has.
    """

    name: str = ""
    cores: float | None = None
    cpu_percent: float | None = None
    load: tuple[float, float, float] | None = None
    memory: Capacity | None = None
    swap: Capacity | None = None
    disk: Capacity | None = None
    folder: str = ""
    limited: bool = False


@dataclass(frozen=True)
class WorkerUse:
    """What a run's worker takes.

    Attributes:
        cpu_percent: Of it and its children since the last look, 100 = one core.
        rss_bytes: Resident memory of the worker itself; its children share most of theirs with it.
        processes: It and its children.
    """

    pid: int
    cpu_percent: float | None = None
    rss_bytes: int | None = None
    processes: int = 1


def _ask(question: Callable[[], T]) -> T | None:
    """An answer, or None where this system has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # psutil says so where /proc lacks an entry
            return question()
    except UNREADABLE:
        return None


def memory_room(cgroups: Path = CGROUPS, proc: Path = PROC) -> Capacity | None:
    """RAM, or what the container that this runs in has of it."""
    memory = _ask(lambda: psutil.virtual_memory())
    if memory is None:
        return None
    total, free = int(memory.total), int(memory.available)
    if limit := memory_limit(cgroups, proc):
        total, free = min(total, limit.total_bytes), min(free, limit.free_bytes)
    return Capacity(total, free)


def disk_room(folder: Path) -> Capacity | None:
    """The disk of a folder, or of its nearest parent that is there, as this user may fill it."""
    for place in (folder, *folder.parents):
        if usage := _ask(lambda place=place: shutil.disk_usage(place)):  # type: ignore[misc]
            # What only root may fill is neither used nor free.
            return Capacity(usage.used + usage.free, usage.free)
    return None


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may run on; only Linux tells."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def core_count(cgroups: Path = CGROUPS, proc: Path = PROC) -> float:
    """How many cores this process may keep busy."""
    cores, limit = len(usable_cores()), cpu_limit(cgroups, proc)
    return min(float(cores), limit.cores) if limit else float(cores)


@dataclass
class HostReader:
    """Looks again and again, so that shares of time can be told.

    Args:
        folder: Whose disk is told.
        clock: Seconds, for the time between looks.
    """

    folder: Path
    clock: Callable[[], float] = time.monotonic
    cgroups: Path = CGROUPS
    proc: Path = PROC
    _cores: tuple[float, float] | None = field(default=None, init=False)
    _group: tuple[float, float] | None = field(default=None, init=False)
    _percent: float | None = field(default=None, init=False)

    def read(self) -> Host:
        """One look. Never raises; the first one knows no share of CPU time."""
        memory = memory_room(self.cgroups, self.proc)
        whole = _ask(lambda: psutil.virtual_memory().total)
        cores = _ask(lambda: core_count(self.cgroups, self.proc))
        fewer = cores is not None and cores < (os.cpu_count() or 0)
        less = bool(memory and whole and memory.total < whole)
        return Host(
            name=clean(_ask(socket.gethostname) or "", newlines=False),
            cores=cores,
            cpu_percent=_ask(self._cpu_percent),
            load=_ask(lambda: os.getloadavg()),
            memory=memory,
            swap=_swap(),
            disk=disk_room(self.folder),
            folder=str(self.folder),
            limited=fewer or less,
        )

    def _cpu_percent(self) -> float | None:
        """Of the cores, or of the group's limit where that is lower."""
        limit, mine = cpu_limit(self.cgroups, self.proc), usable_cores()
        if limit and limit.used_seconds is not None and limit.cores < len(mine):
            now = (limit.used_seconds, self.clock() * limit.cores)
            before, self._group = self._group, now
        else:
            now = _core_times(mine)
            before, self._cores = self._cores, now
        if before is None:
            return None
        busy, total = now[0] - before[0], now[1] - before[1]
        if total >= SHORTEST_SECONDS:
            self._percent = min(100.0, max(0.0, 100 * busy / total))
        return self._percent


def _core_times(cores: list[int]) -> tuple[float, float]:
    """Seconds that these cores have worked, and have been there, since the machine started."""
    busy = total = 0.0
    times = psutil.cpu_times(percpu=True)
    for number in cores:
        core: Any = times[number] if number < len(times) else None
        if core is None:
            continue
        # A guest's time is counted as user and nice time already.
        guests = getattr(core, "guest", 0.0) + getattr(core, "guest_nice", 0.0)
        whole = sum(core) - guests
        total += whole
        busy += whole - core.idle - getattr(core, "iowait", 0.0)
    return busy, total


def _swap() -> Capacity | None:
    swap = _ask(lambda: psutil.swap_memory())
    return Capacity(int(swap.total), int(swap.free)) if swap and swap.total else None


class WorkerReader:
    """Looks at a run's worker again and again.

    Args:
        clock: Seconds, for the time between looks.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: dict[tuple[int, float], float] = {}
        self._asked: float | None = None

    def read(self, pid: int, create_time: float, *, together: bool = False) -> WorkerUse | None:
        """One look at a process by pid and create time; None where it is not there.

        Args:
            together: Whether it is a launcher, whose processes hold the memory. Helpers of a worker
                alone share its pages and would count twice.
        """
        worker = find_process(pid, create_time)
        if worker is None:
            self._seconds, self._asked = {}, None
            return None
        children = _ask(lambda: worker.children(recursive=True)) or []
        seconds: dict[tuple[int, float], float] = {}
        for process in (worker, *children):
            born, times = _ask(process.create_time), _ask(process.cpu_times)
            if born is not None and times is not None:
                seconds[process.pid, born] = times.user + times.system
        holders = (worker, *children) if together else (worker,)
        memories = [memory.rss for one in holders if (memory := _ask(one.memory_info))]
        return WorkerUse(
            pid, self._percent(seconds), sum(memories) if memories else None, 1 + len(children)
        )

    def _percent(self, seconds: dict[tuple[int, float], float]) -> float | None:
        now, before = self._clock(), self._asked
        known, self._seconds, self._asked = self._seconds, seconds, now
        if before is None or now - before < SHORTEST_SECONDS:
            return None
        # A child that is new has taken all of its time since then.
        new = sum(time - known.get(key, 0.0) for key, time in seconds.items())
        return max(0.0, 100 * new / (now - before))
