"""The client of the generate process, against a scripted one that loads no model."""

import queue
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workbench.judge.answers import (
    AnswerProcess,
    Sampling,
)
from workbench.run.directory import RunDirectory
from workbench.run.worker_events import Event

WAIT_SECONDS = 10.0
HELLO = [{"role": "user", "content": "Hello"}]

HEAD = """
import json, signal, sys
def say(**event):
    print(json.dumps(event), flush=True)
def requests():
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "quit":
            sys.exit(0)
        yield request
"""
ECHO = """
say(event="loading", message="base model")
print("a library's own chatter", flush=True)
say(event="ready", sides=["base", "tuned"], device="cpu", dtype="float32", model="tiny")
for request in requests():
    if request["op"] == "cancel":
        continue
    for side in request["sides"]:
        text = f"{side}: {request['messages'][-1]['content']} {request['max_new_tokens']}"
        say(event="text", id=request["id"], side=side, text=text)
        say(event="answer", id=request["id"], side=side, text=text, tokens=3, seconds=0.1,
            finish="eos")
    say(event="done", id=request["id"])
"""

Start = Callable[[str], AnswerProcess]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


@pytest.fixture
def events() -> "queue.Queue[Event]":
    return queue.Queue()


@pytest.fixture
def scripted(run: RunDirectory, events: "queue.Queue[Event]") -> Iterator[Start]:
    """Start a client whose process runs the given script after HEAD."""
    started: list[AnswerProcess] = []

    def start(body: str) -> AnswerProcess:
        command = [sys.executable, "-S", "-E", "-c", HEAD + body]
        process = AnswerProcess(run, events.put, command=command)
        started.append(process)
        return process

    yield start
    for process in started:
        process.close()


def until(events: "queue.Queue[Event]", name: str) -> list[Event]:
    """Events up to and with the first one of that name."""
    seen: list[Event] = []
    while not seen or seen[-1]["event"] != name:
        seen.append(events.get(timeout=WAIT_SECONDS))
    return seen


def reader_ended(process: AnswerProcess) -> None:
    reader = process._reader
    if reader is not None:
        reader.join(WAIT_SECONDS)
        assert not reader.is_alive()


def test_one_request_gives_each_side_and_done(
    scripted: Start, events: "queue.Queue[Event]"
) -> None:
    process = scripted(ECHO)
    request = process.generate(HELLO, Sampling(max_new_tokens=7))
    seen = until(events, "done")
    names = [event["event"] for event in seen]
    assert names == ["loading", "ready", "text", "answer", "text", "answer", "done"]
    assert [event["text"] for event in seen if event["event"] == "answer"] == [
        "base: Hello 7",
        "tuned: Hello 7",
    ]
    assert seen[-1]["id"] == request
    assert process.alive


def test_the_request_carries_every_sampling_setting(
    scripted: Start, events: "queue.Queue[Event]"
) -> None:
    process = scripted("for request in requests():\n    say(event='done', id=1, request=request)\n")
    sampling = Sampling(16, 0.7, 0.9, 40, 1.1, 7)
    process.generate(HELLO, sampling, sides=["sft"], answers=2)
    assert until(events, "done")[-1]["request"] == {
        "op": "generate",
        "id": 1,
        "messages": HELLO,
        "sides": ["sft"],
        "answers": 2,
        "analyse": True,
        "max_new_tokens": 16,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 40,
        "repetition_penalty": 1.1,
        "seed": 7,
    }


def test_cancel_reaches_the_process(scripted: Start, events: "queue.Queue[Event]") -> None:
    process = scripted(
        "for request in requests():\n"
        "    say(event='text', id=request['id'], side='base', text=request['op'])\n"
    )
    request = process.generate(HELLO, Sampling())
    until(events, "text")
    process.cancel(request + 1)
    process.cancel(request)
    seen = until(events, "text")
    assert [(event["id"], event["text"]) for event in seen] == [(request, "cancel")]


