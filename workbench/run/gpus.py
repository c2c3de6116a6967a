"""The GPUs as their drivers tell of them: memory, load, power, and whose processes are on them.

NVIDIA's are asked by NVML, AMD's are read from /sys (`run/amd.py`). NVML fails in pieces: there is
no driver, MIG has no load, a container may not see a process, a GPU is lost between two calls.
Every call is guarded, and what fails is None. A call may also hang for good, so that a thread of
its own asks, never more than one at a time.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from workbench.base.text import clean
from workbench.run.amd import SYSFS, AmdCard, read_cards
from workbench.run.devices import CPU, visible_slots
from workbench.run.processes import RUN_VARIABLE

NVML = "pynvml"
"""The module of the distribution nvidia-ml-py, an optional one."""
NOT_INSTALLED = "nvidia-ml-py is not installed"
NO_ANSWER = "the driver does not answer"
LOOK_SECONDS = 5.0
FRESH_SECONDS = 15.0
GPUS_AT_MOST = 64
# A figure that NVML does not have is all ones.
NOT_AVAILABLE = 2**64 - 1
TEMPERATURE_OF_GPU = 0
GPU_FILES = ("/dev/nvidia", "/dev/dxg", "/dev/kfd", "/dev/dri/")
NVIDIA, AMD = "cuda", "amd"
PID_NAMESPACE = Path("/proc/self/ns/pid")
FIRST_PID_NAMESPACE = "pid:[4026531836]"
"""The machine's own, by a constant of Linux; in any other one a pid of NVML may be a stranger's."""


@dataclass(frozen=True)
class GpuProcess:
    """A process with memory on a GPU.

    Attributes:
        owner: User name, empty where unknown.
        memory_bytes: None where the driver does not tell.
        run: Id of the run of this user that it belongs to, empty for none.
        computes: Whether it does more than draw.
    """

    pid: int
    owner: str = ""
    memory_bytes: int | None = None
    run: str = ""
    computes: bool = True


@dataclass(frozen=True)
class Gpu:
    """One GPU, or one instance of a GPU that MIG has split; None for what is not known.

    Attributes:
        index: Number by the PCI bus, as nvidia-smi counts; of AMD's GPUs among themselves.
        total_bytes, used_bytes, free_bytes: Memory.
        load_percent: Share of the last moments in which it worked.
        trouble: What the driver said instead of its memory, empty for none.
        celsius, watts, limit_watts: Temperature, power drawn now, and the most that it may draw.
        joules: Energy drawn since its driver was loaded.
        kind: `cuda` or `amd`.
        instance: Which part of a GPU that MIG has split. Its power is not told: the parts share it.
    """

    index: int
    uuid: str = ""
    name: str = ""
    total_bytes: int | None = None
    used_bytes: int | None = None
    free_bytes: int | None = None
    load_percent: int | None = None
    processes: tuple[GpuProcess, ...] | None = None
    trouble: str = ""
    celsius: float | None = None
    watts: float | None = None
    limit_watts: float | None = None
    joules: float | None = None
    kind: str = NVIDIA
    instance: int | None = None

    @property
    def key(self) -> str:
        """Its name among the devices of this machine: `cuda:0`, `cuda:0.1`, `amd:0`."""
        part = "" if self.instance is None else f".{self.instance}"
        return f"{self.kind}:{self.index}{part}"

    @property
    def ours_bytes(self) -> int | None:
        """Memory of this user's runs; None where nobody tells whose it is."""
        if self.processes is None:
            return None
        return sum(process.memory_bytes or 0 for process in self.processes if process.run)


@dataclass(frozen=True)
class GpuView:
    """One look at all GPUs.

    Attributes:
        reason: Why there is no GPU in it, or none of NVIDIA's that are there; else empty.
    """

    gpus: tuple[Gpu, ...] = ()
    driver: str = ""
    reason: str = ""


