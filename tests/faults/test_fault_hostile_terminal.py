"""The real app and the real commands in a real terminal, on a home of hostile texts.

Rows 48 and 49: every byte that is written is looked at, and nothing in it may be more than the app
itself sends on a harmless day.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import CORPUS, FORBIDDEN, sequences
from hostile_home import NEWEST, make_hostile_home

COLUMNS, LINES = 160, 60
PATIENCE_SECONDS = 45.0
ENTER, ESCAPE, DOWN = "\r", "\x1b", "\x1b[B"
PAGE_UP = "\x1b[5~"
# What the terminal library sends by itself: modes, mouse, keyboard protocol, pointer shape.
OWN_SEQUENCES = (
    {f"\x1b[?{mode}{switch}" for mode in (7, 25, 1000, 1003, 1004, 1006, 1015, 1049, 2004)
     for switch in "hl"}
    | {"\x1b[m", "\x1b[H", "\x1b[<u", "\x1b[>25u", "\x1b[?2026$p", "\x1b[?2048$p"}
    | {"\x1b[?2026h", "\x1b[?2026l", "\x1b]22;default\x07"}
)  # fmt: skip


class Terminal:
    """A terminal with `dpo-workbench ARGUMENTS` in it; keeps every byte that it is sent."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.output = b""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        unwanted = ("COLUMNS", "LINES", "NO_COLOR", "TEXTUAL")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        environment |= {
            "DPO_WORKBENCH_HOME": str(home), "TERM": "xterm-256color", "LANG": "C.UTF-8",
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workbench", *arguments],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True, cwd=home,
            env=environment,
        )  # fmt: skip
        os.close(slave)

    @property
    def text(self) -> str:
        return self.output.decode("utf-8", "surrogateescape")

    def read(self, seconds: float = 0.05) -> bool:
        """Take in what was written meanwhile; False when nothing was."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self.master, 65536)
        except OSError:
            return False
        self.output += piece
        return bool(piece)

    def until(self, pattern: str, start: int) -> None:
        """Wait until a pattern stands in what was written since a position."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while re.search(pattern, strip(self.text[start:])) is None:
            assert time.monotonic() < deadline, f"{pattern!r}\n{strip(self.text[start:])[-3000:]}"
            assert self.read(0.5) or self.process.poll() is None, f"it ended\n{self.text[-3000:]}"

    def press(self, *keys: str, see: str) -> None:
        """Press keys, each a write of its own, and wait for what they bring."""
        start = len(self.text)
        for key in keys:
            os.write(self.master, key.encode())
            self.read()
        self.until(see, start)
        # A key right after an escape would be read as one sequence with it, and one right after
        # the choice that closes a dialog would still be the dialog's.
        while keys[-1] in (ESCAPE, ENTER) and self.read(0.4):
            pass

    def end(self) -> int:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            self.read()
        while self.read(0.2):
            pass
        return self.process.returncode


def strip(text: str) -> str:
    """What was written, without its control sequences."""
    return re.sub(
        r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.", "", text
    )


def assert_inert(output: str) -> None:
    """Nothing of the corpus acts: no foreign sequence, no control, nothing invisible."""
    found = sequences(output.encode("utf-8", "surrogateescape"))
    assert found - OWN_SEQUENCES == set()
    # These are of a kind that the app sends too, with other numbers or at its start only.
    assert "\x1b[8m" not in output
    assert "\x1b[5;7m" not in output
    assert output.count("\x1b[?1049h") <= 1
    whole = [a for a in CORPUS if "\x1b" in a.text and not a.text.endswith("\x1b[")]
    assert not [attack.name for attack in whole if attack.text in output]
    assert FORBIDDEN.findall(strip(output)) == []
    assert re.search("[\u0300-\u036f\u0e47]{5}", output) is None


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    make_hostile_home(folder)
    return folder


@pytest.fixture
def app(home: Path) -> Iterator[Terminal]:
    terminal = Terminal(home)
    yield terminal
    if terminal.process.poll() is None:
        terminal.process.kill()
        terminal.process.wait()
    os.close(terminal.master)


