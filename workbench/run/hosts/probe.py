"""Asking the other hosts of a run what they have, all at once, before anything starts."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.base.files import make_private_dir, write_atomic
from workbench.base.problems import Problem, ProblemError
from workbench.base.text import clean
from workbench.run.hosts import about
from workbench.run.hosts.remote import remote_command
from workbench.run.hosts.ssh_words import ssh_problem

PROBE_SECONDS = 60.0
PATHS_NAMED = 3
AT_ONCE = 32


@dataclass(frozen=True)
class Place:
    """The address and port of the first host at which the processes meet."""

    ip: str
    port: int


@dataclass(frozen=True)
class HostFacts:
    """What another host has said of itself; see `about`."""

    host: str
    devices: int
    identity: str
    client: str
    shared: bool
    versions: Mapping[str, str]
    missing: tuple[str, ...]
    unreachable: str


def probe(
    hosts: Sequence[str],
    folder: Path,
    *,
    files: Sequence[Path] = (),
    folders: Sequence[Path] = (),
    reach: Place | None = None,
) -> list[HostFacts]:
    """Ask each host, and refuse those that cannot take part.

    Args:
        hosts: The other hosts.
        folder: Where runs are; a host that sees a file of it shares it.
        files, folders: What must be at the same place there.
        reach: Where this host listens meanwhile; without an address, at the one they see.

    Raises:
        ProblemError: Every host that is out of reach or has other versions, or lacks a file.
    """
    question: dict[str, Any] = {
        "files": [str(path) for path in files],
        "folders": [str(path) for path in folders],
        "first": socket.gethostname(),
    }
    if reach is not None:
        question["reach"] = [reach.ip, reach.port]
    with _nonce(folder) as nonce, ThreadPoolExecutor(min(len(hosts), AT_ONCE) or 1) as pool:
        question["nonce"] = nonce
        found = list(pool.map(lambda host: _ask(host, json.dumps(question)), hosts))
    problems = [answer for answer in found if isinstance(answer, Problem)]
    facts = [answer for answer in found if isinstance(answer, HostFacts)]
    problems += [problem for one in facts for problem in _unfit(one, reach)]
    problems += _same_machine(facts)
    if problems:
        raise ProblemError(*problems)
    return facts


@contextlib.contextmanager
def _nonce(folder: Path) -> Iterator[list[str]]:
    """A file that only a host which shares the folder can know."""
    make_private_dir(folder)
    file, content = folder / f".shared-{secrets.token_hex(8)}", secrets.token_hex(16)
    try:
        write_atomic(file, content)
        yield [str(file), content]
    finally:
        file.unlink(missing_ok=True)


def _ask(host: str, question: str) -> HostFacts | Problem:
    command = remote_command(host, ["-m", about.__name__])
    try:
        done = subprocess.run(
            command, input=question.encode(), capture_output=True, timeout=PROBE_SECONDS
        )
    except subprocess.TimeoutExpired:
        what = f"host {host} has not answered for {PROBE_SECONDS:.0f} s"
        return Problem(what, "--hosts", f"Try it: ssh {host} {sys.executable} --version.")
    except OSError as error:
        what = f"{command[0]} cannot be started: {error.strerror}"
        hint = "Install it, or name another ssh in DPO_WORKBENCH_SSH."
        return Problem(what, "--hosts", hint)
    answer = _answer(host, done.stdout) if done.returncode == 0 else None
    words = done.stderr.decode("utf-8", "replace")
    return answer or ssh_problem(host, done.returncode, words, sys.executable)


def _answer(host: str, stdout: bytes) -> HostFacts | None:
    """The last line that is an answer; login scripts may have printed before it."""
    for line in reversed(stdout.splitlines()):
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            said = json.loads(line)
            return HostFacts(
                host=host,
                devices=int(said["devices"]),
                identity=str(said["identity"]),
                client=_inert(said["client"]),
                shared=said["shared"] is True,
                versions={_inert(key): _inert(value) for key, value in said["versions"].items()},
                missing=tuple(_inert(path) for path in said["missing"]),
                unreachable=_inert(said["unreachable"]),
            )
    return None


def _inert(text: object) -> str:
    return clean(str(text), newlines=False)


def _unfit(facts: HostFacts, reach: Place | None) -> list[Problem]:
    """What keeps a host that answers from taking part."""
    problems = []
    here = about.versions()
    other = [
        f"{name} {facts.versions.get(name) or 'missing'} there, {version or 'missing'} here"
        for name, version in here.items()
        if _release(name, facts.versions.get(name, "")) != _release(name, version)
    ]
    if other:
        what = f"host {facts.host} has other versions: {'; '.join(other)}"
        problems.append(Problem(what, "--hosts", "Install the same versions on all hosts."))
    if facts.missing:
        some = ", ".join(facts.missing[:PATHS_NAMED])
        more = len(facts.missing) - PATHS_NAMED
        what = f"host {facts.host} lacks {some}" + (f" and {more} more" if more > 0 else "")
        hint = "Copy it to the same path there, or put it on a shared file system."
        problems.append(Problem(what, "--hosts", hint))
    if facts.unreachable and reach is not None:
        what = (
            f"host {facts.host} cannot reach this host at {reach.ip or facts.client}:{reach.port}"
        )
        hint = "Open the port in the firewall, or set main_process_ip and main_process_port."
        problems.append(Problem(f"{what} ({facts.unreachable})", "main_process_ip", hint))
    return problems


def _release(name: str, version: str) -> str:
    # Two Pythons of one minor version run the same libraries.
    return ".".join(version.split(".")[:2]) if name == "Python" else version


def _same_machine(facts: Sequence[HostFacts]) -> list[Problem]:
    """Names that mean one machine: there the processes of the one would end the other's."""
    problems = []
    seen = {about.identity(): "this host"}
    for one in facts:
        if (other := seen.setdefault(one.identity, one.host)) != one.host:
            what = f"host {one.host} is the same machine as {other}"
            hint = "Name each machine once; several processes on one are num_processes."
            problems.append(Problem(what, "--hosts", hint))
    return problems
