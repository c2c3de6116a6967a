"""`web`: the app in a browser on another computer, through an SSH tunnel."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import socket

from workbench.base.paths import Paths
from workbench.cli.execute import DONE
from workbench.cli.output import one_line
from workbench.cli.web_server import ADDRESS, WebServer, serve_until_stopped


def web(arguments: argparse.Namespace, paths: Paths) -> int:
    """Serve the app on this machine's loopback until Ctrl-C; runs go on without it."""
    server = WebServer(arguments.port)
    asyncio.run(serve_until_stopped(server, lambda: print(directions(server), flush=True)))
    print("The browser's app has ended; runs go on.")
    return DONE


def directions(server: WebServer) -> str:
    """How to get to the app, from here and from afar."""
    port = server.port
    return (
        f"The app is at\n"
        f"  {server.address}\n"
        "Whoever knows this address can do all that you can on this machine: keep it to yourself.\n"
        "From your own computer, first open a tunnel:\n"
        f"  ssh -L {port}:{ADDRESS}:{port} {_login()}\n"
        "Ctrl-C ends it; runs go on."
    )


def _login() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "USER"
    return one_line(f"{user}@{socket.gethostname()}")
