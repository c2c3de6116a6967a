"""Terminals that go away, are no terminals, or have an odd size or kind; each is a real one."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_terminals import WORKBENCH, Terminal
from run_helpers import ended, stand_in, until

from workbench.base.paths import Paths
from workbench.base.tail import read_jsonl
from workbench.recipe.recipe import Recipe
from workbench.run.directory import RunDirectory, create_run, list_runs
from workbench.run.launch import launch
from workbench.run.processes import end_processes
from workbench.run.record import read_record

# Trains until the file `enough` is there; each step is logged, as a trainer's is.
WORKER = """\
import sys, time
from pathlib import Path
from workbench.base.files import append_json
from workbench.run.directory import RunDirectory
from workbench.worker.run_writer import RunWriter
run = RunDirectory(Path(sys.argv[1]))
writer = RunWriter(run)
writer.listen()
writer.start()
writer.update(state="running", stage="dpo", max_steps=1000000)
append_json(run.metrics, {"event": "stage", "stage": "dpo", "time": time.time()})
step = 0
while not run.path.joinpath("enough").exists():
    step += 1
    print("step", step, flush=True)
    append_json(run.metrics, {"time": time.time(), "stage": "dpo", "step": step, "loss": 0.5})
    writer.update(step=step, heartbeat=time.time())
    time.sleep(0.05)
writer.end("finished")
"""
COMMAND = """\
from workbench.run import launch
launch.SUPERVISOR = "stand_in_supervisor"
from workbench.cli import main
raise SystemExit(main())
"""
STEP_SHOWN = r"step ([1-9]\d*)/1000000"
MOUSE_AND_PASTE = (1000, 1003, 1004, 1006, 1015, 2004)
ENOUGH_STEPS = 5
GREYS = {0, 7, 8, 15, 16, 59, 102, 145, 188, 231, *range(232, 256)}


@pytest.fixture
def home(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$DPO_WORKBENCH_HOME, where runs get a worker that trains nothing but goes on and on."""
    stand_in(monkeypatch, tmp_path / "code", WORKER)
    monkeypatch.setenv("DPO_WORKBENCH_HOME", str(paths.data))
    paths.runs.mkdir(parents=True)
    return paths.data


@pytest.fixture
def runs(home: Path, paths: Paths) -> Iterator[Callable[[], list[RunDirectory]]]:
    """The runs there are; at the end nothing of them is left."""
    yield lambda: list_runs(paths)
    for run in list_runs(paths):
        (run.path / "enough").touch()
        until(lambda run=run: read_record(run).state == "finished")
        end_processes(run)
        ended(run)


@pytest.fixture
def run(
    runs: Callable[[], list[RunDirectory]], make_recipe: Callable[..., Recipe], paths: Paths
) -> RunDirectory:
    """A run that trains."""
    made = create_run(paths, make_recipe())
    launch(made)
    until(lambda: read_record(made).step > 0)
    return made


@pytest.fixture
def open_terminal(home: Path) -> Iterator[Callable[..., Terminal]]:
    """Open terminals with a command in them; at the end they are closed."""
    opened: list[Terminal] = []

    def open_one(*command: str, size: tuple[int, int] = (80, 24), **environment: str) -> Terminal:
        opened.append(Terminal(command, home, size=size, **environment))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


def steps_rise(run: RunDirectory) -> None:
    """The run does some more steps."""
    start = read_record(run).step
    until(lambda: read_record(run).step >= start + ENOUGH_STEPS)
    assert read_record(run).state == "running"


def finish(run: RunDirectory) -> None:
    """The run ends by itself, with every step from the first to the last logged once."""
    (run.path / "enough").touch()
    record = ended(run)
    assert (record.state, record.exit_code, record.error) == ("finished", 0, None)
    steps = [row["step"] for row in read_jsonl(run.metrics) if "loss" in row]
    assert steps == list(range(1, record.step + 1))
    assert run.log.read_text().split("step ")[-1].strip() == str(record.step)


def test_a_hangup_of_the_shell_that_started_the_training(
    runs: Callable[[], list[RunDirectory]],
    open_terminal: Callable[..., Terminal],
    home: Path,
    make_recipe: Callable[..., Recipe],
) -> None:
    """Row 42: as when an SSH connection breaks."""
    (home / "model").mkdir()
    (home / "model" / "config.json").write_text('{"model_type": "llama"}')
    pair = '{"prompt": "Why?", "chosen": "Because.", "rejected": "Well."}\n'
    (home / "prefs.jsonl").write_text(pair * 8)
    recipe = make_recipe(
        "model_name_or_path: model\ndatasets: [{path: json, data_files: prefs.jsonl}]\n"
        "per_device_train_batch_size: 2\n",
        "home/far.yaml",
    )
    command = home / "command.py"
    command.write_text(COMMAND)

    shell = open_terminal("/bin/sh", "-i")
    shell.press(f"{sys.executable} {command} run {recipe.path}\n")
    shell.see(r"dpo \[-+\] [1-9]\d*/1000000")
    (run,) = runs()
    before = read_record(run)
    shell.hang_up()
    assert shell.process.returncode != 0
    steps_rise(run)
    after = read_record(run)
    same = ("pid", "create_time", "supervisor_pid", "started")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]

    app = open_terminal(*WORKBENCH)
    app.see("● 1 training")
    app.press("3")
    app.see(STEP_SHOWN)
    app.see("● running")
    shown = re.search(STEP_SHOWN, app.text)
    assert shown is not None
    assert int(shown[1]) >= before.step + ENOUGH_STEPS
    finish(run)
    app.see("finished")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_that_ends_the_app(
    run: RunDirectory, open_terminal: Callable[..., Terminal], number: signal.Signals
) -> None:
    """Row 43: the training goes on, and the terminal is as it was where anybody can see to it."""
    app = open_terminal(*WORKBENCH)
    app.see("● 1 training")
    app.press("3")
    app.see(STEP_SHOWN)
    assert termios.tcgetattr(app.master) != app.attributes
    assert mode(app.output, 1049) == b"h"

    app.process.send_signal(number)
    assert app.ended() == (-9 if number == signal.SIGKILL else 128 + number)
    steps_rise(run)
    if number != signal.SIGKILL:
        assert termios.tcgetattr(app.master) == app.attributes
        assert mode(app.output, 1049) == b"l"
        assert mode(app.output, 25) == b"h"
        assert [mode(app.output, one) for one in MOUSE_AND_PASTE if mode(app.output, one)] != []
        assert {mode(app.output, one) for one in MOUSE_AND_PASTE} <= {b"l", b""}
        assert app.output.count(b"\x1b[<u") >= len(re.findall(rb"\x1b\[>\d+u", app.output))
    finish(run)


