"""A language model as the judge of two answers, over an OpenAI-compatible endpoint of the user's.

Prompts and answers leave this machine: a caller asks the person first. Each pair is judged in both
orders, since judges prefer a place (Zheng et al. 2023, arXiv:2306.05685); one side wins only where
both orders say so, anything else is a tie.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from workbench.base.problems import Problem, ProblemError
from workbench.base.secrets import redact
from workbench.base.text import clean
from workbench.judge.statistics import wilson

ROUTE = "/chat/completions"
MOST_BYTES = 1_000_000
PATIENCE_PAIRS = 3
"""Pairs in a row that fail before the rest is left unasked."""
LONGEST_WAIT_SECONDS = 60.0
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)
"""HTTP statuses that may pass."""
HERE = ("localhost", "127.0.0.1", "::1")
INSTRUCTION = (
    "You compare two answers to the same request. Judge how well each one helps the person who "
    "asked: whether it is right, to the point, complete enough and pleasant to read. Length is no "
    "merit by itself, and the order of the answers means nothing. Reply with one word only: A if "
    "answer A is better, B if answer B is better, tie if neither is."
)


@dataclass(frozen=True)
class Endpoint:
    """Where the judge is, and how patient to be.

    Attributes:
        url: Up to the version (`https://host/v1`) or the whole route.
        model: The judge's name there.
        key: API key, empty for none. It is sent to this host only, and never kept or shown.
        timeout_seconds: For one reply.
        retries: Further tries of a request that failed for a reason which may pass.
        pause_seconds: Between two requests at least, for a rate limit.
        backoff_seconds: Before the first retry; doubled before each further one.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    timeout_seconds: float = 60.0
    retries: int = 3
    pause_seconds: float = 0.0
    backoff_seconds: float = 1.0
    sleep: Callable[[float], None] = time.sleep


class JudgeError(Exception):
    """A request came to nothing.

    Attributes:
        final: Whether the next one would fail as well, as with a wrong key.
    """

    def __init__(self, what: str, *, final: bool = False) -> None:
        super().__init__(what)
        self.final = final


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """A redirect would take the key and the answers to another host."""


