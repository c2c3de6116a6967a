"""What a container, a batch job or a user's slice may have of the machine: control groups.

Groups of version 2 lie in one tree, those of version 1 in one tree for each controller. A process
is bound by its own group and by all that it lies in; in a container the top of the tree is often
its own group. What cannot be read is no limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.run.kernel_files import as_number, number_of, text_of

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")
MICRO, NANO = 1e-6, 1e-9


@dataclass(frozen=True)
class MemoryLimit:
    """The tightest limits of memory: bytes in all, and bytes that are left."""

    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class CpuLimit:
    """The tightest limit of CPU time.

    Attributes:
        cores: CPU seconds a second, such as 2.0 or 0.5.
        used_seconds: CPU time that the group has taken in all, None where it is not told.
    """

    cores: float
    used_seconds: float | None = None


def memory_limit(cgroups: Path = CGROUPS, proc: Path = PROC) -> MemoryLimit | None:
    """What memory this process may have; None without a limit."""
    found = []
    for names, controller in (
        (("memory.max", "memory.current", "inactive_file"), ""),
        (("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"), "memory"),
    ):
        limit_file, used_file, idle = names
        for folder in _groups(controller, cgroups, proc):
            limit, used = number_of(folder / limit_file), number_of(folder / used_file)
            if limit is None or used is None:
                continue
            # Pages of files that were read count as used, and go when they are in the way.
            free = limit - used + _entry(folder / "memory.stat", idle)
            found.append((limit, max(0, free)))
    if not found:
        return None
    return MemoryLimit(min(limit for limit, _ in found), min(free for _, free in found))


def cpu_limit(cgroups: Path = CGROUPS, proc: Path = PROC) -> CpuLimit | None:
    """What CPU time this process may have; None without a limit."""
    found = [*_new_quotas(cgroups, proc), *_old_quotas(cgroups, proc)]
    return min(found, key=lambda limit: limit.cores, default=None)


def _new_quotas(cgroups: Path, proc: Path) -> Iterator[CpuLimit]:
    for folder in _groups("", cgroups, proc):
        quota, _, period = text_of(folder / "cpu.max").partition(" ")
        if (cores := _cores(quota, period)) is not None:
            used = _entry(folder / "cpu.stat", "usage_usec")
            yield CpuLimit(cores, used * MICRO if used else None)


def _old_quotas(cgroups: Path, proc: Path) -> Iterator[CpuLimit]:
    for folder in _groups("cpu", cgroups, proc):
        quota, period = (text_of(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if (cores := _cores(quota, period)) is not None:
            beside = cgroups / "cpuacct" / folder.relative_to(cgroups / "cpu")
            used = number_of(beside / "cpuacct.usage")
            yield CpuLimit(cores, None if used is None else used * NANO)


def _cores(quota: str, period: str) -> float | None:
    try:
        granted, every = int(quota), int(period)
    except ValueError:  # "max", or nothing
        return None
    return granted / every if granted > 0 and every > 0 else None


def _groups(controller: str, cgroups: Path, proc: Path) -> list[Path]:
    """The folders of this process's group and of those that it lies in, the top one last.

    Args:
        controller: Of version 1; empty for version 2.
    """
    top = cgroups / controller
    for line in text_of(proc / "self/cgroup").splitlines():
        _, named, inner = (*line.split(":", 2), "", "")[:3]
        if controller in named.split(","):
            place = Path(inner.lstrip("/"))
            if ".." not in place.parts:
                return [top / folder for folder in (place, *place.parents)]
    return [top]


def _entry(file: Path, name: str) -> int:
    """A counter of a file of names and numbers, 0 where it is not there."""
    for line in text_of(file).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return as_number(value.strip()) or 0
    return 0
