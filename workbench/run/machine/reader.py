"""Looks at the machine again and again, for whoever shows it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil

from workbench.run.directory import RunDirectory
from workbench.run.gpus import GpuView, look
from workbench.run.machine.devices import DeviceFinder
from workbench.run.machine.host import Host, HostReader, WorkerReader, WorkerUse
from workbench.run.machine.log import NOT_LOGGED, MachineLog
from workbench.run.machine.view import History, MachineView
from workbench.run.processes import find_process
from workbench.run.rank_states import states_of
from workbench.run.record import RunRecord, is_here, read_record

SETTLE_SECONDS = 0.2


class MachineReader:
    """Use it from one thread at a time.

    Args:
        folder: Whose disk is told.
        run: The run whose worker and devices are told, None for none.
        look: Asks the GPUs; waits for a driver that hangs, but never for long.
        clock: Unix seconds.
        settle: Seconds that the first look takes to see how busy the CPU is.
    """

    def __init__(
        self,
        folder: Path,
        run: RunDirectory | None = None,
        *,
        look: Callable[[], GpuView] = look,
        clock: Callable[[], float] = time.time,
        settle: float = SETTLE_SECONDS,
    ) -> None:
        self._run = run
        self._look = look
        self._clock = clock
        self._host = HostReader(folder)
        self._worker = WorkerReader()
        self._finder = DeviceFinder(run) if run else None
        self._log = MachineLog(run) if run else None
        self._history = History()
        self._settle = settle
        self._begun = False

    def _begin(self) -> None:
        """A share of CPU time is one of some time."""
        self._begun = True
        self._host.read()
        if self._run is not None:
            record = read_record(self._run)
            self._read_worker(record)
        time.sleep(self._settle)

    def look(self) -> MachineView:
        """One look; takes some seconds where a driver hangs, so call it from a thread."""
        if not self._begun:
            self._begin()
        if self._log is not None:
            for sample in self._log.poll():
                self._history.note(sample.view)
        record = read_record(self._run) if self._run else None
        if record is not None and record.host and not is_here(record):
            return self._elsewhere(record)
        host, gpus = self._host.read(), self._look()
        view = MachineView(self._clock(), host, gpus)
        if self._run is not None and record is not None and self._finder and self._log:
            logged = self._log.last.view.devices if self._log.last else ()
            view = replace(
                view,
                worker=self._read_worker(record),
                run=self._run.id,
                devices=self._finder.find(gpus, record, logged),
            )
        self._history.note(view)
        return self._complete(view)

    def _read_worker(self, record: RunRecord) -> WorkerUse | None:
        """The worker; of several processes their launcher, with all that is below it."""
        pid, born, several = record.pid, record.create_time, record.processes > 1
        with contextlib.suppress(psutil.Error):
            worker = find_process(pid, born) if several else None
            if worker is not None and (launcher := worker.parent()) is not None:
                pid, born = launcher.pid, launcher.create_time()
        return self._worker.read(pid, born, together=several)

    def _elsewhere(self, record: RunRecord) -> MachineView:
        nothing = MachineView(self._clock(), Host(), GpuView(reason=NOT_LOGGED))
        last = self._log.last.view if self._log and self._log.last else nothing
        run = self._run.id if self._run else ""
        return self._complete(replace(last, run=run, elsewhere=record.host))

    def _complete(self, view: MachineView) -> MachineView:
        energy = self._log.energy if self._log else None
        ranks = tuple(states_of(self._run)) if self._run else ()
        return replace(view, curves=self._history.curves(view.time), energy=energy, ranks=ranks)