def judge_answers(
    rows: Sequence[Mapping[str, Any]],
    sides: tuple[str, str],
    endpoint: Endpoint,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Judge both sides' answers to each prompt.

    Args:
        rows: Each with `prompt`, and `answers`: side -> `{text}`.
        sides: The first is what the second is measured against.

    Returns:
        `model`, `first`, `second`; `wins`, `losses`, `ties` of the second side; `win_rate` with a
        Wilson interval, ties counted half; `judged` pairs; `disagreed`: those of them where the
        two orders contradicted each other; `failed` pairs, and `failure`, why the last one did.

    Raises:
        ProblemError: The address cannot be one.
    """
    check_address(endpoint)
    counts = {"win": 0, "loss": 0, "tie": 0}
    disagreed = failed = in_a_row = 0
    failure = ""
    for number, row in enumerate(rows):
        say(f"{endpoint.model} judges {number + 1}/{len(rows)}")
        texts = [str(row["answers"].get(side, {}).get("text", "")) for side in sides]
        try:
            result, contradicted = _judge_pair(str(row["prompt"]), texts, endpoint)
        except JudgeError as error:
            failed, in_a_row = failed + 1, in_a_row + 1
            failure = str(error)
            if error.final or in_a_row >= PATIENCE_PAIRS:
                failed += len(rows) - number - 1
                break
            continue
        in_a_row = 0
        counts[result] += 1
        disagreed += contradicted
    judged = sum(counts.values())
    points = counts["win"] + counts["tie"] / 2
    low, high = wilson(points, judged)
    rate = {"value": points / judged if judged else None, "low": low, "high": high, "n": judged}
    return {
        "model": endpoint.model,
        "first": sides[0],
        "second": sides[1],
        "wins": counts["win"],
        "losses": counts["loss"],
        "ties": counts["tie"],
        "win_rate": rate,
        "judged": judged,
        "disagreed": disagreed,
        "failed": failed,
        "failure": failure,
    }


def _judge_pair(prompt: str, texts: Sequence[str], endpoint: Endpoint) -> tuple[str, bool]:
    """What the second text gets: win, loss or tie; and whether the orders contradict."""
    if texts[0] == texts[1]:
        return "tie", False
    first = ask(prompt, texts[0], texts[1], endpoint)
    second = ask(prompt, texts[1], texts[0], endpoint)
    if (first, second) == ("B", "A"):
        return "win", False
    if (first, second) == ("A", "B"):
        return "loss", False
    return "tie", first != "tie" and first == second


def ask(prompt: str, answer_a: str, answer_b: str, endpoint: Endpoint) -> str:
    """The judge's word on two answers: `A`, `B` or `tie`.

    Raises:
        JudgeError: It gave none.
    """
    question = f"Request:\n{prompt}\n\nAnswer A:\n{answer_a}\n\nAnswer B:\n{answer_b}"
    body = {
        "model": endpoint.model,
        "temperature": 0,
        "messages": [
            {"role": "system", "content": INSTRUCTION},
            {"role": "user", "content": question},
        ],
    }
    request = urllib.request.Request(
        address(endpoint.url),
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    if endpoint.key:
        request.add_unredirected_header("Authorization", f"Bearer {endpoint.key}")
    wait = endpoint.backoff_seconds
    for left in range(endpoint.retries, -1, -1):
        if endpoint.pause_seconds:
            endpoint.sleep(endpoint.pause_seconds)
        try:
            return read_verdict(_send(request, endpoint))
        except _AgainError as error:
            if not left:
                raise JudgeError(_hide(str(error), endpoint)) from None
            endpoint.sleep(min(LONGEST_WAIT_SECONDS, max(wait, error.wait)))
            wait *= 2
    raise AssertionError("the last try returns or raises")


class _AgainError(Exception):
    """A failure that may pass; `wait`: seconds that the server asked for."""

    def __init__(self, what: str, wait: float = 0.0) -> None:
        super().__init__(what)
        self.wait = wait


def _send(request: urllib.request.Request, endpoint: Endpoint) -> str:
    # No proxy of the environment either: the person has named one host.
    opener = urllib.request.build_opener(_NoRedirect())
    try:
        with opener.open(request, timeout=endpoint.timeout_seconds) as reply:
            content = reply.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        what = f"the judge's server answered {error.code} {error.reason}"
        asked = error.headers.get("Retry-After", "") if error.headers else ""
        error.close()
        if error.code in AGAIN:
            raise _AgainError(what, float(asked) if asked.isdecimal() else 0.0) from None
        raise JudgeError(_hide(what, endpoint), final=True) from None
    except (OSError, http.client.HTTPException) as error:
        raise _AgainError(f"the judge cannot be reached: {error}") from None
    if len(content) > MOST_BYTES:
        raise JudgeError("the judge's reply is too long")
    return bytes(content).decode("utf-8", "replace")


def _hide(text: str, endpoint: Endpoint) -> str:
    """A server's words without the key."""
    hidden = text.replace(endpoint.key, "***") if endpoint.key else text
    return clean(redact(hidden), newlines=False)[:200]


def read_verdict(reply: str) -> str:
    """The judge's word in a reply; nothing but the word itself counts.

    Raises:
        JudgeError: There is none.
    """
    try:
        content = json.loads(reply)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise JudgeError("the judge's reply is no chat completion") from None
    word = str(content).strip().strip("[]\"'*.` \n").lower()
    verdicts = {"a": "A", "b": "B", "tie": "tie"}
    if word not in verdicts:
        raise JudgeError(f"the judge said neither A, B nor tie: {clean(word, newlines=False)[:40]}")
    return verdicts[word]


def address(url: str) -> str:
    """The whole route of an endpoint."""
    url = url.rstrip("/")
    return url if url.endswith(ROUTE) else url + ROUTE


def check_address(endpoint: Endpoint) -> None:
    """Refuse what is no address of the web, and a key that would travel in the open.

    Raises:
        ProblemError: It is.
    """
    try:
        parts = urlsplit(endpoint.url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host or parts.username:
        what, hint = "this is no address of an endpoint", "Give it as https://HOST/v1."
        raise ProblemError(Problem(what, "--judge", hint), exit_code=2)
    if endpoint.key and parts.scheme == "http" and host not in HERE:
        what = f"the API key would travel unencrypted to {host}"
        raise ProblemError(Problem(what, "--judge", "Use https."), exit_code=2)
