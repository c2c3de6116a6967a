"""The processes of a run that trains with several: one small file each, and a log.

`ranks/N.json` is written by the process of rank N alone, so that no two write one file, and says
what the supervisor cannot know: its pid, how far it is, and what ended it. `ranks/N.log` is what it
prints; rank 0 prints into train.log.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import socket
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from workbench.base.files import is_number, json_safe, write_atomic
from workbench.base.tail import read_small
from workbench.run.directory import RunDirectory
from workbench.run.processes import find_process

FILE = re.compile(r"(\d{1,6})\.json")


@dataclass
class RankRecord:
    """The content of `ranks/N.json`.

    Attributes:
        rank: Its number among all processes of the run.
        host, pid, create_time: Which process it is.
        started, heartbeat, ended: Unix seconds; `ended` is 0 while it lives, and stays so where
            it was killed.
        step: Its optimizer step.
        state: The end state that its error means, empty where it has none.
        error: `what`, `where`, `next_step` of what ended it.
        follows: Whether that only says that another process had gone.
        values: Its speed and where its time goes, by name; see `worker/rank_clock.py`.
    """

    rank: int
    host: str = ""
    pid: int = 0
    create_time: float = 0.0
    started: float = 0.0
    heartbeat: float = 0.0
    ended: float = 0.0
    step: int = 0
    state: str = ""
    error: dict[str, str] | None = None
    follows: bool = False
    values: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`rank 1`, with its host where that is another one."""
        here = self.host in ("", socket.gethostname())
        return f"rank {self.rank}" if here else f"rank {self.rank} on {self.host}"


def folder(run: RunDirectory) -> Path:
    """Where the files of a run's processes are."""
    return run.path / "ranks"


def rank_file(run: RunDirectory, rank: int) -> Path:
    """The record of one process."""
    return folder(run) / f"{rank}.json"


def rank_log(run: RunDirectory, rank: int) -> Path:
    """What one process prints."""
    return run.log if rank == 0 else folder(run) / f"{rank}.log"


def write_rank(run: RunDirectory, record: RankRecord) -> None:
    """Replace the record of one process.

    Raises:
        OSError: It cannot be written.
    """
    content = json.dumps(json_safe(dataclasses.asdict(record)), indent=1, ensure_ascii=False)
    write_atomic(rank_file(run, record.rank), content)


def read_ranks(run: RunDirectory) -> list[RankRecord]:
    """The records of a run's processes by their number; what cannot be read is left out."""
    try:
        names = [file.name for file in folder(run).iterdir()]
    except OSError:
        return []
    numbers = sorted(int(found[1]) for name in names if (found := FILE.fullmatch(name)))
    return [record for rank in numbers if (record := _read(run, rank)) is not None]


def _read(run: RunDirectory, rank: int) -> RankRecord | None:
    try:
        raw = json.loads(read_small(rank_file(run, rank)))
        return parse_rank(rank, raw)
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def parse_rank(rank: int, raw: object) -> RankRecord:
    """A record as read from a file.

    Raises:
        ValueError, TypeError: It is none.
    """
    if not isinstance(raw, dict):
        raise ValueError("not a JSON object")
    names = {one.name for one in dataclasses.fields(RankRecord)} - {"rank"}
    record = RankRecord(rank, **{key: value for key, value in raw.items() if key in names})
    for name in ("pid", "create_time", "started", "heartbeat", "ended", "step"):
        if not is_number(getattr(record, name)):
            raise ValueError(f"{name} is no number")
    if not isinstance(record.host, str) or not isinstance(record.state, str):
        raise ValueError("host or state is no text")
    error = record.error if isinstance(record.error, dict) else None
    record.error = {str(name): str(said) for name, said in error.items()} if error else None
    values: dict[Any, Any] = record.values if isinstance(record.values, dict) else {}
    record.values = {str(name): float(one) for name, one in values.items() if is_number(one)}
    return record


def forget_ranks(run: RunDirectory) -> None:
    """Make room for the records of a new start; the logs stay, and grow."""
    folder(run).mkdir(mode=0o700, exist_ok=True)
    for record in read_ranks(run):
        rank_file(run, record.rank).unlink(missing_ok=True)


def processes_here(run: RunDirectory) -> list[psutil.Process]:
    """The live processes of a run's ranks on this machine."""
    found = []
    for record in read_ranks(run):
        if record.host == socket.gethostname():
            process = find_process(record.pid, record.create_time)
            if process is not None:
                found.append(process)
    return found


def signal_ranks(
    run: RunDirectory, number: int, except_for: Container[int] = frozenset()
) -> set[int]:
    """Send a signal to the run's processes on this machine but for some; the pids it went to."""
    told = set()
    for process in processes_here(run):
        if process.pid in except_for:
            continue
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
            told.add(process.pid)
    return told