class _Nvml:
    """The module, whose calls answer None instead of raising; `trouble` is the first reason."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.trouble = ""

    def ask(self, function: str, *arguments: Any) -> Any:
        try:
            answer = getattr(self._module, function)(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever a driver does, the rest goes on
            self.trouble = self.trouble or _sentence(error)
            return None
        return answer

    def text(self, function: str, *arguments: Any) -> str:
        answer = self.ask(function, *arguments)
        if isinstance(answer, bytes):
            answer = answer.decode(errors="replace")
        return clean(answer, newlines=False) if isinstance(answer, str) else ""


def _sentence(error: Exception) -> str:
    try:
        said = clean(str(error), newlines=False).strip()
    except Exception:  # noqa: BLE001 - NVML is asked for the text of its error, and may fail again
        said = ""
    return said or type(error).__name__


def _whole(value: Any, name: str) -> int | None:
    return _count(getattr(value, name, None))


def _count(number: Any) -> int | None:
    known = isinstance(number, int) and 0 <= number < NOT_AVAILABLE
    return number if known else None


def _thousandths(number: Any) -> float | None:
    count = _count(number)
    return None if count is None else count / 1000


def read_gpus() -> GpuView:
    """Ask for everything. It may take seconds or hang; `look` does not."""
    nvidia = read_nvml()
    others = tuple(_as_gpu(index, card) for index, card in enumerate(read_cards(SYSFS)))
    # An AMD processor brings a small GPU of its own, which must not pass for NVIDIA's.
    complete = bool(others) and visible_slots({}) == [CPU]
    return GpuView((*nvidia.gpus, *others), nvidia.driver, "" if complete else nvidia.reason)


def _as_gpu(index: int, card: AmdCard) -> Gpu:
    total, used = card.total_bytes, card.used_bytes
    on_it = None
    if card.processes is not None:
        found = [_process(pid, size) for pid, size in card.processes]
        on_it = tuple(sorted(found, key=lambda process: -(process.memory_bytes or 0)))
    return Gpu(
        index,
        uuid=clean(card.unique_id, newlines=False),
        name=clean(card.name, newlines=False),
        total_bytes=total,
        used_bytes=used,
        free_bytes=None if total is None or used is None else max(0, total - used),
        load_percent=card.load_percent,
        processes=on_it,
        trouble="" if total is not None else "it does not tell its memory",
        celsius=card.celsius,
        watts=card.watts,
        limit_watts=card.limit_watts,
        kind=AMD,
    )


def _process(pid: int, memory_bytes: int) -> GpuProcess:
    owner, run = whose(pid)
    return GpuProcess(pid, owner, memory_bytes, run)


def read_nvml() -> GpuView:
    """NVIDIA's GPUs alone."""
    try:
        nvml = _Nvml(importlib.import_module(NVML))
    except ModuleNotFoundError:
        return GpuView(reason=NOT_INSTALLED)
    except Exception as error:  # noqa: BLE001 - another module of this name may do anything
        return GpuView(reason=_sentence(error))
    nvml.ask("nvmlInit")
    if nvml.trouble:
        return GpuView(reason=nvml.trouble)
    try:
        count = nvml.ask("nvmlDeviceGetCount")
        if not isinstance(count, int) or count < 1:
            return GpuView(reason=nvml.trouble or "the driver sees no GPU")
        driver = nvml.text("nvmlSystemGetDriverVersion")
        numbers = range(min(count, GPUS_AT_MOST))
        gpus = [gpu for number in numbers for gpu in _read_device(nvml, number)]
        return GpuView(tuple(gpus), driver)
    finally:
        nvml.ask("nvmlShutdown")


def _read_device(nvml: _Nvml, index: int) -> list[Gpu]:
    """A GPU, or its instances where MIG has split it."""
    nvml.trouble = ""
    handle = nvml.ask("nvmlDeviceGetHandleByIndex", index)
    if handle is None:
        return [Gpu(index, trouble=nvml.trouble or "it cannot be opened")]
    mode = nvml.ask("nvmlDeviceGetMigMode", handle)
    if isinstance(mode, list | tuple) and mode and mode[0] == 1:
        most = nvml.ask("nvmlDeviceGetMaxMigDeviceCount", handle)
        places = range(min(most, GPUS_AT_MOST) if isinstance(most, int) else 0)
        instances = [nvml.ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, at) for at in places]
        found = [
            _read_gpu(nvml, index, one, place)
            for place, one in enumerate(instances)
            if one is not None
        ]
        if found:
            warmth = _temperature(nvml, handle)
            return [replace(gpu, celsius=warmth) for gpu in found]
    return [_with_power(nvml, handle, _read_gpu(nvml, index, handle))]


def _with_power(nvml: _Nvml, handle: Any, gpu: Gpu) -> Gpu:
    return replace(
        gpu,
        celsius=_temperature(nvml, handle),
        watts=_thousandths(nvml.ask("nvmlDeviceGetPowerUsage", handle)),
        limit_watts=_thousandths(nvml.ask("nvmlDeviceGetEnforcedPowerLimit", handle)),
        joules=_thousandths(nvml.ask("nvmlDeviceGetTotalEnergyConsumption", handle)),
    )


