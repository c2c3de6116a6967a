"""A terminal without any letters but ASCII."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_terminals import WORKBENCH, Terminal

from workbench.base.paths import Paths


@pytest.fixture
def plain(paths: Paths, tmp_path: Path) -> Iterator[Terminal]:
    home = {"DPO_WORKBENCH_HOME": str(paths.data), "TERM": "vt100"}
    terminal = Terminal([*WORKBENCH, "--ascii"], tmp_path, **home)
    yield terminal
    terminal.close()


def test_every_screen_is_drawn_in_ascii(plain: Terminal) -> None:
    plain.see("Quickstart")
    for key, sign in (("2", "No runs"), ("3", "Nothing to watch"), ("1", "shipped")):
        plain.press(key)
        plain.see(sign)
    plain.press("\r")
    plain.see("Base model")
    assert plain.output.isascii()
