"""Rows, notes and rules that try to do something: inert in every view, also on a real terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyte
import pytest
from data_fakes import hostile
from textual.pilot import Pilot
from tui_fakes import make_paths
from tui_waiting import until

from workbench.tui.app import WorkbenchApp
from workbench.tui.dialogs.checklist import ChecklistDialog
from workbench.tui.dialogs.line import LineDialog
from workbench.tui.dialogs.read import ReadDialog
from workbench.tui.dialogs.review import ReviewDialog
from workbench.tui.screens.data import DataScreen
from workbench.tui.screens.data_row import DataRowScreen
from workbench.tui.screens.data_rows import DataRowsScreen
from workbench.tui.screens.data_xray import XrayScreen
from workbench.tui.screens.recipes import RecipesScreen

MakeApp = Callable[..., WorkbenchApp]
TESTS = Path(__file__).parent
COLUMNS, LINES = 80, 24
PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.02
# What of HOSTILE a terminal would act on; the app itself sends none of these.
DEEDS = ("\x1b]52", "\u202e", "\x9b31m")
ESCAPE, ENTER = "\x1b", "\r"
APP = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from data_fakes import hostile
from tui_fakes import FakeLauncher
from workbench.base.paths import Paths
from workbench.tui.app import WorkbenchApp
root = Path(sys.argv[2])
paths = Paths(root / "data", root / "config", root / "cache")
WorkbenchApp(paths, launcher=FakeLauncher(), cwd=root, data_looks=hostile).run()
"""
# Keys, and what is seen then (or no more, after ~): each view of the screen, and its dialogs.
WALK = [
    ("d", "12 rows"), ("t", "padding"), ("i", "escape closes"), (ESCAPE, "~escape closes"),
    ("f", "space chooses"), (ENTER, "Write a cleaned"), (ESCAPE, "~Write a cleaned"),
    ("r", "rejected"), (ENTER, "1 of 12"), ("v", "escape closes"), (ESCAPE, "~escape closes"),
    ("m", "m marks"), ("x", "not scored"), ("i", ":7"), (ESCAPE, "~scored"), (ESCAPE, "~letters"),
    (ESCAPE, "padding"), (ENTER, "2 of 12"), (ESCAPE, "~2 of 12"), (ESCAPE, "padding"),
    (ESCAPE, "stages"), ("r", "Start this run"),
]  # fmt: skip


def drawn(app: WorkbenchApp) -> str:
    """Every line of the screen as the terminal gets it."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def seen(app: WorkbenchApp, pilot: Pilot[Any], kind: type) -> None:
    """A view is there, holds the text, and nothing of it would do anything."""
    await until(pilot, lambda: isinstance(app.screen, kind), kind.__name__)
    await until(pilot, lambda: "[@click=" in drawn(app), f"the text in {kind.__name__}")
    assert not any(deed in drawn(app) for deed in DEEDS)
    assert "\x1b" not in drawn(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (62, 16)])
async def test_hostile_rows_are_inert_in_every_view(
    make_app: MakeApp, size: tuple[int, int]
) -> None:
    app = make_app(data_looks=hostile)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RecipesScreen) and app.screen.entry)
        while app.screen.entry.name != "small":
            await pilot.press("j")
        await pilot.press("d")
        await seen(app, pilot, DataScreen)
        await pilot.press("i")
        await seen(app, pilot, ReadDialog)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, DataScreen) and app.screen.look.tokens)
        await pilot.press("f")
        await seen(app, pilot, ChecklistDialog)
        await pilot.press("enter")
        await seen(app, pilot, LineDialog)
        await pilot.press("escape", "enter")
        await seen(app, pilot, DataRowsScreen)
        await pilot.press("enter")
        await seen(app, pilot, DataRowScreen)
        await pilot.click("#chosen > Static", offset=(10, 0))
        await pilot.press("v")
        await seen(app, pilot, ReadDialog)
        await pilot.press("escape", "x")
        await seen(app, pilot, XrayScreen)
        await pilot.press("i")
        await seen(app, pilot, XrayScreen)
        assert app.is_running


async def test_the_launch_dialog_holds_nothing_of_it(make_app: MakeApp) -> None:
    app = make_app(data_looks=hostile)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RecipesScreen) and app.screen.entry)
        while app.screen.entry.name != "small":
            await pilot.press("j")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, DataScreen) and app.screen.look.tokens)
        await pilot.press("escape", "r")
        await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
        await until(pilot, lambda: "11 pairs" in drawn(app))
        assert not any(deed in drawn(app) for deed in DEEDS)


class Terminal:
    """The app in a terminal of its own; every byte that it sends is kept."""

    def __init__(self, root: Path) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        unwanted = ("COLUMNS", "LINES", "NO_COLOR", "TEXTUAL")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        environment["TERM"] = "xterm-256color"
        self.process = subprocess.Popen(
            [sys.executable, "-c", APP, str(TESTS), str(root)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=environment,
        )
        os.close(slave)
        self.sent = b""
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)

    def press(self, key: str) -> None:
        os.write(self.master, key.encode())

    def wait_for(self, words: str) -> None:
        """Wait until some words are seen, or after ~ no more."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if select.select([self.master], [], [], POLL_SECONDS)[0]:
                with contextlib.suppress(OSError):
                    new = os.read(self.master, 65536)
                    self.sent += new
                    self._stream.feed(new)
            text = "\n".join(self.screen.display)
            if (words.lstrip("~") in text) != words.startswith("~"):
                return
        raise AssertionError(f"never seen: {words}\n" + "\n".join(self.screen.display))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """The app over one recipe, in a terminal."""
    paths = make_paths(tmp_path)
    (paths.recipes / "flat.yaml").unlink()
    opened = Terminal(tmp_path)
    yield opened
    opened.close()


def test_a_real_terminal_gets_nothing_that_it_would_act_on(terminal: Terminal) -> None:
    terminal.wait_for("Small and friendly")
    for key, words in WALK:
        terminal.press(key)
        terminal.wait_for(words)
    assert b"[@click=" in terminal.sent
    for deed in DEEDS:
        assert deed.encode() not in terminal.sent
    assert terminal.process.poll() is None
