"""`watch` in a real terminal: a key leaves it, and the terminal is as it was."""

from __future__ import annotations

import json
import os
import socket
import termios
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fault_terminals import WORKBENCH, Terminal

from workbench.base.paths import Paths


@pytest.fixture
def watching(paths: Paths, tmp_path: Path) -> Iterator[Terminal]:
    """A dumb terminal in which a run is watched that this process seems to train."""
    folder = paths.runs / "20270115-080000-small-a1b2"
    folder.mkdir(parents=True)
    record = {"version": 1, "id": folder.name, "state": "running", "stages": ["dpo"]}
    record |= {"stage": "dpo", "step": 3, "max_steps": 9, "host": socket.gethostname()}
    record |= {"pid": os.getpid(), "create_time": psutil.Process().create_time()}
    (folder / "run.json").write_text(json.dumps(record))
    row = {"time": 1.0, "stage": "dpo", "step": 3, "loss": 0.5}
    (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    home = {"DPO_WORKBENCH_HOME": str(paths.data), "TERM": "dumb"}
    terminal = Terminal([*WORKBENCH, "watch", "last"], tmp_path, **home)
    yield terminal
    terminal.close()


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("\x03", 130), ("\x04", 0)])
def test_a_key_leaves_it_and_the_run_goes_on(watching: Terminal, key: str, code: int) -> None:
    watching.see("running")
    assert termios.tcgetattr(watching.master)[3] & termios.ICANON == 0
    watching.press(key)
    assert watching.ended() == code
    watching.see("The training goes on")
    watching.see("stop it:  dpo-workbench stop")
    assert termios.tcgetattr(watching.master) == watching.attributes


def test_nothing_but_lines_is_written(watching: Terminal) -> None:
    watching.see("running")
    watching.press("q")
    watching.ended()
    assert b"\x1b" not in watching.output
    assert b"\x07" not in watching.output
    assert b"\r" not in watching.output.replace(b"\r\n", b"")
