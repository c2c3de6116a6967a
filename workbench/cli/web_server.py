"""The app in a browser: textual-serve's terminal behind a guard, on this machine's loopback."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.cli.execute import BAD_USAGE
from workbench.cli.web_guard import Guard
from workbench.cli.web_page import render_page

ADDRESS = "127.0.0.1"
TITLE = "dpo-workbench"
APP_COMMAND = shlex.join([sys.executable, "-m", "workbench.cli.web_app"])
SHUTDOWN_SECONDS = 2.0
MOST_APPS = 16
"""Open pages at a time; each has an app of its own."""
REFUSED = (
    "Refused: {reason}.\n"
    "Open the address that `dpo-workbench web` has printed, with its token, on 127.0.0.1.\n"
)


class WebServer:
    """Serves the app to whoever passes the guard; each page that is opened gets its own process.

    Args:
        port: 0 for any free one.
        command: What runs the app, for the shell.

    Raises:
        ProblemError: The extra `web` is not installed (exit code 2).
    """

    def __init__(self, port: int, command: str = APP_COMMAND, guard: Guard | None = None) -> None:
        self.guard = guard or Guard()
        self.port = port
        self._web, serve = _modules()
        self._terminals = serve.Server(command, host=ADDRESS, port=port, title=TITLE)
        self._runner: Any = None
        self._open = 0

    @property
    def address(self) -> str:
        """What to open in a browser; whoever knows it may use the app."""
        return f"http://{ADDRESS}:{self.port}/?token={self.guard.token}"

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            ProblemError: The port is taken, or may not be used.
        """
        web = self._web

        async def check(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
            self._refuse(request)
            return await handler(request)

        application = web.Application(middlewares=[web.middleware(check)])
        inside = f"/{self.guard.passage}"
        application.add_routes(
            [
                web.get("/", self._page),
                web.get(f"{inside}/ws", self._socket),
                web.static(f"{inside}/static", self._terminals.statics_path),
            ]
        )
        # No log of requests: it would hold the token.
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, ADDRESS, self.port).start()
        except OSError as error:
            await self.stop()
            what = f"cannot listen on port {self.port}: {error.strerror or error}"
            hint = "Name another one with --port, or 0 for any free one."
            raise ProblemError(Problem(what, ADDRESS, hint)) from error
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """End all apps and listen no more; runs go on."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _refuse(self, request: Any) -> None:
        headers = request.headers
        token, host = request.query.get("token", ""), headers.get("Host", "")
        reason = self.guard.refusal(request.path, token, host, headers.get("Origin"))
        if reason:
            raise self._web.HTTPForbidden(text=REFUSED.format(reason=reason))

    async def _page(self, request: Any) -> Any:
        font = request.query.get("fontsize", "")
        text, headers = render_page(self.guard.passage, TITLE, request.headers["Host"], font)
        return self._web.Response(text=text, content_type="text/html", headers=headers)

    async def _socket(self, request: Any) -> Any:
        if self._open >= MOST_APPS:
            raise self._web.HTTPServiceUnavailable(text="Too many pages are open; close some.\n")
        self._open += 1
        try:
            return await self._terminals.handle_websocket(request)
        finally:
            self._open -= 1


def _modules() -> tuple[Any, Any]:
    """aiohttp's web module and textual-serve's server module."""
    try:
        return import_module("aiohttp.web"), import_module("textual_serve.server")
    except ImportError as error:
        missing = error.name or "textual_serve"
        problem = Problem(
            f"the app in a browser needs the extra 'web' ({missing} is not installed)",
            next_step="Install it: pip install 'dpo-workbench[web]'.",
        )
        raise ProblemError(problem, exit_code=BAD_USAGE) from error


async def serve_until_stopped(server: WebServer, on_start: Callable[[], object]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        on_start: Called once it listens.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopped.set)
    await server.start()
    try:
        on_start()
        await stopped.wait()
    finally:
        await server.stop()
