"""Two hosts made of namespaces: networks joined by a veth pair, own processes, names and mounts."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from debian_packages import missing, program

ROOT = Path(__file__).parents[1]
WAIT_SECONDS = 150.0
ADDRESSES = ("10.77.0.1", "10.77.0.2")
PORT = 22
PACKAGES = ("iproute2", "util-linux", "openssh-client", "openssh-server")
REAPER = (
    "import os, signal\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})\n"
    "while signal.sigwait({signal.SIGCHLD}):\n"
    "    try:\n"
    "        while os.waitpid(-1, os.WNOHANG)[0]: pass\n"
    "    except ChildProcessError: pass\n"
)
"""The first process of a host; without one that waits for orphans they would stay as zombies."""


def wait_until(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """The first true value of a condition, asked again and again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def ip(*words: str) -> str:
    """The output of `ip WORDS`."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20)
    if done.returncode:
        raise OSError(done.stderr.strip())
    return done.stdout


class Host:
    """One of the two: commands are run on it as if one had logged in."""

    def __init__(self, name: str, space: str) -> None:
        self.name = name
        self.space = space
        shell = f"hostname {name} && exec {sys.executable} -c '{REAPER}'"
        unshare = ["unshare", "-m", "-u", "-p", "-f", "--kill-child", "--mount-proc"]
        self._keeper = subprocess.Popen(["ip", "netns", "exec", space, *unshare, "sh", "-c", shell])
        self._init = wait_until(self._first_process, f"{name} to start", 10)

    def _first_process(self) -> int:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self._keeper.pid).children():
                if child.name().startswith("python"):
                    return child.pid
        return 0

    def command(self, *words: str) -> list[str]:
        """A command that runs on this host."""
        return ["nsenter", "-t", str(self._init), "-m", "-u", "-n", "-p", "--", *words]

    def run(self, *words: str, environment: Mapping[str, str] | None = None, timeout: float = 60):
        """Run a command to its end."""
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            env={**os.environ, **(environment or {})},
            timeout=timeout,
            cwd=ROOT,
        )

    def processes(self) -> list[psutil.Process]:
        """All that runs on this host, without its first process."""
        mine = self._space_of(self._init)
        every = [process for process in psutil.process_iter() if process.pid != self._init]
        return [process for process in every if self._space_of(process.pid) == mine]

    @staticmethod
    def _space_of(pid: int) -> str:
        with contextlib.suppress(OSError):
            return str(Path(f"/proc/{pid}/ns/pid").readlink())
        return ""

    @contextlib.contextmanager
    def covered(self, place: Path, *, by: Path | None = None) -> Iterator[None]:
        """Let this host alone see another file at a place, or an empty folder without `by`."""
        if by is None:
            place.mkdir(exist_ok=True)
        what = ["-t", "tmpfs", "none"] if by is None else ["--bind", str(by)]
        done = self.run("mount", *what, str(place))
        assert done.returncode == 0, done.stderr
        try:
            yield
        finally:
            self.run("umount", str(place))

    def link(self, state: str) -> None:
        """Take this host's end of the cable `up` or `down`."""
        ip("-n", self.space, "link", "set", "cable", state)

    def cable_bytes(self) -> tuple[int, int]:
        """Bytes received and sent over the cable."""
        line = self.run("grep", "cable", "/proc/net/dev").stdout.split(":")[1].split()
        return int(line[0]), int(line[8])

    def close(self) -> None:
        """End every process of the host, and its network."""
        self._keeper.kill()
        self._keeper.wait(10)
        with contextlib.suppress(OSError):
            ip("netns", "del", self.space)


