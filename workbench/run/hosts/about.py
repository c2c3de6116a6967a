"""What a host says of itself: ``python -m workbench.run.hosts.about < QUESTION.json``.

The question names files and folders that the run needs at the same places, and an address; the
answer is one line of JSON. It has no torch.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from workbench import __version__
from workbench.run.devices import CPU, visible_slots
from workbench.run.evidence import boot_id

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")
REACH_SECONDS = 5.0


def about(question: dict[str, Any]) -> dict[str, Any]:
    """The answer to a question.

    Args:
        question: `files` and `folders` that should be there, `nonce` (a file, and what it holds),
            `first` (the name of the first host), and `reach` (its port, and its address or nothing
            for the one that is seen from here), or some of them.

    Returns:
        `versions`, `devices` (GPUs, 0 for none), `identity`, `client` (the first host's address as
        seen from here), `shared` (whether the nonce was found), `missing` (paths), `unreachable`
        (why the address cannot be reached, empty where it can).
    """
    slots = visible_slots()
    missing = [path for path in question.get("files", ()) if not Path(path).is_file()]
    missing += [path for path in question.get("folders", ()) if not Path(path).is_dir()]
    client = _client(str(question.get("first", "")))
    address, port = question.get("reach", ("", 0))
    return {
        "versions": versions(),
        "devices": 0 if slots == [CPU] else len(slots),
        "identity": identity(),
        "client": client,
        "shared": _finds(*question["nonce"]) if "nonce" in question else False,
        "missing": missing,
        "unreachable": _try_to_reach(address or client, port) if port else "",
    }


def versions() -> dict[str, str]:
    """The versions of what must be the same on all hosts; empty for what is not installed."""
    found = {"dpo-workbench": __version__, "Python": platform.python_version()}
    for name in LIBRARIES:
        found[name] = ""
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def identity() -> str:
    """What two names of one host have in common: the kernel, and which processes it shows."""
    try:
        processes = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        processes = ""
    return f"{boot_id()} {processes}"


def _client(first: str) -> str:
    # In a job the other one is left over from the login node.
    if address := os.environ.get("SLURM_LAUNCH_NODE_IPADDR", ""):
        return address
    words = os.environ.get("SSH_CONNECTION", "").split()
    if words:
        return words[0]
    try:
        return socket.gethostbyname(first)
    except OSError:
        return ""


def _finds(path: str, content: str) -> bool:
    try:
        return Path(path).read_text(encoding="utf-8") == content
    except (OSError, ValueError):
        return False


def _try_to_reach(address: str, port: int) -> str:
    try:
        socket.create_connection((address, port), timeout=REACH_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error) or "no answer"
    return ""


def main() -> int:
    """Entry of the process."""
    answer = about(json.load(sys.stdin))
    # What a login script has printed may stand before it, without a line end.
    print("\n" + json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
