"""The other hosts of a run, as the supervisor on the first one holds them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from workbench.base.problems import Problem
from workbench.run.directory import RunDirectory
from workbench.run.hosts import agent
from workbench.run.hosts.host_log import HostLog
from workbench.run.hosts.link import Link
from workbench.run.hosts.needs import paths_of_run
from workbench.run.hosts.orders import OWN_HOST_VARIABLE, StartOrder, passed_on, silence_limit
from workbench.run.hosts.place import ask_hosts, on_machine, socket_environment
from workbench.run.hosts.probe import Place
from workbench.run.hosts.remote import remote_command
from workbench.run.hosts.sending import send
from workbench.run.record import read_record

GRACE_SECONDS = 5.0
SETTLE_SECONDS = 10.0
FINISH_SECONDS = 120.0
SWEEP_SECONDS = 10.0
POLL_SECONDS = 0.2
AT_ONCE = 32
MEGABYTE = 1e6


class HostLinks:
    """Starts, follows and ends what a run has on its other hosts.

    Args:
        run: The run; its supervisor is this process.
        hosts: The other hosts, in the order of their machine ranks, which begin with 1.
        ip, port: Where the processes meet, as the recipe wishes; empty and 0 for none.
        variables: What the recipe sets for the processes of all hosts.
        say: Takes a line for train.log.
        silence_seconds: How long nothing may be heard of a host before it is lost.

    Attributes:
        environment: Once it is started: what this host's own launcher needs to know.
    """

    def __init__(
        self,
        run: RunDirectory,
        hosts: Sequence[str],
        *,
        ip: str = "",
        port: int = 0,
        variables: Mapping[str, str] | None = None,
        say: Callable[[str], None],
        silence_seconds: float | None = None,
    ) -> None:
        self.run = run
        self.environment: dict[str, str] = {}
        self._wish = Place(ip, port)
        self._variables = dict(variables or {})
        self.silence_seconds = silence_seconds or silence_limit()
        self._say = say
        self._logs = [HostLog(run, host, say) for host in hosts]
        self._links = [
            Link(
                log.host,
                remote_command(log.host, ["-m", agent.__name__, str(run.path)]),
                say=say,
                on_event=log.take,
            )
            for log in self._logs
        ]
        self._told_stop = False

    @property
    def hosts(self) -> list[str]:
        """The names of the other hosts."""
        return [link.host for link in self._links]

    def start(self, command: Sequence[str], processes: int) -> tuple[str, ...]:
        """Start the launcher on every other host.

        Args:
            command: The launcher's command, the same on all hosts.
            processes: How many processes train together, on all hosts.

        Returns:
            This host's own command.

        Raises:
            ProblemError: A host cannot take part, or the port is taken.
            OSError: ssh cannot be started.
        """
        place, facts = ask_hosts(self.hosts, self._wish, self.run.path, paths_of_run(self.run))
        apart = [one.host for one in facts if not one.shared]
        self._send_files(apart)
        machines = len(self._links) + 1
        each = processes // machines
        for machine, (link, log) in enumerate(zip(self._links, self._logs, strict=True), 1):
            log.ranks = range(machine * each, (machine + 1) * each)
            relay = link.host in apart
            own = {OWN_HOST_VARIABLE: "1"} if relay else {}
            order = StartOrder(
                command=on_machine(command, machine, machines, place),
                environment={**passed_on(os.environ, shared=not relay), **self._variables, **own},
                address=place.ip,
                relay=relay,
                silence=self.silence_seconds,
            )
            link.open()
            link.send(order.as_json())
        self.environment = socket_environment(place.ip)
        self._say(f"{', '.join(self.hosts)} and this host meet at {place.ip}:{place.port}")
        return on_machine(command, 0, machines, place)

    def _send_files(self, hosts: Sequence[str]) -> None:
        if not hosts:
            return
        with ThreadPoolExecutor(min(len(hosts), AT_ONCE)) as pool:
            sizes = list(pool.map(lambda host: send(self.run, host), hosts))
        for host, size in zip(hosts, sizes, strict=True):
            self._say(f"{host} does not share this host's files: sent {size / MEGABYTE:.1f} MB")

    def poll(self) -> Problem | None:
        """A host that is lost, or whose processes have failed; None while all is well."""
        for link, log in zip(self._links, self._logs, strict=True):
            if log.code is None and (link.ended or link.silent_seconds > self.silence_seconds):
                return self._lost(link)
            # The processes here notice by themselves, and say more of it.
            if log.code and time.monotonic() - log.ended_at > GRACE_SECONDS:
                return self._failed(log)
        return None

    def _lost(self, link: Link) -> Problem:
        since = time.strftime("%H:%M:%S", time.localtime(link.heard))
        if link.ended:
            why = f"its connection has ended, at {since}"
            why += f" ({link.words})" if link.words else ""
        else:
            why = f"nothing was heard of it for {link.silent_seconds:.0f} s, since {since}"
        return Problem(f"host {link.host} is lost: {why}", "", self._afterwards(link.host))

    def _afterwards(self, lost: str) -> str:
        record = read_record(self.run)
        resume = f"dpo-workbench resume {self.run.id}"
        if record.slurm_job:
            return f"On nodes that Slurm chooses: {resume}{self._checkpoint()}."
        here, *others = record.hosts or ["localhost", *self.hosts]
        instead = ",".join([here, *("c" if host == lost else host for host in others)])
        hint = f"When it is back: {resume}{self._checkpoint()}. With another: {resume} --hosts"
        return f"{hint} {instead}."

    def _checkpoint(self) -> str:
        name = Path(read_record(self.run).stopped_at).name
        return f" (it goes on from {name})" if name else " (it starts anew)"

    def _failed(self, log: HostLog) -> Problem:
        what = log.reason or f"its processes have ended with exit code {log.code}"
        hint = f"Read their logs in {self.run.path / 'ranks'}, and train.log."
        return Problem(f"host {log.host}: {what}", str(self.run.log), hint)

    @property
    def all_ended(self) -> bool:
        """Whether every host's launcher has ended, or the host is lost."""
        return all(
            log.code is not None or link.ended or link.silent_seconds > self.silence_seconds
            for link, log in zip(self._links, self._logs, strict=True)
        )

    def settle(self, *, failed: bool) -> None:
        """Wait a while for the hosts' last words; where all went well they may be long."""
        deadline = time.monotonic() + (SETTLE_SECONDS if failed else FINISH_SECONDS)
        while not self.all_ended and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Ask the processes on all hosts to stop with a checkpoint; once is enough."""
        if not self._told_stop:
            self._told_stop = True
            self._tell("stop")

    def kill(self) -> None:
        """End the processes on all hosts at once."""
        self._tell("kill")

    def _tell(self, order: str) -> None:
        for link in self._links:
            link.send({"op": order})

    def close(self) -> None:
        """End all connections, and with them what is left of the run on the other hosts."""
        with ThreadPoolExecutor(min(len(self._links), AT_ONCE) or 1) as pool:
            list(pool.map(self._close, self._links))

    def _close(self, link: Link) -> None:
        if link.silent_seconds > self.silence_seconds:
            link.close(0.0)
            return
        link.close()
        if not link.left:
            self._sweep(link.host)

    def _sweep(self, host: str) -> None:
        """End what an agent that was killed has left behind, if its host still answers."""
        command = remote_command(host, ["-m", agent.__name__, str(self.run.path), "--sweep"])
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SWEEP_SECONDS,
            )