def test_a_death_while_loading_is_told_with_its_cause(
    scripted: Start, events: "queue.Queue[Event]", run: RunDirectory
) -> None:
    (run.path / "generate.log").write_text("ValueError: of an earlier start\n")
    process = scripted("raise OSError('adapter_config.json is missing')\n")
    process.start()
    error = until(events, "error")[-1]
    assert error["id"] is None
    assert error["what"] == "The models' process ended: OSError: adapter_config.json is missing"
    assert error["next_step"] == (
        f"See {run.path / 'generate.log'}, then ask again: the models load anew."
    )
    assert not process.alive


def test_a_death_answers_every_waiting_request(
    scripted: Start, events: "queue.Queue[Event]"
) -> None:
    process = scripted(
        "say(event='ready', sides=['base'])\n"
        "one, two = sys.stdin.readline(), sys.stdin.readline()\n"
        "signal.raise_signal(signal.SIGKILL)\n"
    )
    asked = [process.generate(HELLO, Sampling()), process.generate(HELLO, Sampling())]
    errors = [*until(events, "error"), *until(events, "error")]
    errors = [event for event in errors if event["event"] == "error"]
    assert [error["id"] for error in errors] == asked
    assert errors[0]["what"] == (
        "The models' process was killed (signal 9), often because memory ran out."
    )


def test_the_process_s_own_error_is_not_told_twice(
    scripted: Start, events: "queue.Queue[Event]"
) -> None:
    process = scripted("say(event='error', id=None, what='No adapter.', next_step='Train.')\n1/0\n")
    process.start()
    until(events, "error")
    reader_ended(process)
    assert events.empty()


def test_an_idle_end_is_silent_and_the_next_request_starts_anew(
    scripted: Start, events: "queue.Queue[Event]", tmp_path: Path
) -> None:
    mark = tmp_path / "second"
    process = scripted(
        "import pathlib\n"
        f"mark = pathlib.Path({str(mark)!r})\n"
        "say(event='ready', sides=['base'])\n"
        "if not mark.exists():\n"
        "    mark.touch()\n"
        "    sys.exit(0)\n"
        "for request in requests():\n"
        "    say(event='done', id=request['id'])\n"
    )
    process.start()
    reader_ended(process)
    assert not process.alive
    request = process.generate(HELLO, Sampling())
    names = [event["event"] for event in until(events, "done")]
    assert names == ["ready", "ready", "done"]
    assert request == 1


def test_close_ends_a_process_that_does_not_listen(
    scripted: Start, events: "queue.Queue[Event]"
) -> None:
    process = scripted("say(event='ready', sides=[])\nsignal.pause()\n")
    process.start()
    until(events, "ready")
    child = process._process
    assert child is not None
    process.close(wait_seconds=0.05)
    assert child.poll() is not None
    assert not process.alive
    process.close()


def test_the_log_is_private(
    scripted: Start, events: "queue.Queue[Event]", run: RunDirectory
) -> None:
    process = scripted(ECHO)
    process.start()
    until(events, "ready")
    assert stat.S_IMODE((run.path / "generate.log").stat().st_mode) == 0o600


def test_a_batch_and_its_steering(scripted: Start, events: "queue.Queue[Event]") -> None:
    process = scripted(
        "for request in requests():\n"
        "    say(event='got', request=request)\n"
        "    if request['op'] == 'go_on':\n"
        "        say(event='done', id=request['id'])\n"
    )
    number = process.batch([HELLO, HELLO], Sampling(), ["base", "dpo:8"])
    process.pause(number)
    process.go_on(number)
    until(events, "done")
    process.pause(number)
    number = process.generate({"base": HELLO, "tuned": [*HELLO, *HELLO]}, Sampling())
    process.go_on(number)
    seen = [event["request"] for event in until(events, "done") if event["event"] == "got"]
    assert [request["op"] for request in seen] == ["generate", "go_on"]
    assert seen[0]["messages"] == {"base": HELLO, "tuned": [*HELLO, *HELLO]}