def mode(output: bytes, number: int) -> bytes:
    """How a terminal mode was switched last: `h` on, `l` off, nothing when it never was."""
    found = re.findall(rb"\x1b\[\?%d([hl])" % number, output)
    return found[-1] if found else b""


@pytest.mark.parametrize(
    ("size", "environment"),
    [
        ((1, 1), {}),
        ((20, 8), {"LANG": "C", "LC_ALL": "C", "NO_COLOR": "1"}),
        ((500, 200), {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
    ],
)
def test_odd_sizes_and_a_storm_of_them(
    open_terminal: Callable[..., Terminal], size: tuple[int, int], environment: dict[str, str]
) -> None:
    """Row 51."""
    app = open_terminal(*WORKBENCH, size=size, **environment)
    if size == (500, 200):
        app.see("Recipes")
        app.see("Quickstart, a short")
    elif size == (20, 8):
        app.see("The terminal is 20 x")
        app.see(r"60\s+x 15")
    else:
        app.until(lambda: mode(app.output, 1049) == b"h", "the first frame")
    sizes = [(1, 1), (2, 50), (200, 2), (20, 8), (300, 100), (59, 14), (80, 24)]
    for number in range(28):
        app.resize(*sizes[number % len(sizes)])
        app.press("1234"[number % 4])
        app.read()
    app.resize(20, 8)
    app.see(r"The terminal is 20 x\s+8")
    app.resize(80, 24)
    app.press("1")
    app.see(r"(?s)\A +dpo-workbench .*Quickstart, a short.* q Quit")
    assert "The terminal is" not in app.text
    hues = {int(hue) for hue in re.findall(rb"[34]8;5;(\d+)", app.output)} - GREYS
    assert bool(hues) == ("NO_COLOR" not in environment)
    app.press("\x11")
    assert app.ended() == 0
    assert b"Traceback" not in app.output
    assert termios.tcgetattr(app.master) == app.attributes


def test_a_size_that_came_and_went_is_drawn_anew(
    open_terminal: Callable[..., Terminal],
) -> None:
    """Row 51: what a terminal cut off meanwhile is lost, though its size is the old one again."""
    app = open_terminal(*WORKBENCH)
    app.see("Quickstart, a short")
    app.rest()
    app.screen.erase_in_display(2)
    assert "Quickstart" not in app.text
    app.process.send_signal(signal.SIGWINCH)
    app.see(r"(?s)dpo-workbench .*Quickstart, a short.* q Quit")


def test_a_terminal_that_can_draw_nothing(open_terminal: Callable[..., Terminal]) -> None:
    """Row 51: TERM=dumb."""
    command = open_terminal(*WORKBENCH, TERM="dumb")
    assert command.ended() == 2
    assert b"needs a terminal that can draw, and TERM says dumb. Without one use" in command.output
    assert b"\x1b" not in command.output
    listing = open_terminal(*WORKBENCH, "recipes", TERM="dumb")
    assert listing.ended() == 0
    assert b"quickstart" in listing.output
    assert b"\x1b" not in listing.output


@pytest.mark.parametrize("redirected", ["stdin", "stdout", "both"])
def test_no_terminal(home: Path, redirected: str) -> None:
    """Row 52."""
    master, slave = pty.openpty()
    done = subprocess.run(
        WORKBENCH,
        stdin=slave if redirected == "stdout" else subprocess.DEVNULL,
        stdout=slave if redirected == "stdin" else subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=home,
        timeout=60,
        start_new_session=True,
    )
    os.close(slave)
    assert done.returncode == 2
    said = done.stderr.decode()
    assert said.startswith("the app needs a terminal on stdin and stdout. Without one use")
    for command in ("run", "status", "logs", "stop", "dpo-workbench --help"):
        assert command in said
    assert not done.stdout
    os.set_blocking(master, False)
    with pytest.raises(OSError, match=r"\[Errno (5|11|35)\]"):  # nothing was drawn
        os.read(master, 1)
    os.close(master)