def _temperature(nvml: _Nvml, handle: Any) -> float | None:
    return _count(nvml.ask("nvmlDeviceGetTemperature", handle, TEMPERATURE_OF_GPU))


def _read_gpu(nvml: _Nvml, index: int, handle: Any, instance: int | None = None) -> Gpu:
    nvml.trouble = ""
    memory = nvml.ask("nvmlDeviceGetMemoryInfo", handle)
    total = _whole(memory, "total")
    return Gpu(
        index,
        total_bytes=total,
        used_bytes=_whole(memory, "used"),
        free_bytes=_whole(memory, "free"),
        trouble="" if total is not None else nvml.trouble or "it does not tell its memory",
        uuid=nvml.text("nvmlDeviceGetUUID", handle),
        name=nvml.text("nvmlDeviceGetName", handle),
        load_percent=_whole(nvml.ask("nvmlDeviceGetUtilizationRates", handle), "gpu"),
        processes=_read_processes(nvml, handle),
        instance=instance,
    )


def _read_processes(nvml: _Nvml, handle: Any) -> tuple[GpuProcess, ...] | None:
    """The processes of a GPU, the largest first; None where the driver lists none at all."""
    drawing = nvml.ask("nvmlDeviceGetGraphicsRunningProcesses", handle)
    computing = nvml.ask("nvmlDeviceGetComputeRunningProcesses", handle)
    if not isinstance(drawing, list) and not isinstance(computing, list):
        return None
    found: dict[int, GpuProcess] = {}
    # One that does both is in both lists, and computes.
    for computes, listed in ((False, drawing), (True, computing)):
        for item in listed if isinstance(listed, list) else []:
            pid = _whole(item, "pid")
            if pid:
                owner, run = whose(pid)
                memory = _whole(item, "usedGpuMemory")
                found[pid] = GpuProcess(pid, owner, memory, run, computes)
    return tuple(sorted(found.values(), key=lambda process: -(process.memory_bytes or 0)))


def whose(pid: int) -> tuple[str, str]:
    """User name, and the id of this user's run that a process belongs to; empty where unknown."""
    owner = ""
    try:
        process = psutil.Process(pid)
        if not _is_meant(process):
            return "", ""
        owner = clean(process.username(), newlines=False)
        run = process.environ().get(RUN_VARIABLE, "") if process.uids().real == os.getuid() else ""
    except (psutil.Error, OSError, KeyError):
        return owner, ""
    return owner, clean(Path(run).name, newlines=False)


def _is_meant(process: psutil.Process) -> bool:
    """Whether NVML's pid is this process. In a container it may be a number of the host's."""
    try:
        if PID_NAMESPACE.readlink() == Path(FIRST_PID_NAMESPACE):
            return True
    except OSError:
        return True
    for file in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            target = str(file.readlink())
        except OSError:
            continue
        if target.startswith(GPU_FILES):
            return True
    return False


class GpuWatch:
    """Asks in a thread, one at a time; who comes meanwhile gets the same answer.

    Args:
        read: What takes the look.
    """

    def __init__(self, read: Callable[[], GpuView] = read_gpus) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._since = 0.0
        self._view = GpuView(reason=NO_ANSWER)
        self._missed = False
        self._answered = 0.0

    def look(self, seconds: float = LOOK_SECONDS) -> GpuView:
        """One look, or a view without GPUs when it takes longer than `seconds`. Never raises.

        An answer that came when nobody waited any more is given to who looks soon after it: a
        driver that always takes its time is told too.
        """
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                if self._missed and time.monotonic() - self._answered < FRESH_SECONDS:
                    self._missed = False
                    return self._view
                # A thread that hangs must not keep the process from ending.
                self._thread = threading.Thread(target=self._work, name="gpus", daemon=True)
                self._since = time.monotonic()
                try:
                    self._thread.start()
                except RuntimeError as error:
                    self._thread = None
                    return GpuView(reason=_sentence(error))
            thread, waited = self._thread, time.monotonic() - self._since
        thread.join(max(0.0, seconds - waited))
        self._missed = thread.is_alive()
        return GpuView(reason=NO_ANSWER) if self._missed else self._view

    def _work(self) -> None:
        try:
            self._view = self._read()
        except Exception as error:  # noqa: BLE001 - a thread's traceback would reach the screen
            self._view = GpuView(reason=_sentence(error))
        self._answered = time.monotonic()


WATCH = GpuWatch()


def look(seconds: float = LOOK_SECONDS) -> GpuView:
    """One look at this machine's GPUs, see `GpuWatch.look`."""
    return WATCH.look(seconds)
