"""What a process that trains together with others says of itself, in `ranks/N.json`."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Mapping

import psutil

from workbench.base.problems import Problem
from workbench.run.directory import RunDirectory
from workbench.run.ranks import RankRecord, write_rank
from workbench.run.record import as_error
from workbench.worker.explain import causes

SECONDS = 2.0
"""Between two signs of life; many processes may write to one shared file system."""
PEER_WORDS = re.compile(r"gloo|NCCL|ProcessGroup|TCPStore|DistStore", re.IGNORECASE)
PEER_ERRORS = ("DistBackendError", "DistNetworkError", "DistStoreError")


class RankFile:
    """Keeps the record of this process; of a run of one process there is none.

    Args:
        rank: None writes nothing.
    """

    def __init__(self, run: RunDirectory, rank: int | None) -> None:
        self._run = run
        now = time.time()
        self.record = RankRecord(
            rank or 0,
            host=socket.gethostname(),
            pid=os.getpid(),
            create_time=psutil.Process().create_time(),
            started=now,
            heartbeat=now,
        )
        self._writes = rank is not None
        self._written = 0.0
        self._write()

    def tick(self, step: int = 0) -> None:
        """Sign of life, at most one every two seconds."""
        self.record.step = step or self.record.step
        if time.time() - self._written >= SECONDS:
            self.record.heartbeat = time.time()
            self._write()

    def tell(self, values: Mapping[str, float]) -> None:
        """Keep how fast this process is, and where its time goes."""
        self.record.values.update(values)
        self.record.heartbeat = time.time()
        self._write()

    def end(
        self,
        error: BaseException | None = None,
        problem: Problem | None = None,
        state: str = "",
    ) -> None:
        """The last word of this process: what has ended it, and which end state that means."""
        self.record.ended = time.time()
        self.record.state = state
        if problem is not None:
            self.record.error = as_error(problem.what, problem.where, problem.next_step)
            self.record.follows = error is not None and is_of_a_peer(error)
        self._write()

    def _write(self) -> None:
        self._written = time.time()
        if self._writes:
            with contextlib.suppress(OSError):
                write_rank(self._run, self.record)


def is_of_a_peer(error: BaseException) -> bool:
    """Whether an error only says that another process, or the way to it, is gone."""
    return any(
        type(cause).__name__ in PEER_ERRORS
        or (isinstance(cause, RuntimeError) and PEER_WORDS.search(str(cause)) is not None)
        for cause in causes(error)
    )
