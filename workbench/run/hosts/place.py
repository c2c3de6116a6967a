"""Where the processes of several hosts meet: the first host's address, a port, an interface."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from workbench.base.problems import Problem, ProblemError
from workbench.run.hosts.names import own_addresses
from workbench.run.hosts.probe import HostFacts, Place, probe

GLOO, NCCL = "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"
DISCARD_PORT = 9
PROGRAM_WORDS = 3
"""`-m MODULE RUN` at the end of a launcher's command."""


def meeting_address(facts: Sequence[HostFacts], ip: str = "") -> str:
    """The address at which the processes will meet.

    Args:
        facts: The other hosts; without a wished address, as whom they see this host counts.
        ip: The recipe's wish.

    Raises:
        ProblemError: It is no address of this host.
    """
    address = ip or next((one.client for one in facts if one.client), "")
    if _addresses_of(address) & own_addresses():
        return address
    raise _no_address(address, seen=not ip)


def _no_address(address: str, *, seen: bool = False) -> ProblemError:
    what = f"{address} is no address of this host"
    if seen:
        what = f"the other hosts see this one as {address or 'nobody'}, which is no address of it"
    hint = "Set main_process_ip to the address at which the other hosts reach this one."
    return ProblemError(Problem(what, "main_process_ip", hint))


def ask_hosts(
    hosts: Sequence[str], wish: Place, folder: Path, needed: Sequence[Path] = ()
) -> tuple[Place, list[HostFacts]]:
    """Ask the other hosts of a run what they have, and find out where all meet.

    Args:
        wish: The recipe's, with an empty address or port 0 for none.
        folder: Where runs are; a host that sees a file of it shares it.
        needed: Files and folders of this host that must be at the same place there.

    Raises:
        ProblemError: A host cannot take part, or the place cannot be had.
    """
    with listening(wish) as door:
        facts = probe(
            hosts,
            folder,
            files=[path for path in needed if path.is_file()],
            folders=[path for path in needed if path.is_dir()],
            reach=door,
        )
    return Place(meeting_address(facts, wish.ip), door.port), facts


@contextlib.contextmanager
def listening(wish: Place) -> Iterator[Place]:
    """Listen for a while, so that the other hosts can try whether they get through.

    Args:
        wish: Without an address all are listened at, without a port a free one is taken.

    Raises:
        ProblemError: The port is taken, or may not be had.
    """
    family = socket.AF_INET6 if ":" in wish.ip else socket.AF_INET
    with socket.socket(family) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((wish.ip, wish.port))
            door.listen()
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
                raise _no_address(wish.ip) from error
            what = f"port {wish.port} cannot be had: {error.strerror or error}"
            hint = "Set main_process_port to another one, or leave it out: a free one is taken."
            raise ProblemError(Problem(what, "main_process_port", hint)) from error
        yield Place(wish.ip, door.getsockname()[1])


def on_machine(
    command: Sequence[str], machine: int, machines: int, place: Place
) -> tuple[str, ...]:
    """The launcher's command on one of several machines.

    Args:
        command: As `launch_command` makes it: the program and its run stand last.
        machine: Its number from 0, of `machines`.
    """
    options = {
        "--num_machines": machines,
        "--machine_rank": machine,
        "--main_process_ip": place.ip,
        "--main_process_port": place.port,
    }
    words = [str(word) for option in options.items() for word in option]
    return (*command[:-PROGRAM_WORDS], *words, *command[-PROGRAM_WORDS:])


def socket_environment(ip: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Which network interface gloo and NCCL take: the one that leads to an address.

    Left alone, gloo takes the one that this host's name resolves to, which on many machines is
    the loopback. What the person has set stays.
    """
    name = interface_to(ip)
    # To NCCL a bare name is the beginning of one: eth1 would mean eth10, too.
    found = {GLOO: name, NCCL: f"={name}"} if name else {}
    return {key: value for key, value in found.items() if key not in environ}


def without_foreign_interfaces(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment from the first host, without interfaces that have other names here."""
    here = list(psutil.net_if_addrs())
    foreign = set()
    for key in (GLOO, NCCL):
        names = environ.get(key, "")
        if not names.startswith("^"):
            wanted = names.removeprefix("=").split(",")
            if not any(one.startswith(name) for name in wanted for one in here):
                foreign.add(key)
    return {key: value for key, value in environ.items() if key not in foreign}


def interface_to(ip: str) -> str:
    """The interface that this host uses towards an address; empty where there is no way."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Nothing is sent: the kernel only chooses the way.
            probe.connect((ip, DISCARD_PORT))
            source = probe.getsockname()[0]
    except OSError:
        return ""
    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address.partition("%")[0] == source for entry in entries):
            return name
    return ""


def _addresses_of(name: str) -> set[str]:
    try:
        return {str(item[4][0]) for item in socket.getaddrinfo(name, None)} if name else set()
    except (OSError, UnicodeError):
        return set()
