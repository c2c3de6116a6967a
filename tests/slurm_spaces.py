"""A Slurm cluster of two machines, n1 and n2, that are made of namespaces.

n1 has the controller. What the two share is this machine's files, and with them munge's socket.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from debian_packages import missing
from slurm_cluster import DAEMONS, NODES, PACKAGES, Cluster
from two_hosts import ADDRESSES, ROOT, Host, Pair, skip_without_spaces

TWO_MACHINES = """\
SlurmctldHost=n1({0})
SlurmctldPort=6817
SlurmdPort=6818
NodeName=n1 NodeHostname=n1 NodeAddr={0} CPUs=4 RealMemory=4000
NodeName=n2 NodeHostname=n2 NodeAddr={1} CPUs=4 RealMemory=4000
"""


class TwoNodes(Cluster):
    """The cluster, and commands of the workbench on its first node.

    Args:
        folder: For everything that the daemons write, and the workbench; an empty one.
        pair: n1 and n2.
    """

    def __init__(self, folder: Path, pair: Pair) -> None:
        super().__init__(folder)
        self._hosts: dict[str, Host] = dict(zip(NODES, (pair.a, pair.b), strict=True))
        self.environment = {
            "DPO_WORKBENCH_HOME": str(folder / "home"),
            "DPO_WORKBENCH_SSH": "",
            "PYTHONPATH": str(ROOT),
            "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "SLURM_CONF": str(self.config),
        }

    def start(self) -> None:
        # A namespace has no control groups, and slurmd looks for them unless it is told.
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        super().start()

    def machines(self) -> str:
        return TWO_MACHINES.format(*ADDRESSES)

    def on(self, node: str, *command: str) -> list[str]:
        return self._hosts[node or NODES[0]].command(*command)

    def host(self, node: str) -> Host:
        """The machine of a node."""
        return self._hosts[node]

    def begin_node(self, node: str) -> None:
        for daemon in [one for one in self._daemons if node in one.args]:
            daemon.wait(timeout=10)
            self._daemons.remove(daemon)
        super().begin_node(node)

    def crash(self, node: str) -> None:
        """End all that runs on a node, at once."""
        for process in self._hosts[node].processes():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def restart_daemon(self, node: str) -> None:
        """Start a node's daemon anew, so that the controller hears of the node at once."""
        daemons = [one for one in self._hosts[node].processes() if one.name() == "slurmd"]
        for process in daemons:
            process.terminate()
        psutil.wait_procs(daemons, timeout=10)
        for daemon in [one for one in self._daemons if node in one.args]:
            daemon.wait(timeout=10)
            self._daemons.remove(daemon)
        self.begin_node(node)

    def set(self, name: str, value: object) -> None:
        """Change a line of the configuration."""
        lines = self.config.read_text().splitlines()
        others = [line for line in lines if not line.startswith(f"{name}=")]
        self.config.write_text("\n".join([f"{name}={value}", *others]) + "\n")
        self.command("scontrol", "reconfigure")

    def workbench(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run `dpo-workbench WORDS` on n1."""
        command = (sys.executable, "-m", "workbench", *words)
        return self._hosts[NODES[0]].run(*command, environment={**self.environment, **more})


@contextlib.contextmanager
def two_nodes(folder: Path) -> Iterator[TwoNodes]:
    """The cluster for a while; skips the test where it cannot be."""
    skip_without_spaces()
    if reason := missing(DAEMONS, PACKAGES):
        pytest.skip(f"no Slurm to test with: {reason}")
    pair = Pair(NODES)
    cluster = TwoNodes(folder, pair)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        pair.close()
