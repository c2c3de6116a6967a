"""The process on another host of a run: ``python -m workbench.run.hosts.agent RUN``.

The supervisor on the first host starts it over ssh and gives orders as JSON lines on its stdin:
`start`, `alive`, `stop`, `kill`. It says JSON lines on its stdout: `alive`, `rank` and `log` (where
the hosts share no file system), `said` (what the launcher prints), `exit`, `left`.

It never outlives the link: at the end of its stdin, or when nothing was heard for a while, it ends
every process of the run on its host. So it does at SIGTERM, which within a job of Slurm's means a
stop. With ``--sweep`` it does only that.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO, Any

from workbench.base.files import make_private_dir
from workbench.base.paths import safe_name
from workbench.base.problems import ProblemError
from workbench.base.tail import LineTail
from workbench.run.directory import RunDirectory
from workbench.run.hosts.mouth import Mouth
from workbench.run.hosts.orders import SILENCE_SECONDS, StartOrder
from workbench.run.hosts.place import socket_environment, without_foreign_interfaces
from workbench.run.hosts.relay import SLICE_BYTES, FileRelay
from workbench.run.hosts.remote import SLURM_VARIABLE
from workbench.run.processes import RUN_VARIABLE, end_processes
from workbench.run.ranks import folder, forget_ranks, signal_ranks
from workbench.run.trust import refuse_distrusted

SIGN_SECONDS = 2.0
ORDER_BYTES = 1024 * 1024
READ_BYTES = 65536


class Agent:
    """Starts the launcher of its host, passes on what it is told, and ends with the link.

    Args:
        run: The run directory on this host.
        ear, mouth: Where orders come in, and events go out.
    """

    def __init__(self, run: RunDirectory, ear: int, mouth: Mouth) -> None:
        self.run = run
        self._ear = ear
        self._mouth = mouth
        self._heard = time.monotonic()
        self._silence = SILENCE_SECONDS
        self._partial = b""
        self._over = False
        self._stop_wanted = False
        self._told: set[int] = set()
        self._launcher: subprocess.Popen[bytes] | None = None
        self._relay: FileRelay | None = None
        self._said = LineTail(self.run.path)

    def work(self) -> int:
        """Obey until the launcher has ended or the link has; returns the exit code."""
        awake = self._listen()
        next_sign = 0.0
        while not self._over:
            if time.monotonic() >= next_sign:
                self._mouth.say("alive")
                self._pass_on()
                self._pass_stop()
                next_sign = time.monotonic() + SIGN_SECONDS
            ready = select.select([self._ear, awake], [], [], SIGN_SECONDS / 2)[0]
            if awake in ready:
                os.read(awake, 64)
            if self._ear in ready:
                self._hear()
            self._mouth.pump()
            silent = time.monotonic() - self._heard > self._silence
            self._over |= silent or self._mouth.closed or self._launcher_ended()
        end_processes(self.run)
        self._pass_on()
        self._mouth.say("left")
        return 0

    def _listen(self) -> int:
        """Take over the signals; returns the descriptor on which they wake a `select`."""
        awake, wake = socket.socketpair()
        for end in (awake, wake):
            end.setblocking(False)
        signal.set_wakeup_fd(wake.detach(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, self._on_signal)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return awake.detach()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTERM and os.environ.get(SLURM_VARIABLE) and self._launcher:
            # Slurm tells every process of a job that it ends soon: the ranks save meanwhile.
            self._stop_wanted = True
        else:
            self._over |= number != signal.SIGCHLD

    def _hear(self) -> None:
        data = os.read(self._ear, READ_BYTES)
        self._over |= not data
        self._heard = time.monotonic()
        *lines, self._partial = (self._partial + data).split(b"\n")
        self._partial = self._partial[:ORDER_BYTES]
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                order = json.loads(line)
                if isinstance(order, dict):
                    self._obey(order)

    def _obey(self, order: dict[str, Any]) -> None:
        match order.get("op"):
            case "start" if self._launcher is None:
                try:
                    self._start(StartOrder.from_json(order))
                except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
                    reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
                    self._mouth.say("exit", code=1, reason=f"cannot start the trainer: {reason}")
                    self._over = True
            case "stop":
                self._stop_wanted = True
                self._pass_stop()
            case "kill":
                self._over = True

    def _start(self, order: StartOrder) -> None:
        # What an earlier attempt may have left, when its host was out of reach.
        end_processes(self.run)
        self._silence = order.silence
        make_private_dir(folder(self.run))
        if order.relay:
            forget_ranks(self.run)
            self._relay = FileRelay(folder(self.run))
        log = folder(self.run) / f"launcher-{safe_name(socket.gethostname())}.log"
        self._said = LineTail(log, SLICE_BYTES)
        with log.open("ab") as output:
            self._said.skip_to_last(0)
            self._launcher = self._spawn(order, output)
        self._heard = time.monotonic()
        self._mouth.say("started", pid=self._launcher.pid)

    def _spawn(self, order: StartOrder, output: IO[bytes]) -> subprocess.Popen[bytes]:
        given = {**os.environ, **without_foreign_interfaces(order.environment)}
        # The launcher is never asked to stop: the ranks are, which unblock the signal.
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            return subprocess.Popen(
                order.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.run.path,
                env={
                    **given,
                    **socket_environment(order.address, given),
                    RUN_VARIABLE: str(self.run.path),
                },
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)

    def _pass_on(self) -> None:
        if self._launcher is not None and not self._mouth.crowded:
            if lines := self._said.read():
                self._mouth.say("said", lines=lines)
            if self._relay is not None:
                self._relay.send(self._mouth)

    def _pass_stop(self) -> None:
        """Ask the ranks to stop; one that is not there yet is asked when it is."""
        if self._stop_wanted and self._launcher is not None:
            self._told |= signal_ranks(self.run, signal.SIGTERM, except_for=self._told)

    def _launcher_ended(self) -> bool:
        if self._launcher is None or (code := self._launcher.poll()) is None:
            return False
        self._pass_on()
        self._mouth.say("exit", code=code, reason="")
        return True


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    run = RunDirectory(Path(arguments[0])) if arguments else None
    if run is None or arguments[1:] not in ([], ["--sweep"]):
        print("usage: python -m workbench.run.hosts.agent RUN_DIRECTORY [--sweep]", file=sys.stderr)
        return 2
    os.umask(0o077)
    if arguments[1:]:
        end_processes(run)
        return 0
    if not run.record.is_file():
        print(f"there is no run directory at {run.path}", file=sys.stderr)
        return 1
    try:
        refuse_distrusted(run)
    except ProblemError as error:
        print(error, file=sys.stderr)
        return 1
    return Agent(run, sys.stdin.fileno(), Mouth(sys.stdout.fileno())).work()


if __name__ == "__main__":
    raise SystemExit(main())
