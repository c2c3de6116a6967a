"""The agent and the link to it on this machine alone, with a small program for a launcher."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from two_hosts import wait_until

from workbench.run.directory import RunDirectory
from workbench.run.hosts.host_log import HostLog
from workbench.run.hosts.link import LINE_BYTES, WORDS_SAID, Link
from workbench.run.hosts.mouth import HARD_LIMIT_BYTES, Mouth
from workbench.run.hosts.orders import StartOrder
from workbench.run.hosts.place import (
    interface_to,
    socket_environment,
    without_foreign_interfaces,
)
from workbench.run.processes import KILL_SECONDS, TERM_SECONDS, processes_of
from workbench.run.worker_events import Event

AGENT = [sys.executable, "-m", "workbench.run.hosts.agent"]
STUBBORN = """
import os, signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if len(sys.argv) < 2:
    subprocess.Popen([sys.executable, __file__, "child"], start_new_session=True)
print("at work", flush=True)
time.sleep(600)
"""
"""A launcher and a process in a session of its own, which both obey no signal but SIGKILL."""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    made = RunDirectory(tmp_path / "run")
    made.path.mkdir()
    made.record.write_text("{}")
    yield made
    for process in processes_of(made):
        with contextlib.suppress(psutil.Error):
            process.kill()


class Talk:
    """A link to an agent here, and what it has brought."""

    def __init__(self, run: RunDirectory, command: list[str] | None = None) -> None:
        self.events: list[Event] = []
        self.said: list[str] = []
        command = command or [*AGENT, str(run.path)]
        self.link = Link("b", command, say=self.said.append, on_event=self.events.append)
        self.link.open()

    def start(self, program: Path, **more: Any) -> None:
        order = StartOrder(command=(sys.executable, str(program)), address="127.0.0.1", **more)
        self.link.send(order.as_json())

    def event(self, name: str) -> Event:
        def find() -> Event | None:
            return next((event for event in self.events if event["event"] == name), None)

        return wait_until(find, f"{name}: {self.events} {self.said}", 30)


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "program.py"
        path.write_text(text)
        return path

    return write


def nothing_is_left(run: RunDirectory) -> None:
    wait_until(lambda: not processes_of(run), f"the end of {processes_of(run)}", 20)


def start_stubborn(run: RunDirectory, program: Callable[[str], Path], **more: Any) -> Talk:
    talk = Talk(run)
    talk.start(program(STUBBORN), **more)
    talk.event("started")
    wait_until(lambda: len(processes_of(run)) == 2, "two processes", 30)
    return talk


def test_it_starts_the_launcher_and_tells_of_its_end(run, program) -> None:
    talk = Talk(run)
    names = ("GLOO_SOCKET_IFNAME", "DPO_WORKBENCH_RUN", "MARK")
    show = f"import os; print(*[os.environ[name] for name in {names}])"
    talk.start(program(show + "; raise SystemExit(3)"), environment={"MARK": "given"})
    assert talk.event("exit")["code"] == 3
    assert talk.event("said")["lines"] == [f"lo {run.path} given"]
    wait_until(lambda: talk.link.ended and talk.link.left, "the agent's end", 20)
    talk.link.close()


def test_an_interface_of_the_first_host_alone_is_not_taken(run, program) -> None:
    talk = Talk(run)
    show = "import os; print(os.environ['GLOO_SOCKET_IFNAME'], os.environ['NCCL_SOCKET_IFNAME'])"
    given = {"GLOO_SOCKET_IFNAME": "nosuch9", "NCCL_SOCKET_IFNAME": "=nosuch9"}
    talk.start(program(show), environment=given)
    assert talk.event("said")["lines"] == ["lo =lo"]
    talk.link.close()


def test_interfaces_that_mean_something_here_are_taken() -> None:
    given = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "^docker", "OTHER": "x"}
    assert without_foreign_interfaces(given) == given
    assert socket_environment("127.0.0.1", given) == {}
    assert interface_to("127.0.0.1") == "lo"


def test_a_command_that_is_not_there(run) -> None:
    talk = Talk(run)
    talk.link.send(StartOrder(command=("/nowhere/python",), address="127.0.0.1").as_json())
    end = talk.event("exit")
    assert end["code"] == 1
    assert "cannot start the trainer: No such file or directory" in end["reason"]
    talk.link.close()


def test_kill_ends_what_obeys_nothing(run, program) -> None:
    talk = start_stubborn(run, program)
    talk.link.send({"op": "kill"})
    nothing_is_left(run)
    wait_until(lambda: talk.link.left, "its word", 20)
    talk.link.close()


def test_the_end_of_the_link_ends_everything(run, program) -> None:
    talk = start_stubborn(run, program)
    talk.link.close()
    nothing_is_left(run)
    assert talk.link.ended


def test_silence_ends_everything(run, program) -> None:
    pipe = subprocess.Popen([*AGENT, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert pipe.stdin is not None
    order = StartOrder(command=(sys.executable, str(program(STUBBORN))), silence=1.5)
    pipe.stdin.write(json.dumps(order.as_json()).encode() + b"\n")
    pipe.stdin.flush()
    wait_until(lambda: len(processes_of(run)) == 2, "two processes", 30)
    # Nobody reads what it says, and nobody says anything; the pipe stays open.
    assert pipe.wait(30) == 0
    assert processes_of(run) == []
    pipe.communicate()


def test_a_hangup_is_nothing_and_a_terminate_ends_everything(run, program) -> None:
    talk = start_stubborn(run, program)
    agent = psutil.Process(talk.event("started")["pid"]).parent()
    assert agent is not None
    agent.send_signal(signal.SIGHUP)
    assert len(processes_of(run)) == 2
    agent.send_signal(signal.SIGTERM)
    nothing_is_left(run)
    talk.link.close()


def test_in_a_job_a_terminate_leaves_time_to_save(
    run, program, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm sends it to all that a job has, long before it kills what is left."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    saved = tmp_path / "saved"
    talk = Talk(run)
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(saved)!r}).exists(): time.sleep(0.1)"
    talk.start(program(wait))
    agent = psutil.Process(talk.event("started")["pid"]).parent()
    assert agent is not None
    agent.send_signal(signal.SIGTERM)
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > TERM_SECONDS + KILL_SECONDS, "a long save", 20)
    saved.touch()
    assert talk.event("exit")["code"] == 0
    nothing_is_left(run)
    talk.link.close()


def test_orders_that_are_none_are_passed_over(run, program) -> None:
    talk = Talk(run)
    for order in ({"op": "dance"}, {"op": ["start"]}, {}, {"op": "x" * 100_000}):
        talk.link.send(order)
    talk.start(program("print('fine')"))
    assert talk.event("exit")["code"] == 0
    talk.link.close()


def test_what_an_earlier_attempt_left_is_ended_first(run, program) -> None:
    environment = {**os.environ, "DPO_WORKBENCH_RUN": str(run.path)}
    old = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=environment)
    talk = Talk(run)
    talk.start(program("print('new')"))
    assert talk.event("exit")["code"] == 0
    assert old.wait(10) == -signal.SIGTERM
    talk.link.close()


def test_it_relays_records_and_logs_once(run, program, tmp_path: Path) -> None:
    ranks = run.path / "ranks"
    ranks.mkdir()
    (ranks / "1.log").write_text("of an earlier attempt\n")
    (ranks / "1.json").write_text('{"step": 9}')
    write = (
        f"from pathlib import Path\nranks = Path({str(ranks)!r})\n"
        "(ranks / '1.json').write_text('{\"step\": 2}')\n"
        "with (ranks / '1.log').open('a') as log: log.write('one\\ntwo\\n')\n"
    )
    here = RunDirectory(tmp_path / "here")
    (here.path / "ranks").mkdir(parents=True)
    talk = Talk(run)
    log = HostLog(here, "b", talk.said.append)
    log.ranks = range(1, 2)
    talk.start(program(write), relay=True)
    talk.event("exit")
    talk.link.close()
    for event in talk.events:
        log.take(event)
    assert json.loads((here.path / "ranks" / "1.json").read_text())["step"] == 2
    assert (here.path / "ranks" / "1.log").read_text() == "one\ntwo\n"
    assert log.code == 0


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    talk = Talk(RunDirectory(tmp_path / "none"))
    wait_until(lambda: talk.link.ended and talk.link.words, "its end", 20)
    assert talk.link.words == f"there is no run directory at {tmp_path / 'none'}"
    talk.link.close()


def test_the_sweep_ends_what_a_killed_agent_has_left(run, program) -> None:
    talk = start_stubborn(run, program)
    agent = psutil.Process(talk.event("started")["pid"]).parent()
    assert agent is not None
    agent.kill()
    wait_until(lambda: talk.link.ended, "the end of the link", 20)
    assert not talk.link.left
    assert len(processes_of(run)) == 2
    subprocess.run([*AGENT, str(run.path), "--sweep"], check=True, timeout=30)
    assert processes_of(run) == []
    talk.link.close()


def test_a_babbling_host_neither_fills_the_log_nor_the_memory(run, program) -> None:
    babble = (
        "import sys\n"
        "for n in range(3000): print('\\x1b]52;c;QUJD\\x07evil', n, file=sys.stderr)\n"
        "sys.stdout.write('x' * 3_000_000 + '\\n')\n"
        'print(\'{"event": "exit", "code": 0}\')\n'
    )
    talk = Talk(run, [sys.executable, str(program(babble))])
    assert talk.event("exit")["code"] == 0
    wait_until(lambda: talk.link.ended and len(talk.said) == WORDS_SAID, "all of it", 20)
    assert talk.said[0] == "[b] evil 0"
    assert all(len(line) < LINE_BYTES for line in talk.said)
    talk.link.close()


def test_a_host_speaks_for_its_own_processes_alone(run, tmp_path: Path) -> None:
    (run.path / "ranks").mkdir()
    said: list[str] = []
    log = HostLog(run, "b", said.append)
    log.ranks = range(2, 4)
    run.log.write_text("mine\n")
    for rank in (0, 1, 4, -1, "../2", True, 2.5, None):
        log.take({"event": "rank", "rank": rank, "record": {"step": 1}})
        log.take({"event": "log", "rank": rank, "lines": ["evil"]})
    for event in (
        {"event": "exit", "code": "x"},
        {"event": "said", "lines": "no"},
        {"event": "rank"},
    ):
        log.take(event)
    assert list((run.path / "ranks").iterdir()) == []
    assert run.log.read_text() == "mine\n"
    assert log.code is None
    log.take({"event": "said", "lines": ["\x1b[2Jhello", 7]})
    assert said == ["[b] hello", "[b] 7"]


def test_the_mouth_never_waits(tmp_path: Path) -> None:
    ear, handle = os.pipe()
    mouth = Mouth(handle)
    for _ in range(3000):
        mouth.say("said", lines=["x" * 4000])
    assert mouth.crowded
    assert not mouth.closed
    assert len(mouth._left) < HARD_LIMIT_BYTES + 5000
    os.close(ear)
    mouth.pump()
    assert mouth.closed
    os.close(handle)