class Pair:
    """Two hosts, `a` and `b`, joined by a cable.

    Args:
        names: What each is called.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._spaces: list[str] = []
        self._made: list[Host] = []
        try:
            self._make(names)
        except BaseException:
            self.close()
            raise
        self.a, self.b = self._made

    def _make(self, names: Sequence[str]) -> None:
        for name in names:
            space = f"{name}-{os.getpid()}"
            ip("netns", "add", space)
            self._spaces.append(space)
        first, second = self._spaces
        cable = ["link", "add", "cable", "netns", first, "type", "veth"]
        ip(*cable, "peer", "name", "cable", "netns", second)
        for address, space in zip(ADDRESSES, self._spaces, strict=True):
            ip("-n", space, "addr", "add", f"{address}/24", "dev", "cable")
            for device in ("lo", "cable"):
                ip("-n", space, "link", "set", device, "up")
        for name, space in zip(names, self._spaces, strict=True):
            self._made.append(Host(name, space))

    def close(self) -> None:
        """End both hosts."""
        for host in self._made:
            host.close()
        for space in self._spaces:
            with contextlib.suppress(OSError):
                ip("netns", "del", space)


class TwoHosts(Pair):
    """hosta and hostb, which ssh reaches from hosta by its name.

    Attributes:
        environment: What a command on hosta gets, so that it finds hostb and no model hub.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(("hosta", "hostb"))
        self.folder = folder
        self.ssh_config = folder / "ssh_config"
        self.environment = {
            "DPO_WORKBENCH_HOME": str(folder / "home"),
            "DPO_WORKBENCH_SSH": f"ssh -F {self.ssh_config}",
            "PYTHONPATH": str(ROOT),
            "HF_HUB_OFFLINE": "1",
        }

    def serve(self) -> None:
        """Let hosta's ssh into hostb."""
        self._make_keys()
        self._serve()

    def _make_keys(self) -> None:
        for name in ("host_key", "user_key", "other_key"):
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
            subprocess.run(make, check=True, timeout=20)
        shutil.copy(self.folder / "user_key.pub", self.folder / "authorized_keys")
        self.know("host_key")
        self.ssh_config.write_text(
            f"Host hostb\n  HostName {ADDRESSES[1]}\n  User root\n  Port {PORT}\n"
            f"  UserKnownHostsFile {self.folder}/known_hosts\n  GlobalKnownHostsFile none\n"
            f"  StrictHostKeyChecking yes\n  IdentitiesOnly yes\n"
            f"  IdentityFile {self.folder}/user_key\n"
        )

    def know(self, key: str) -> None:
        """Let ssh expect one of the keys from hostb."""
        public = (self.folder / f"{key}.pub").read_text()
        (self.folder / "known_hosts").write_text(f"{ADDRESSES[1]} {public}")

    def _serve(self) -> None:
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {PORT}\nListenAddress {ADDRESSES[1]}\nHostKey {self.folder}/host_key\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nUsePAM no\nStrictModes no\n"
            "PasswordAuthentication no\nPidFile none\nPermitRootLogin yes\n"
        )
        sshd = program("sshd") or "sshd"
        self.b.run("mkdir", "-p", "/run/sshd")
        done = self.b.run(sshd, "-f", str(config), "-E", str(self.folder / "sshd.log"))
        assert done.returncode == 0, done.stderr

    def workbench(self, *words: str, timeout: float = 90, **more: str):
        """Run `dpo-workbench WORDS` on hosta."""
        command = [sys.executable, "-m", "workbench", *words]
        environment = {**self.environment, **more}
        return self.a.run(*command, environment=environment, timeout=timeout)


def skip_without_spaces(*programs: str) -> None:
    """Skip a test where hosts cannot be made of namespaces, or where one of `programs` lacks."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if reason := missing(("ip", "nsenter", "unshare", *programs), PACKAGES):
        pytest.skip(f"no two hosts to test with: {reason}")
    probe = f"probe-{os.getpid()}"
    try:
        ip("netns", "add", probe)
        ip("netns", "del", probe)
    except OSError as error:
        pytest.skip(f"no network namespaces here: {error}")


@contextlib.contextmanager
def two_hosts(folder: Path) -> Iterator[TwoHosts]:
    """Two hosts for a while; skips the test where they cannot be made."""
    skip_without_spaces("ssh", "ssh-keygen", "sshd")
    hosts = TwoHosts(folder)
    try:
        hosts.serve()
        yield hosts
    finally:
        hosts.close()
