"""The answering process and the merge: which model speaks on which side."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from worker_helpers import WAIT_SECONDS, MakeRun, run_module

from workbench.base.problems import ProblemError
from workbench.run.directory import RunDirectory
from workbench.worker.requests import read_sampling

pytestmark = pytest.mark.model

MESSAGES = [{"role": "user", "content": "What is tea?"}]


class Process:
    """The answering process, spoken to by hand."""

    def __init__(self, run: RunDirectory) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "workbench.worker.generate", str(run.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.lines: list[str] = []

    def send(self, **request: Any) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps(request) + "\n")
        self.popen.stdin.flush()

    def until(self, *names: str) -> list[dict[str, Any]]:
        """Events up to the first of the given names."""
        assert self.popen.stdout is not None
        events = []
        for line in self.popen.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] in names:
                return events
        raise AssertionError(f"the process ended before {names}: {events}")

    def ask(self, request: int, **fields: Any) -> list[dict[str, Any]]:
        self.send(**{"op": "generate", "id": request, "messages": MESSAGES, **fields})
        return self.until("done", "error")


def answers(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {event["side"]: event for event in events if event["event"] == "answer"}


def greedy(model: Any, tokenizer: Any, count: int) -> str:
    """What a model loaded by itself answers."""
    batch = tokenizer.apply_chat_template(
        MESSAGES, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    output = model.generate(**batch, max_new_tokens=count, do_sample=False)
    new = output[0, batch["input_ids"].shape[1] :]
    return str(tokenizer.decode(new, skip_special_tokens=True))


@pytest.fixture(scope="module")
def process(finished: RunDirectory) -> Iterator[Process]:
    process = Process(finished)
    ready = process.until("ready", "error")[-1]
    assert ready["event"] == "ready"
    assert ready["sides"][0] == "base"
    assert ready["sides"][-2:] == ["dpo", "tuned"]
    assert "sft" in ready["sides"]
    assert any(side.startswith("dpo:") for side in ready["sides"])
    assert (ready["device"], ready["dtype"]) == ("cpu", "float32")
    yield process
    process.send(op="quit")
    assert process.popen.wait(WAIT_SECONDS) == 0


@pytest.fixture(scope="module")
def merged(finished: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("merge") / "model"
    done = run_module("workbench.worker.merge", str(finished.path), str(target))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"done: {target}"
    assert [path.name for path in target.parent.iterdir()] == ["model"]
    return target


def test_each_side_answers_with_its_own_weights(process: Process, tiny: Path, merged: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    events = process.ask(1, sides=["base", "tuned"], max_new_tokens=24)
    got = answers(events)
    assert events[-1]["event"] == "done"
    tokenizer = AutoTokenizer.from_pretrained(merged)
    base = greedy(AutoModelForCausalLM.from_pretrained(tiny), tokenizer, 24)
    tuned = greedy(AutoModelForCausalLM.from_pretrained(merged), tokenizer, 24)
    assert got["base"]["text"] == base
    assert got["tuned"]["text"] == tuned
    assert base != tuned


def test_the_pieces_make_up_the_whole(process: Process) -> None:
    events = process.ask(2, sides=["base", "sft", "dpo", "tuned"], max_new_tokens=40)
    for side, answer in answers(events).items():
        pieces = [e["text"] for e in events if e["event"] == "text" and e["side"] == side]
        assert "".join(pieces) == answer["text"]
        assert answer["finish"] in ("eos", "length")
        assert answer["tokens"] == 40 or answer["finish"] == "eos"
        assert answer["seconds"] > 0
    got = answers(events)
    assert got["tuned"]["text"] == got["dpo"]["text"]


def test_a_seed_repeats_a_drawn_answer(process: Process) -> None:
    drawn = {"sides": ["tuned"], "temperature": 1.0, "top_p": 0.95, "max_new_tokens": 16}
    first = answers(process.ask(3, seed=1, **drawn))["tuned"]["text"]
    again = answers(process.ask(4, seed=1, **drawn))["tuned"]["text"]
    other = answers(process.ask(5, seed=2, **drawn))["tuned"]["text"]
    assert first == again
    assert first != other


def test_cancel_ends_an_answer_as_it_is(process: Process) -> None:
    # Sampled, and so long that it cannot have ended by itself when the first piece is out.
    process.send(op="generate", id=6, messages=MESSAGES, max_new_tokens=480, temperature=5.0)
    process.until("text")
    process.send(op="cancel", id=6)
    events = process.until("done", "error")
    got = answers(events)
    assert {answer["finish"] for answer in got.values()} <= {"cancelled", "eos"}
    assert all(answer["tokens"] < 480 for answer in got.values())


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"messages": []}, "no messages"),
        ({"sides": ["other"]}, "no weights for other"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"temperature": "warm"}, "temperature"),
        ({"messages": [{"role": "user", "content": "tea " * 600}]}, "the model reads 512"),
        ({"op": "sing"}, "no request 'sing'"),
    ],
)
def test_a_bad_request_is_answered_and_the_next_one_served(
    process: Process, fields: dict[str, Any], what: str
) -> None:
    """Row 57."""
    error = process.ask(7, **fields)[-1]
    assert error["event"] == "error"
    assert error["id"] == 7
    assert what in error["what"]
    assert process.ask(8, messages=[{"role": "user", "content": "\ud800 tea"}], max_new_tokens=2)[
        -1
    ] == {"event": "done", "id": 8}


def test_a_run_without_weights_still_has_its_base_and_ends_with_its_parent(
    new_run: MakeRun,
) -> None:
    process = Process(new_run(stages=("sft",)))
    assert process.until("ready")[-1]["sides"] == ["base"]
    error = process.ask(1)[-1]
    assert "no weights for tuned" in error["what"]
    assert process.popen.stdin is not None
    process.popen.stdin.close()
    assert process.popen.wait(WAIT_SECONDS) == 0


def test_a_missing_model_is_one_sentence(new_run: MakeRun, tmp_path: Path) -> None:
    process = Process(new_run(model=tmp_path / "gone"))
    error = process.until("error")[-1]
    assert error["id"] is None
    assert str(tmp_path / "gone") in error["what"]
    assert process.popen.wait(WAIT_SECONDS) == 1


def test_merge_says_where_nothing_can_be_written(finished: RunDirectory) -> None:
    done = run_module("workbench.worker.merge", str(finished.path), "/proc/model")
    assert done.returncode == 1
    assert done.stderr.startswith("error: /proc/model: nothing can be written there")


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_beyond_the_generators_is_refused(seed: int) -> None:
    with pytest.raises(ProblemError, match="seed is not between"):
        read_sampling({"seed": seed})


def test_merge_refuses_a_full_target(finished: RunDirectory, merged: Path) -> None:
    done = run_module("workbench.worker.merge", str(finished.path), str(merged))
    assert done.returncode == 1
    assert "not empty" in done.stderr


def test_the_models_load_anew_after_an_error_inside_generate(
    finished: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 56."""
    from workbench.worker import generate
    from workbench.worker.answerer import Answerer

    class Listener:
        parent = __import__("os").getppid()
        events: list[dict[str, Any]] = []

        def emit(self, event: str, **fields: Any) -> None:
            self.events.append({"event": event, **fields})

        def may_go_on(self, _request: object) -> bool:
            return True

    listener: Any = Listener()
    answerer = Answerer(finished, lambda _message: None)
    assert generate.load(answerer, listener, None)
    request = {"op": "generate", "id": 1, "messages": MESSAGES, "max_new_tokens": 4}
    broken = answerer.models.base
    monkeypatch.setattr(broken, "forward", lambda **_: 1 / 0)
    generate.answer(answerer, listener, request)
    assert listener.events[-1]["event"] == "error"
    assert "ZeroDivisionError" in listener.events[-1]["what"]
    assert answerer.outdated()
    assert generate.load(answerer, listener, 1)
    generate.answer(answerer, listener, request)
    assert listener.events[-1] == {"event": "done", "id": 1}
