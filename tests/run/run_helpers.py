"""A worker of a few lines, and waiting for what it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

WAIT_SECONDS = 20.0


def until(condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    """Wait for a condition to come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.02)


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Let runs that are launched from now on have a worker of this code."""
    (folder / "stand_in.py").write_text(code)
    (folder / "stand_in_supervisor.py").write_text(
        "from workbench.run import supervisor\n"
        "supervisor.WORKER = 'stand_in'\n"
        "raise SystemExit(supervisor.main())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr("workbench.run.launch.SUPERVISOR", "stand_in_supervisor")
