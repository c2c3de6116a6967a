"""Which of several processes ended a run, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.base.problems import Problem
from workbench.run.ranks import RankRecord

EXIT = re.compile(r"exitcode\s*: (-?\d{1,3}) \(pid: (\d{1,10})\)")
"""How torchrun tells of each process that failed, at the end of its log."""
ROOT = "Root Cause (first observed failure)"
TOGETHER_SECONDS = 2.0
"""What ends all processes ends them within so short a time; rank 0 then speaks for them."""


@dataclass(frozen=True)
class Cause:
    """The process that ended a run.

    Attributes:
        record: Its last words.
        code: Its exit code, negative for a signal; None where nobody has seen it.
    """

    record: RankRecord
    code: int | None = None

    @property
    def problem(self) -> Problem | None:
        """What it said itself, with its name; None where it was killed without a word."""
        error = self.record.error
        if error is None:
            return None
        says = " lost another process" if self.record.follows else ""
        what = f"{self.record.name}{says}: {error.get('what', '')}"
        return Problem(what, error.get("where", ""), error.get("next_step", ""))


def find_cause(ranks: Sequence[RankRecord], log: str = "") -> Cause | None:
    """The process that ended a run; None where no record tells.

    An error of a process's own goes before a process that is gone without a word, and that one
    before an error which only says that another process has gone.

    Args:
        ranks: What the processes said.
        log: The end of the launcher's log.
    """
    codes = {int(pid): int(code) for code, pid in EXIT.findall(log)}
    own = [one for one in ranks if one.error is not None and not one.follows]
    if own:
        first = min(own, key=lambda one: one.ended)
        together = [one for one in own if one.ended - first.ended < TOGETHER_SECONDS]
        chosen = min(together, key=lambda one: one.rank)
        return Cause(chosen, codes.get(chosen.pid))
    silent = [one for one in ranks if not one.ended]
    if silent:
        root = EXIT.search(log, log.rfind(ROOT)) if ROOT in log else None
        pid = int(root[2]) if root else 0
        chosen = next((one for one in silent if one.pid == pid), silent[0])
        return Cause(chosen, codes.get(chosen.pid))
    following = [one for one in ranks if one.error is not None]
    if not following:
        return None
    chosen = min(following, key=lambda one: one.ended)
    return Cause(chosen, codes.get(chosen.pid))


def last_words(ranks: Sequence[RankRecord]) -> list[str]:
    """A sentence for each process about its end, as evidence."""
    said = []
    for one in ranks:
        if one.error is not None:
            said.append(f"{one.name} at step {one.step}: {one.error.get('what', '')}")
        elif not one.ended:
            said.append(f"{one.name} ended at step {one.step} without a word")
    return said
