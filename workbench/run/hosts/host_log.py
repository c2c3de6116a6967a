"""What an agent tells of its host, written where the first host's readers look for it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

from workbench.base.files import is_number
from workbench.base.text import clean
from workbench.run.directory import RunDirectory
from workbench.run.ranks import parse_rank, rank_log, write_rank
from workbench.run.worker_events import Event

LINES_AT_ONCE = 2000
LINE_LETTERS = 4096


class HostLog:
    """Keeps one host's news; called on the link's reading thread.

    Attributes:
        host: Its name.
        ranks: The numbers of the processes there; what it says of others is not believed.
        code: Exit code of its launcher, None while it is at work.
        reason: Why that did not start, empty where it did.
        ended_at: When it was told, by the monotonic clock.
    """

    def __init__(self, run: RunDirectory, host: str, say: Callable[[str], None]) -> None:
        self.host = host
        self.ranks = range(0)
        self.code: int | None = None
        self.reason = ""
        self.ended_at = 0.0
        self._run = run
        self._say = say

    def take(self, event: Event) -> None:
        """Keep one piece of news; what makes no sense is left out."""
        with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
            match event["event"]:
                case "exit":
                    self.reason = clean(str(event.get("reason", "")), newlines=False)
                    self.ended_at = time.monotonic()
                    self.code = int(event["code"])
                case "said":
                    for line in _texts(event["lines"]):
                        self._say(f"[{self.host}] {clean(line, newlines=False)}")
                case "rank":
                    write_rank(self._run, parse_rank(self._rank(event), event["record"]))
                case "log":
                    self._append(self._rank(event), _texts(event["lines"]))

    def _rank(self, event: Event) -> int:
        rank = event["rank"]
        if not is_number(rank) or rank not in self.ranks:
            raise ValueError("another host's process")
        return int(rank)

    def _append(self, rank: int, lines: list[str]) -> None:
        handle = os.open(
            rank_log(self._run, rank), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600
        )
        with os.fdopen(handle, "a", encoding="utf-8", errors="replace") as log:
            log.writelines(f"{line}\n" for line in lines)


def _texts(lines: Any) -> list[str]:
    if not isinstance(lines, list):
        raise TypeError("no list of lines")
    return [str(line)[:LINE_LETTERS] for line in lines[:LINES_AT_ONCE]]
