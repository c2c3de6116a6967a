"""The names of a run's hosts, as `--hosts` takes them."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence

import psutil

from workbench.base.problems import Problem, ProblemError

NAME_LENGTH = 255
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def parse_hosts(text: str) -> list[str]:
    """The hosts of `a,user@b`; the first is where the supervisor runs.

    Raises:
        ProblemError: A name is odd or there twice, there is one only, or the first is not this
            host (exit code 2).
    """
    hosts = [name.strip() for name in text.split(",") if name.strip()]
    for host in hosts:
        if not is_host_name(host):
            what = f"this is no name of a host: {host[:60]!r}"
            raise _refused(what, "Write it as ssh takes it: b, b.example.org, user@b or an alias.")
    if len(hosts) < 2:
        hint = "Name two hosts at least, this one first: --hosts a,b."
        raise _refused("a run on several hosts needs their names", hint)
    if twice := sorted({host for host in hosts if hosts.count(host) > 1}):
        raise _refused(f"a host is there twice: {', '.join(twice)}", "Name each host once.")
    check_first(hosts)
    return hosts


def check_first(hosts: Sequence[str]) -> None:
    """Make sure that the first of a run's hosts is this one.

    Raises:
        ProblemError: It is another one (exit code 2).
    """
    if hosts and not is_this_host(hosts[0]):
        here = socket.gethostname()
        what = f"the first of the hosts must be this one, {here}, and {hosts[0]} is another"
        raise _refused(what, f"Put {here} or localhost first, or give the command on {hosts[0]}.")


def is_host_name(text: str) -> bool:
    """Whether ssh can take a text as a host: nothing that its shell or options would read."""
    parts = text.split("@")
    fits = all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.:%-]*", part) for part in parts)
    return fits and len(parts) <= 2 and len(text) <= NAME_LENGTH


def is_this_host(name: str) -> bool:
    """Whether a host's name means the machine that this process runs on."""
    bare = name.rpartition("@")[2]
    here = socket.gethostname()
    if bare in (*LOCAL_NAMES, here, here.partition(".")[0]):
        return True
    try:
        found = {str(item[4][0]) for item in socket.getaddrinfo(bare, None)}
    except (OSError, UnicodeError):
        return False
    return bool(found & own_addresses())


def own_addresses() -> set[str]:
    """The network addresses of this machine's interfaces."""
    interfaces = psutil.net_if_addrs().values()
    return {entry.address.partition("%")[0] for entries in interfaces for entry in entries}


def _refused(what: str, hint: str) -> ProblemError:
    return ProblemError(Problem(what, "--hosts", hint), exit_code=2)
