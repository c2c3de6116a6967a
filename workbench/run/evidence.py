"""What the system knows about the end of a process: reboots and the kernel's memory killer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path("/")


def boot_id(root: Path = ROOT) -> str:
    """What tells one start of this machine from the next; the boot time where Linux is not."""
    try:
        return (root / "proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"booted-{int(psutil.boot_time())}"


@dataclass(frozen=True)
class MemoryKills:
    """How many processes the kernel has killed for lack of memory, by the place that counts.

    Attributes:
        counts: File name and counter, such as `/sys/fs/cgroup/.../memory.events`.
    """

    counts: dict[str, int] = field(default_factory=dict)

    def risen(self, later: MemoryKills) -> list[str]:
        """One sentence for each counter that is higher later."""
        return [
            f"{name}: oom_kill rose from {before} to {later.counts[name]}"
            for name, before in self.counts.items()
            if later.counts.get(name, before) > before
        ]


def memory_kills(root: Path = ROOT) -> MemoryKills:
    """The counters as they stand: of this process's cgroup (v2 and v1) and of the whole kernel.

    What does not exist on this system is left out.
    """
    files = [root / "proc/vmstat", *_cgroup_files(root)]
    counts = {}
    for file in files:
        try:
            found = re.search(r"^oom_kill (\d+)$", file.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            counts[f"/{file.relative_to(root)}"] = int(found.group(1))
    return MemoryKills(counts)


def _cgroup_files(root: Path) -> list[Path]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    files = []
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        inner = path.lstrip("/")
        if not controllers:
            files.append(root / "sys/fs/cgroup" / inner / "memory.events")
        elif "memory" in controllers.split(","):
            files.append(root / "sys/fs/cgroup/memory" / inner / "memory.oom_control")
    return files
