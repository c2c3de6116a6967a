"""A Slurm cluster of this machine alone: its own key, sockets, ports and folders, two nodes.

Everything listens on loopback. The daemons are children of the test and are ended by it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from debian_packages import missing, program

DAEMONS = ("munged", "slurmctld", "slurmd")
PACKAGES = ("slurm-wlm", "munge")
START_SECONDS = 30.0
NODES = ("n1", "n2")
CONFIG = """\
ClusterName=trial
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
MinJobAge=3600
KillWait=20
MailProg=/bin/true
{machines}
PartitionName=work Nodes=n1,n2 Default=YES DefMemPerNode=1000 MaxTime=60 State=UP
PartitionName=off Nodes=n1 DefMemPerNode=1000 State=DOWN
"""

ONE_MACHINE = """\
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=4000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=4000
"""


class Cluster:
    """The daemons, and the commands that speak with them.

    Args:
        folder: For everything that they write; an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "slurm.conf"
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start all daemons and wait until every node is idle."""
        for name in ("state", "log", "run", "munge", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir(mode=0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self.config.write_text(CONFIG.format(folder=self.folder, machines=self.machines()))
        munge = self.folder / "munge"
        self._begin("munged", "--foreground", f"--key-file={key}", f"--socket={munge}/socket",
                    f"--pid-file={munge}/pid", f"--seed-file={munge}/seed", "--num-threads=2",
                    "--force")  # fmt: skip
        self._await(lambda: (munge / "socket").exists(), "munged")
        self._begin("slurmctld", "-D", "-f", str(self.config))
        for node in NODES:
            self.begin_node(node)
        self.await_nodes()

    def machines(self) -> str:
        """The part of the configuration that says what runs where: all of it here."""
        host = socket.gethostname().partition(".")[0]
        return ONE_MACHINE.format(host=host, ports=free_ports(3))

    def on(self, node: str, *command: str) -> list[str]:
        """A command that runs where a node is, and without one where the controller is."""
        return list(command)

    def begin_node(self, node: str) -> None:
        """Start the daemon of a node."""
        self._begin("slurmd", "-D", "-N", node, "-f", str(self.config), node=node)

    def await_nodes(self) -> None:
        """Wait until every node is idle."""
        self._await(self._is_idle, "the nodes")

    def _begin(self, name: str, *arguments: str, node: str = "") -> None:
        path = program(name)
        assert path is not None
        logs = self.folder / "log"
        with (logs / f"{name}-{len(list(logs.iterdir()))}.out").open("wb") as log:
            self._daemons.append(
                subprocess.Popen(
                    self.on(node, path, *arguments),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "SLURM_CONF": str(self.config)},
                    start_new_session=True,
                )
            )

    def _is_idle(self) -> bool:
        answer = self.command("sinfo", "--noheader", "--Node", "--format=%T", check=False)
        return answer.split() == ["idle"] * (len(NODES) + 1)

    def _await(self, condition: object, what: str) -> None:
        assert callable(condition)
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            dead = [daemon.args for daemon in self._daemons if daemon.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise RuntimeError(f"{what} did not start ({dead}):\n{self.said()}")
            time.sleep(0.1)

    def said(self) -> str:
        """The last words of every daemon."""
        logs = sorted((self.folder / "log").iterdir())
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-2000:]}" for log in logs)

    def command(self, *command: str, check: bool = True) -> str:
        """What a command of Slurm's prints, whatever a test has set for those of the workbench."""
        plain = {name: value for name, value in os.environ.items() if "SQUEUE_" not in name}
        done = subprocess.run(
            self.on("", *command),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={**plain, "SLURM_CONF": str(self.config)},
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def let_begin(self, job: str) -> None:
        """Let a requeued job begin soon; Slurm makes it wait for two minutes."""
        deadline = time.monotonic() + START_SECONDS
        asked = ("squeue", "--noheader", "--format=%T %r", f"--jobs={job}")
        # Before that what is left of the last attempt is still being ended.
        while self.command(*asked) != "PENDING BeginTime\n":
            assert time.monotonic() < deadline, f"job {job} was not requeued"
            time.sleep(0.1)
        # In the second of its end slurmd would take the new start for the old one.
        self.command("scontrol", "update", f"JobId={job}", "StartTime=now+2")

    def forget_jobs(self) -> None:
        """Cancel whatever is queued or runs, and wait until it is gone."""
        self.command("scancel", "--user=root", check=False)
        deadline = time.monotonic() + START_SECONDS
        while self.command("squeue", "--noheader").strip() and time.monotonic() < deadline:
            time.sleep(0.1)

    def stop(self) -> None:
        """End the daemons and what they have started, by their pids."""
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            self.forget_jobs()
        left: list[psutil.Process] = []
        for daemon in reversed(self._daemons):
            with contextlib.suppress(psutil.Error):
                left += psutil.Process(daemon.pid).children(recursive=True)
            daemon.send_signal(signal.SIGTERM)
        for daemon in self._daemons:
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()


def free_ports(count: int) -> list[int]:
    """Ports of loopback on which nobody listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def running_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster that is there while a fixture yields it; skips the test where none can be."""
    if os.geteuid() != 0:
        pytest.skip("no Slurm to test with: slurmd and munged need root here")
    if reason := missing(DAEMONS, PACKAGES):
        pytest.skip(f"no Slurm to test with: {reason}")
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
