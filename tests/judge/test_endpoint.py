"""The judge against a server of this machine, in every mood."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from workbench.base.problems import ProblemError
from workbench.judge.endpoint import (
    Endpoint,
    JudgeError,
    address,
    check_address,
    judge_answers,
    read_verdict,
)

SIDES = ("base", "tuned")
KEY = "planted-judge-key-1234567890"

Reply = tuple[int, str] | str
Mood = Callable[[dict[str, Any]], Reply]


class Server:
    """A chat completion endpoint; `mood` decides what it replies to a request's body."""

    def __init__(self) -> None:
        self.mood: Mood = lambda body: "tie"
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.asked.append(body)
                owner.headers.append(dict(self.headers))
                owner.paths.append(self.path)
                reply = owner.mood(body)
                code, text = reply if isinstance(reply, tuple) else (200, completion(reply))
                self.send_response(code)
                if code == 429:
                    self.send_header("Retry-After", "7")
                if code in (302, 307):
                    self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # A judge that is given up writes to nobody; that is not worth a traceback.
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/v1"


def completion(text: str) -> str:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]})


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.http.shutdown()
    found.http.server_close()


def rows(*texts: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"prompt": f"Question {number}", "answers": {"base": {"text": a}, "tuned": {"text": b}}}
        for number, (a, b) in enumerate(texts)
    ]


def likes(word: str) -> Mood:
    """A fair judge: whichever answer has the word."""

    def mood(body: dict[str, Any]) -> str:
        a, b = body["messages"][1]["content"].split("\n\nAnswer A:\n")[1].split("\n\nAnswer B:\n")
        return "tie" if (word in a) == (word in b) else "A" if word in a else "B"

    return mood


def endpoint(server: Server, **changes: Any) -> Endpoint:
    waits: list[float] = []
    settings = {"backoff_seconds": 1.0, "timeout_seconds": 5.0, "sleep": waits.append}
    return Endpoint(server.url, "judge-1", KEY, **{**settings, **changes})


def test_a_fair_judge(server: Server) -> None:
    server.mood = likes("warm")
    pairs = [("cold", "warm"), ("cold", "so warm"), ("warm", "cold"), ("warm", "warm too")]
    found = judge_answers(rows(*pairs), SIDES, endpoint(server))
    assert (found["wins"], found["losses"], found["ties"]) == (2, 1, 1)
    assert found["win_rate"]["value"] == 2.5 / 4
    assert found["win_rate"]["low"] < 2.5 / 4 < found["win_rate"]["high"]
    assert (found["judged"], found["disagreed"], found["failed"]) == (4, 0, 0)
    assert len(server.asked) == 8
    assert server.asked[0]["model"] == "judge-1"
    assert set(server.paths) == {"/v1/chat/completions"}
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in json.dumps(found) + repr(endpoint(server))


@pytest.mark.parametrize("word", ["A", "B"])
def test_a_judge_that_likes_a_place_gives_ties_only(server: Server, word: str) -> None:
    server.mood = lambda body: word
    found = judge_answers(rows(("one", "two"), ("three", "four")), SIDES, endpoint(server))
    assert (found["wins"], found["losses"], found["ties"]) == (0, 0, 2)
    assert found["disagreed"] == 2
    assert found["win_rate"]["value"] == 0.5


def test_a_win_in_one_order_alone_is_a_tie(server: Server) -> None:
    replies = iter(["B", "tie"])
    server.mood = lambda body: next(replies)
    found = judge_answers(rows(("one", "two")), SIDES, endpoint(server))
    assert (found["ties"], found["disagreed"]) == (1, 0)


def test_equal_answers_are_a_tie_and_not_asked(server: Server) -> None:
    found = judge_answers(rows(("same", "same")), SIDES, endpoint(server))
    assert (found["ties"], len(server.asked)) == (1, 0)


