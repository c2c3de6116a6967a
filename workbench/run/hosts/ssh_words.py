"""What ssh's own words about a connection mean to the person who wanted it."""

from __future__ import annotations

import re

from workbench.base.problems import Problem
from workbench.base.secrets import redact
from workbench.base.text import clean
from workbench.run.hosts.remote import goes_by_srun

SSH_FAILED = 255
NOT_FOUND, NOT_EXECUTABLE = 127, 126
LAST_WORDS = 300

TRY = "Try it: ssh -o BatchMode=yes {host} true."
TRY_SRUN = "See what Slurm says of it: scontrol show node {host}."
CAUSES = (
    (
        r"could not resolve hostname|name or service not known|unknown host",
        "there is no host of the name {host}",
        "Check its spelling, or give it an address in ~/.ssh/config.",
    ),
    (
        r"remote host identification has changed|host identification has changed",
        "the key of host {host} is not the one that ssh knows",
        "If the host was made anew, forget the old key: ssh-keygen -R {bare}. Otherwise ask who "
        "administers it.",
    ),
    (
        r"host key verification failed|no .* host key is known",
        "ssh does not know the key of host {host} yet",
        "Log in once by hand and accept its key: ssh {host}.",
    ),
    (
        r"permission denied|too many authentication failures|no more authentication methods",
        "host {host} does not let ssh in without a password",
        "Give it your public key (ssh-copy-id {host}), or load the key: ssh-add.",
    ),
    (
        r"connection refused",
        "host {host} refuses the connection: nothing listens at ssh's port",
        "Start sshd there, or give its port in ~/.ssh/config.",
    ),
    (
        r"timed out|no route to host|network is unreachable|host is down|banner exchange",
        "host {host} does not answer",
        "See whether it is up, and reachable from here. " + TRY,
    ),
    (
        r"no such file or directory.*(?:config|-F)|can't open user config file|bad configuration",
        "ssh cannot read its configuration",
        "Check DPO_WORKBENCH_SSH and ~/.ssh/config. " + TRY,
    ),
)


def ssh_problem(host: str, code: int, words: str, python: str) -> Problem:
    """Why a command on another host has not answered.

    Args:
        code: The exit code of ssh, which is the command's where that was started.
        words: What ssh and the command have written to stderr.
        python: The Python that was asked for.
    """
    fill = {"host": host, "bare": host.rpartition("@")[2]}
    if code == SSH_FAILED:
        for pattern, what, hint in CAUSES:
            if re.search(pattern, words, re.IGNORECASE):
                return Problem(what.format(**fill), "--hosts", hint.format(**fill))
    if "No module named" in words and "workbench" in words:
        what = f"dpo-workbench is not installed in the Python of host {host}"
        return Problem(what, python, "Install the same version there, at the same place.")
    if code in (NOT_FOUND, NOT_EXECUTABLE):
        what = f"host {host} has no Python where this host has it"
        hint = "Install dpo-workbench there at the same place, or share the folder."
        return Problem(what, python, hint)
    said = last_words(words)
    what = f"host {host} cannot be asked what it has (exit code {code})"
    hint = TRY_SRUN if goes_by_srun() else TRY
    return Problem(f"{what}: {said}" if said else what, "--hosts", hint.format(**fill))


def last_words(words: str) -> str:
    """The last line of what a command has written, inert and without secrets."""
    lines = [line.strip() for line in clean(words).splitlines() if line.strip()]
    return redact(lines[-1][-LAST_WORDS:]) if lines else ""
