"""Writes machine.jsonl while a run's worker is at work; the supervisor has one."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable

import psutil

from workbench.base.files import append_json
from workbench.run.directory import RunDirectory
from workbench.run.gpus import GpuView, look
from workbench.run.machine.devices import DeviceFinder
from workbench.run.machine.host import HostReader, WorkerReader
from workbench.run.machine.log import Sample, encode
from workbench.run.machine.rapl import Rapl
from workbench.run.machine.view import MachineView
from workbench.run.record import read_record

FIRST_SECONDS = 1.0
SHORTEST_SECONDS, LONGEST_SECONDS = 10.0, 120.0
STEP_BYTES, MOST_BYTES = 512 * 1024, 16 * 1024 * 1024
GPU_SECONDS = 2.0
LAST_SECONDS = 1.0


def interval(size: int) -> float | None:
    """Seconds until the next sample, by the size of the file; None where it is large enough.

    Ten seconds, twice as long for each half megabyte, two minutes at most: an hour with one GPU
    takes 0.1 MB, a day 1.3 MB, a week 3 MB, and no run more than 16 MB.
    """
    if size >= MOST_BYTES:
        return None
    return float(min(LONGEST_SECONDS, SHORTEST_SECONDS * 2 ** (size // STEP_BYTES)))


class MachineSampler:
    """Samples in a thread of its own: neither a driver nor a disk that hangs holds anybody up.

    Args:
        run: The run.
        pid: Its worker, or the launcher of several.
        launcher: Whether it is a launcher.
        look: Asks the GPUs.
        rapl: Counts what the CPU draws.
        clock: Unix seconds.
    """

    def __init__(
        self,
        run: RunDirectory,
        pid: int,
        *,
        launcher: bool = False,
        look: Callable[[float], GpuView] = look,
        rapl: Rapl | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._run = run
        self._pid = pid
        self._launcher = launcher
        self._look = look
        self._rapl = rapl or Rapl()
        self._clock = clock
        self._host = HostReader(run.path)
        self._worker = WorkerReader()
        self._finder = DeviceFinder(run)
        self._born = 0.0
        self._begins = True
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; without a thread there are no samples, and the run goes on."""
        thread = threading.Thread(target=self._work, name="machine", daemon=True)
        with contextlib.suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def stop(self) -> None:
        """Take the last sample and end; who does not answer within a second is left behind."""
        self._ends.set()
        if self._thread is not None:
            self._thread.join(LAST_SECONDS)

    def _work(self) -> None:
        # The supervisor's main thread is the one that a signal is for.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self.begin()
        wait: float | None = FIRST_SECONDS
        while wait is not None:
            ends = self._ends.wait(wait)
            wait = interval(self._size())
            if wait is not None:
                self.sample(wait)
            if ends:
                return

    def begin(self) -> None:
        """Note the CPU times from which the first sample counts."""
        with contextlib.suppress(Exception):
            self._born = psutil.Process(self._pid).create_time()
            self._host.read()
            self._worker.read(self._pid, self._born)
            self._rapl.read()

    def sample(self, every: float) -> bool:
        """Append a sample, `every` seconds before the next one; whether it could be written."""
        # Whatever this machine does not tell must not end the thread, and with it all samples.
        try:
            append_json(self._run.machine, encode(self._take(every)))
        except Exception:  # noqa: BLE001
            return False
        self._begins = False
        return True

    def _take(self, every: float) -> Sample:
        record = read_record(self._run)
        gpus = self._look(GPU_SECONDS)
        view = MachineView(
            self._clock(),
            self._host.read(),
            gpus,
            worker=self._worker.read(self._pid, self._born, together=self._launcher),
            run=self._run.id,
            devices=self._finder.find(gpus, record),
        )
        return Sample(view, every, self._begins, self._rapl.read())

    def _size(self) -> int:
        try:
            return self._run.machine.stat().st_size
        except OSError:
            return 0
