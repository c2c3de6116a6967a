"""Workers of a few lines in place of the real one, and waiting for what they do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.run.directory import RunDirectory
from workbench.run.record import RunRecord, has_ended, read_record

ROOT = Path(__file__).parent.parent
WAIT_SECONDS = 20.0


def until(condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    """Wait for a condition to come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.02)


def ended(run: RunDirectory) -> RunRecord:
    """A run's record once it has ended and its supervisor has gone."""
    from workbench.base.locks import is_locked

    until(lambda: has_ended(read_record(run)) and not is_locked(run.supervisor_lock))
    return read_record(run)


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str, setup: str = "") -> None:
    """Let runs that are launched from now on have a worker of this code.

    Args:
        setup: Code that the supervisor runs first, with `supervisor` at hand.
    """
    folder.mkdir(exist_ok=True)
    (folder / "stand_in.py").write_text(code)
    (folder / "stand_in_supervisor.py").write_text(
        "from workbench.run import launcher, supervisor\n"
        "launcher.WORKER = 'stand_in'\n"
        f"{setup}\n"
        "raise SystemExit(supervisor.main())\n"
    )
    # The supervisor of this tree, also where another one is installed.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(folder), str(ROOT))))
    monkeypatch.setattr("workbench.run.launch.SUPERVISOR", "stand_in_supervisor")
