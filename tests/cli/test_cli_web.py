"""The app in a browser: who may, who may not, and what arrives."""

from __future__ import annotations

import asyncio
import re
import shlex
import socket
import sys
from collections.abc import AsyncIterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from workbench.base.problems import ProblemError
from workbench.cli import main
from workbench.cli.web import directions
from workbench.cli.web_guard import Guard, is_local, same_origin
from workbench.cli.web_page import render_page
from workbench.cli.web_server import APP_COMMAND, WebServer

HERE = "127.0.0.1:8000"
served = pytest.mark.skipif(
    find_spec("textual_serve") is None, reason="needs the extra 'web' (textual-serve)"
)


@pytest.fixture
def guard() -> Guard:
    return Guard("the-token", "the-passage")


def test_the_token_opens_the_page_and_the_passage_all_behind_it(guard: Guard) -> None:
    assert guard.refusal("/", "the-token", HERE, None) == ""
    assert guard.refusal("/", "the-token", "localhost:9000", "http://localhost:9000") == ""
    assert guard.refusal("/the-passage/ws", "", HERE, f"http://{HERE}") == ""
    assert guard.refusal("/the-passage/static/js/textual.js", "", HERE, None) == ""


@pytest.mark.parametrize(
    ("path", "token"),
    [
        ("/", ""),
        ("/", "the-toke"),
        ("/", "the-passage"),
        ("/", "thé-token"),
        ("/", "\udce9"),
        ("/ws", ""),
        ("/ws", "the-token"),
        ("/the-token/ws", "the-token"),
        ("//the-passage/ws", ""),
        ("/static/js/textual.js", "the-token"),
        ("/download/x", "the-token"),
        ("", ""),
    ],
)
def test_nobody_passes_without(guard: Guard, path: str, token: str) -> None:
    assert "token" in guard.refusal(path, token, HERE, None)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example", None),
        ("evil.example:8000", "http://evil.example:8000"),
        ("127.0.0.1.evil.example:8000", None),
        ("127.0.0.1:8000@evil.example", None),
        ("localhost:8000:1", None),
        ("localhost\n:8000", None),
        ("192.168.0.7:8000", None),
        ("", None),
        (HERE, "http://evil.example"),
        (HERE, "http://127.0.0.1:9000"),
        (HERE, "http://localhost:8000"),
        (HERE, "null"),
        (HERE, ""),
        (HERE, "http://[::1"),
    ],
)
def test_a_page_of_another_server_does_not_pass_with_the_token(
    guard: Guard, host: str, origin: str | None
) -> None:
    assert guard.refusal("/", "the-token", host, origin)
    assert guard.refusal("/the-passage/ws", "", host, origin)


def test_the_port_of_a_tunnel_may_be_another_one() -> None:
    assert is_local("localhost")
    assert is_local("[::1]:7000")
    assert same_origin("http://localhost:7000", "localhost:7000")
    assert not same_origin("http://", "")


def test_secrets_are_long_new_each_time_and_not_in_a_repr() -> None:
    first, second = Guard(), Guard()
    assert len({first.token, first.passage, second.token, second.passage}) == 4
    assert min(len(first.token), len(first.passage)) >= 43
    assert first.token not in repr(first)


def test_the_page_asks_nobody_else() -> None:
    text, headers = render_page("pass", "<b>", "localhost:7000", "999999")
    assert "<b>" not in text
    assert re.findall(r"https?:|//[a-z]", text.replace('"https:"', "")) == []
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "connect-src 'self' ws://localhost:7000 wss://localhost:7000;" in policy
    assert headers["Referrer-Policy"] == "no-referrer"


def test_without_the_extra_there_is_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    assert main(["web"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "pip install 'dpo-workbench[web]'" in captured.err


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_refused(home: Path, port: str) -> None:
    with pytest.raises(SystemExit) as error:
        main(["web", "--port", port])
    assert error.value.code == 2


@pytest.fixture
async def server(home: Path) -> AsyncIterator[WebServer]:
    """A server at work, with the real app behind it."""
    found = WebServer(0, APP_COMMAND)
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def client() -> AsyncIterator[Any]:
    async with import_module("aiohttp").ClientSession() as session:
        yield session


@served
async def test_requests_without_the_token_get_403(server: WebServer, client: Any) -> None:
    place = f"http://127.0.0.1:{server.port}"
    for path in ("/", "/?token=x", "/ws", "/static/js/textual.js", "/download/x", "/nothing"):
        async with client.get(place + path) as answer:
            assert answer.status == 403, path
            assert server.guard.token not in await answer.text()
    async with client.get(server.address, headers={"Host": "evil.example"}) as answer:
        assert answer.status == 403
    async with client.get(server.address, headers={"Origin": "http://evil.example"}) as answer:
        assert answer.status == 403
    for path, origin in (("/ws", place), (f"/{server.guard.passage}/ws", "http://evil.example")):
        with pytest.raises(import_module("aiohttp").WSServerHandshakeError, match="403"):
            await client.ws_connect(place + path, headers={"Origin": origin})


@served
async def test_only_the_loopback_is_bound(server: WebServer) -> None:
    hexadecimal = f":{server.port:04X}"
    listening = [
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[1].endswith(hexadecimal) and line.split()[3] == "0A"
    ]
    assert listening == [f"0100007F{hexadecimal}"]


@served
async def test_a_port_that_is_taken_is_one_problem(server: WebServer) -> None:
    with pytest.raises(ProblemError, match="cannot listen on port"):
        await WebServer(server.port).start()


@served
async def test_the_page_and_the_app_s_first_screen_arrive(server: WebServer, client: Any) -> None:
    async with client.get(server.address) as answer:
        assert answer.status == 200
        page = await answer.text()
    place = f"http://127.0.0.1:{server.port}"
    paths = re.findall(r'(?:src|href)="(/[^"]+)"', page)
    assert len(paths) == 2
    for path in paths:
        async with client.get(place + path) as answer:
            assert answer.status == 200, path
    passage = re.search(r'place \+ "([^"]+)"', page)
    assert passage is not None
    url = f"{place}{passage[1]}?width=80&height=24"
    drawn = b""
    async with client.ws_connect(url, headers={"Origin": place}) as terminal:
        while b"Recipes" not in drawn:
            drawn += (await asyncio.wait_for(terminal.receive(), 30)).data
        await terminal.send_json(["stdin", "\x11"])  # ctrl+q
        kinds = import_module("aiohttp").WSMsgType
        while (message := await asyncio.wait_for(terminal.receive(), 30)).type is kinds.BINARY:
            drawn += message.data
        assert message.type in (kinds.CLOSE, kinds.CLOSED)


@served
async def test_an_open_page_does_not_hold_up_the_end(home: Path, client: Any) -> None:
    code = "print('__GANGLION__', flush=True); import sys; sys.stdin.read()"
    server = WebServer(0, shlex.join([sys.executable, "-c", code]))
    await server.start()
    url = f"http://127.0.0.1:{server.port}/{server.guard.passage}/ws"
    async with client.ws_connect(url):
        await asyncio.wait_for(server.stop(), 20)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), 5).close()


@served
def test_the_directions_name_address_and_tunnel(home: Path) -> None:
    server = WebServer(8123)
    text = directions(server)
    assert f"http://127.0.0.1:8123/?token={server.guard.token}" in text
    assert "ssh -L 8123:127.0.0.1:8123 " in text