def test_every_screen_shows_hostile_words_and_obeys_none(app: Terminal) -> None:
    """Rows 48 and 49."""
    app.until(r"EVIL000", 0)
    app.press(*[DOWN] * 60, see=r"EVIL060")
    app.press(*[DOWN] * 40, see=r"EVIL09\d")
    app.press("r", see=r"Start this run\?")
    app.press(ESCAPE, see=r"Save as new")
    app.press("n", see=r"Save a copy as")
    app.press(ESCAPE, see=r"Save as new")
    app.press("g", ENTER, see=r"LoRA adapter")
    app.press(*[DOWN] * 8, see=r"EVIL")
    app.press("y", see=r"EVIL")
    app.press(ESCAPE, see=r"Find")
    app.press("p", see=r"EVIL")
    app.press(ESCAPE, see=r"Find")
    app.press("/", see=r"words of")
    app.press(*"EVIL", see=r"EVIL")
    app.press(ENTER, see=r"Undo")
    app.press("i", see=r"EVIL")
    app.press(ESCAPE, see=r"Find")
    app.press(ESCAPE, see=r"default")
    app.press(ESCAPE, see=r"Save as new")
    app.press("2", see=r"failed")
    app.press("G", see=r"EVIL000")
    app.press("d", see=r"Delete this run\?")
    app.press(ESCAPE, see=r"Resume")
    app.press("g", ENTER, see=r"newest")
    app.press("l", see=r"EVIL09\d")
    app.press(*[PAGE_UP] * 3, see=r"EVIL0[0-8]\d")
    app.press("m", "m", "4", see=r"tuned")
    app.press("\x1bOR", see=r"enter takes")
    app.press(*[DOWN] * 60, ENTER, see=r"EVIL\d\d")
    app.press("\x1bOS", see=r"Compare which run")
    app.press(*[DOWN] * 5, ENTER, see=r"EVIL")
    assert app.process.poll() is None
    app.press("\x11", see="")
    assert app.end() == 0
    assert_inert(app.text)
    shown = {attack.marker for attack in CORPUS if attack.marker in strip(app.text)}
    assert len(shown) == len(CORPUS)


COMMANDS = (
    ("recipes",),
    ("recipes", "--json"),
    ("runs",),
    ("runs", "--json"),
    ("status", NEWEST),
    ("status", "20260101-000000"),
    ("status", NEWEST, "--json"),
    ("logs", NEWEST, "-n", "9999"),
    ("check", *(f"a{number:03}" for number in range(0, len(CORPUS), 2))),
    ("check", "--json", *(f"a{number:03}" for number in range(1, len(CORPUS), 2))),
    ("resume", "20260101-000003"),
    ("show", "a001"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command)[:30])
def test_every_command_prints_hostile_words_as_words(command: tuple[str, ...], home: Path) -> None:
    """Rows 48 and 49."""
    terminal = Terminal(home, *command)
    code = terminal.end()
    os.close(terminal.master)
    assert code in (0, 1, 2), terminal.text[-2000:]
    assert "Traceback" not in terminal.text
    assert "\x1b" not in terminal.text
    assert_inert(terminal.text)
    if command[0] in ("recipes", "runs", "logs"):
        shown = {attack.marker for attack in CORPUS if attack.marker in terminal.text}
        assert len(shown) >= 60


def test_arguments_that_are_hostile_come_back_inert(home: Path) -> None:
    """Rows 11, 48 and 49: a name from a shell script is quoted in the complaint."""
    for command in ("status", "check", "run", "logs", "stop"):
        arguments = [a.text for a in CORPUS if "\x00" not in a.text and "\ud800" not in a.text]
        for text in arguments[::20]:
            terminal = Terminal(home, command, "--", text)
            assert terminal.end() in (1, 2)
            os.close(terminal.master)
            assert "\x1b" not in terminal.text
            assert_inert(terminal.text)
