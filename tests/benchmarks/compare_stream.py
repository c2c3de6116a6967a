"""Measure the compare screen while both sides stream and the processor is busy.

    python tests/benchmarks/compare_stream.py [--busy N] [--size 80x24] [--sides 2] [--seconds 20]

The app runs in a terminal of its own over a made-up run whose answering process streams 40 tokens
a second on each side without any model. N other processes keep the processor busy. Keys are typed
into the prompt line now and then; a key is painted when the terminal shows its letter. Printed
are: key to paint in milliseconds (median, 95th percentile, worst), bytes per second that the
terminal got while text streamed, and the app's share of a core.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import psutil

TESTS = Path(__file__).resolve().parents[1]
TOKENS_PER_SECOND = 40
START_SECONDS = 30.0
KEY_SECONDS = 0.31
LOST_SECONDS = 2.0
LETTERS = "abcdefghijklmnoprstuvwxyz"
# No letter in a word is typed as a key, so that a key's letter on the screen is the key's.
WORDS = ("12345", "678", "90", "1,234", "567890", "12", "34567", "8.", "901", "23") * 4 + ("\n\n",)

APP = """
import itertools, sys, threading, time
from pathlib import Path
tests, root, seconds, rate = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
words, sides = sys.argv[5].split("|"), ("base", "sft", "tuned")[-int(sys.argv[6]):]
sys.path.insert(0, tests + "/tui")
from tui_fakes import FakeLauncher, make_paths, make_run
import workbench.tui.screens.talk as talk
from workbench.tui.app import WorkbenchApp
from workbench.tui.conversation import Seat

talk.default_seats = lambda run: tuple(Seat(side, side) for side in sides)

class Streaming:
    def __init__(self, run, on_event):
        self.emit, self.alive, self.number = on_event, False, 0
    def start(self): self.alive = True
    def cancel(self, request): pass
    def pause(self, request): pass
    def go_on(self, request): pass
    def close(self): self.alive = False
    def generate(self, messages, sampling, sides=("base", "tuned"), *, answers=1, analyse=True):
        self.alive, self.number = True, self.number + 1
        threading.Thread(target=self.stream, args=(self.number, sides), daemon=True).start()
        return self.number
    def stream(self, number, sides):
        begun, texts = time.monotonic(), dict.fromkeys(sides, "")
        for count, word in enumerate(itertools.cycle(words), start=1):
            time.sleep(max(0.0, begun + count / rate - time.monotonic()))
            for side in sides:
                text = " " + word.replace("/", chr(10))
                texts[side] += text
                event = {"event": "text", "id": number, "side": side, "index": 0, "text": text}
                self.emit(event)
            if count >= seconds * rate:
                break
        for side in sides:
            self.emit({"event": "answer", "id": number, "side": side, "index": 0,
                       "text": texts[side], "tokens": count, "seconds": seconds, "finish": "eos"})
        self.emit({"event": "done", "id": number})

paths = make_paths(root)
make_run(paths, state="finished", name="1")
WorkbenchApp(paths, launcher=FakeLauncher(), answers=Streaming, screen="compare", cwd=root).run()
"""


class Terminal:
    """The app in a terminal."""

    def __init__(
        self, columns: int, lines: int, seconds: float, folder: str, sides: int = 2
    ) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        unwanted = ("COLUMNS", "LINES", "NO_COLOR", "TEXTUAL")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        words = "|".join(word.replace("\n", "/") for word in WORDS)
        arguments = (str(TESTS), folder, str(seconds), str(TOKENS_PER_SECOND), words, str(sides))
        self.process = subprocess.Popen(
            [sys.executable, "-c", APP, *arguments],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env=inherited | {"TERM": "xterm-256color", "COLORTERM": "", "LANG": "C.UTF-8"},
        )  # fmt: skip
        os.close(slave)

    def read(self, seconds: float) -> bytes:
        """What was drawn within so many seconds, at the first sign of it."""
        if not select.select([self.master], [], [], max(0.0, seconds))[0]:
            return b""
        try:
            return os.read(self.master, 1 << 20)
        except OSError:
            return b""

    def until(self, text: bytes) -> None:
        """Wait until a text was drawn."""
        seen, deadline = b"", time.monotonic() + START_SECONDS
        while text not in seen:
            if time.monotonic() > deadline:
                raise SystemExit(f"the app never drew {text!r}; it drew {seen[-800:]!r}")
            seen = seen[-4000:] + self.read(0.2)


def type_keys(terminal: Terminal, seconds: float) -> tuple[list[float], int]:
    """Type for so many seconds; returns the latencies (seconds) and the bytes drawn."""
    latencies, drawn, number = [], 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        letter = LETTERS[number % len(LETTERS)].encode()
        number += 1
        pressed = time.monotonic()
        os.write(terminal.master, letter)
        waiting = True
        while time.monotonic() < pressed + (LOST_SECONDS if waiting else KEY_SECONDS):
            piece = terminal.read(pressed + KEY_SECONDS - time.monotonic() if not waiting else 0.5)
            drawn += len(piece)
            if waiting and letter in strip(piece):
                latencies.append(time.monotonic() - pressed)
                waiting = False
        if waiting:
            latencies.append(LOST_SECONDS)
    return latencies, drawn


def strip(drawn: bytes) -> bytes:
    """What was drawn without escape sequences."""
    import re

    return re.sub(rb"\x1b(?:\[[0-9;?<=>]*[a-zA-Z]|[()].|[=>])", b"", drawn)


def measure(columns: int, lines: int, busy: int, seconds: float, sides: int) -> str:
    """One measurement as a line of text."""
    spin = "while True: sum(range(10000))"
    trainers = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(busy)]
    with tempfile.TemporaryDirectory() as folder:
        terminal = Terminal(columns, lines, seconds, str(Path(folder) / "home"), sides)
        try:
            terminal.until(b"ask something below")
            os.write(terminal.master, b"?\r")
            terminal.until(b"12345")
            app = psutil.Process(terminal.process.pid)
            before, begun = sum(app.cpu_times()[:2]), time.monotonic()
            latencies, drawn = type_keys(terminal, seconds - 2.0)
            passed = time.monotonic() - begun
            used = (sum(app.cpu_times()[:2]) - before) / passed
        finally:
            for process in (*trainers, terminal.process):
                process.kill()
                process.wait()
    ranked = sorted(1000 * latency for latency in latencies)
    tail = ranked[min(len(ranked) - 1, int(0.95 * len(ranked)))]
    return (
        f"{columns}x{lines}  {sides} sides  {busy} busy  {len(ranked)} keys: median "
        f"{statistics.median(ranked):.0f} ms, 95 % {tail:.0f} ms, worst {ranked[-1]:.0f} ms; "
        f"{drawn / passed / 1000:.1f} kB/s; app {used:.0%} of a core"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--size", default="80x24")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--sides", type=int, choices=(2, 3), default=2)
    options = parser.parse_args()
    columns, lines = (int(part) for part in options.size.split("x"))
    print(measure(columns, lines, options.busy, options.seconds, options.sides))


if __name__ == "__main__":
    main()