def test_what_may_pass_is_tried_again(server: Server) -> None:
    replies: Iterator[Reply] = iter([(500, ""), (429, ""), "B", "A"])
    server.mood = lambda body: next(replies)
    waits: list[float] = []
    judge = endpoint(server, sleep=waits.append)
    found = judge_answers(rows(("one", "two")), SIDES, judge)
    assert (found["wins"], found["failed"]) == (1, 0)
    # The second wait is the server's own.
    assert waits == [1.0, 7.0]


def test_errors_without_end_stop_after_three_pairs(server: Server) -> None:
    server.mood = lambda body: (503, KEY)
    pairs = rows(*((f"a{n}", f"b{n}") for n in range(10)))
    found = judge_answers(pairs, SIDES, endpoint(server, retries=1))
    assert (found["judged"], found["failed"]) == (0, 10)
    assert found["win_rate"]["value"] is None
    assert found["failure"].startswith("the judge's server answered 503")
    assert len(server.asked) == 6


@pytest.mark.parametrize("code", [401, 302, 307])
def test_a_refusal_or_redirect_ends_it_at_once(server: Server, code: int) -> None:
    server.mood = lambda body: (code, "")
    found = judge_answers(rows(("a", "b"), ("c", "d")), SIDES, endpoint(server))
    assert found["failed"] == 2
    assert len(server.asked) == 1
    assert str(code) in found["failure"]


def test_garbage_counts_as_failed_not_as_a_tie(server: Server) -> None:
    replies: Iterator[Reply] = iter(["B", "A", (200, "{"), "Answer A is better.", "B", "A"])
    server.mood = lambda body: next(replies)
    found = judge_answers(rows(*((f"a{n}", f"b{n}") for n in range(4))), SIDES, endpoint(server))
    assert (found["wins"], found["failed"]) == (2, 2)
    assert found["failure"].startswith("the judge said neither A, B nor tie: answer a is better")


def test_a_judge_that_does_not_answer(server: Server) -> None:
    free = threading.Event()
    server.mood = lambda body: (free.wait(10), "A")[1]
    judge = endpoint(server, timeout_seconds=0.05, retries=1)
    found = judge_answers(rows(("a", "b")), SIDES, judge)
    free.set()
    assert found["failed"] == 1
    assert found["failure"].startswith("the judge cannot be reached: ")


def test_nobody_is_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        judge = Endpoint(url, "m", retries=0, sleep=lambda _: None)
        found = judge_answers(rows(("a", "b")), SIDES, judge)
    assert (found["failed"], found["judged"]) == (1, 0)


def test_a_rate_limit_is_kept(server: Server) -> None:
    waits: list[float] = []
    judge = endpoint(server, pause_seconds=2.5, sleep=waits.append)
    judge_answers(rows(("a", "b")), SIDES, judge)
    assert waits == [2.5, 2.5]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("A", "A"), (" b\n", "B"), ("[[A]]", "A"), ("Tie.", "tie"), ('"B"', "B"), ("**A**", "A")],
)
def test_words_that_count(text: str, verdict: str) -> None:
    assert read_verdict(completion(text)) == verdict


@pytest.mark.parametrize("text", ["", "AB", "A or B", "neither", "I think A"])
def test_words_that_do_not_count(text: str) -> None:
    with pytest.raises(JudgeError, match="neither A, B nor tie"):
        read_verdict(completion(text))


@pytest.mark.parametrize("reply", ["", "[]", '{"choices": []}', '{"choices": [{"message": 1}]}'])
def test_replies_that_are_none(reply: str) -> None:
    with pytest.raises(JudgeError, match="no chat completion"):
        read_verdict(reply)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "no address"),
        ("host/v1", "no address"),
        ("http://[broken/v1", "no address"),
        ("https://me:secret@host/v1", "no address"),
        ("http://example.org/v1", "unencrypted to example.org"),
    ],
)
def test_addresses_that_are_refused(url: str, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        check_address(Endpoint(url, "m", KEY))


def test_addresses() -> None:
    assert address("https://host/v1/") == "https://host/v1/chat/completions"
    assert address("https://host/v1/chat/completions") == "https://host/v1/chat/completions"
    check_address(Endpoint("http://localhost:8000/v1", "m", KEY))
    check_address(Endpoint("http://10.0.0.7/v1", "m"))
