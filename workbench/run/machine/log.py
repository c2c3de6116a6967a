"""machine.jsonl: what a run took of its machine, as its supervisor saw it; readers of it.

One JSON object a line: `time`, `every` (seconds to the next one), `begin` in a supervisor's first,
`cpu` (percent of `cores`), `ram_mb`, `ram_total_mb`, `worker_cpu` (percent of one core),
`worker_rss_mb`, `package_joules` (of the CPU, where it tells), and `gpus`, those that the run has,
each with `device`, `load`, `used_mb`, `total_mb`, `celsius`, `watts`, `joules` (since its driver
was loaded), and in the first also `name` and `limit_watts`. What is not known is left out. MB are
10**6 bytes.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from workbench.base.files import is_number
from workbench.base.tail import LineTail, parse_json_objects
from workbench.base.text import clean
from workbench.run.directory import RunDirectory
from workbench.run.gpus import GPUS_AT_MOST, Gpu, GpuView
from workbench.run.machine.energy import Energy, EnergyMeter, PowerLook
from workbench.run.machine.host import Capacity, Host, WorkerUse
from workbench.run.machine.view import MachineView

MEGA = 10**6
CHUNKS_PER_POLL = 40
RECENT_SAMPLES = 64
NAME_LENGTH = 60
DEVICE = re.compile(r"(cuda|amd):(\d{1,4})(?:\.(\d{1,4}))?")
NOT_LOGGED = "the run has logged no GPU"


@dataclass(frozen=True)
class Sample:
    """One line.

    Attributes:
        view: What was seen; GPUs are those of the run alone, without processes.
    """

    view: MachineView
    every: float
    begins: bool = False
    package_joules: float | None = None

    @property
    def power(self) -> PowerLook:
        """What it tells of energy."""
        gpus = self.view.gpus.gpus
        return PowerLook(self.view.time, self.every, gpus, self.package_joules, self.begins)


def encode(sample: Sample) -> dict[str, Any]:
    """A sample as its line; of the GPUs only those of the run."""
    view, host = sample.view, sample.view.host
    record: dict[str, Any] = {
        "time": round(view.time, 1),
        "every": sample.every,
        "begin": sample.begins or None,
        "cpu": _tenths(host.cpu_percent),
        "cores": host.cores,
        "ram_mb": _mega(host.memory.used if host.memory else None),
        "ram_total_mb": _mega(host.memory.total if host.memory else None),
        "worker_cpu": _tenths(view.worker.cpu_percent if view.worker else None),
        "worker_rss_mb": _mega(view.worker.rss_bytes if view.worker else None),
        "package_joules": _tenths(sample.package_joules),
        "gpus": [_encode_gpu(gpu, whole=sample.begins) for gpu in view.of_run] or None,
    }
    return {name: value for name, value in record.items() if value is not None}


def _encode_gpu(gpu: Gpu, *, whole: bool) -> dict[str, Any]:
    record = {
        "device": gpu.key,
        "name": (gpu.name[:NAME_LENGTH] or None) if whole else None,
        "load": gpu.load_percent,
        "used_mb": _mega(gpu.used_bytes),
        "total_mb": _mega(gpu.total_bytes),
        "celsius": _tenths(gpu.celsius),
        "watts": _tenths(gpu.watts),
        "limit_watts": _tenths(gpu.limit_watts) if whole else None,
        "joules": _tenths(gpu.joules),
    }
    return {name: value for name, value in record.items() if value is not None}


def _tenths(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _mega(count: int | None) -> int | None:
    return None if count is None else round(count / MEGA)


def decode(record: dict[str, Any], run: RunDirectory) -> Sample | None:
    """A line as a sample; None where it is none."""
    moment, every = _number(record, "time"), _number(record, "every")
    if moment is None or every is None or every <= 0:
        return None
    listed = record.get("gpus")
    listed = listed[:GPUS_AT_MOST] if isinstance(listed, list) else []
    gpus = tuple(gpu for one in listed if (gpu := _decode_gpu(one)) is not None)
    total, used = _bytes(record, "ram_total_mb"), _bytes(record, "ram_mb")
    rss = _bytes(record, "worker_rss_mb")
    view = MachineView(
        moment,
        Host(
            cores=_number(record, "cores"),
            cpu_percent=_number(record, "cpu"),
            memory=None if total is None or used is None else Capacity(total, total - used),
        ),
        GpuView(gpus, reason="" if gpus else NOT_LOGGED),
        worker=None if rss is None else WorkerUse(0, _number(record, "worker_cpu"), rss),
        run=run.id,
        devices=tuple(gpu.key for gpu in gpus),
    )
    begins = record.get("begin") is True
    return Sample(view, every, begins, _number(record, "package_joules"))


def _decode_gpu(record: Any) -> Gpu | None:
    if not isinstance(record, dict):
        return None
    device = DEVICE.fullmatch(str(record.get("device")))
    if device is None:
        return None
    kind, index, part = device.groups()
    load, total, used = (
        _number(record, "load"),
        _bytes(record, "total_mb"),
        _bytes(record, "used_mb"),
    )
    return Gpu(
        int(index),
        name=clean(str(record.get("name", "")), newlines=False)[:NAME_LENGTH],
        total_bytes=total,
        used_bytes=used,
        load_percent=None if load is None else round(load),
        celsius=_number(record, "celsius"),
        watts=_number(record, "watts"),
        limit_watts=_number(record, "limit_watts"),
        joules=_number(record, "joules"),
        kind=kind,
        instance=None if part is None else int(part),
    )


def _number(record: dict[str, Any], name: str) -> float | None:
    """A finite number of at least 0."""
    value: Any = record.get(name)
    return float(value) if is_number(value) and value >= 0 else None


def _bytes(record: dict[str, Any], name: str) -> int | None:
    value = _number(record, name)
    return None if value is None else round(value * MEGA)


class MachineLog:
    """Follows a run's machine.jsonl. What it keeps does not grow with the file.

    Attributes:
        last: The newest sample.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._tail = LineTail(run.machine)
        self._clear()

    def _clear(self) -> None:
        self.last: Sample | None = None
        self._meter = EnergyMeter()
        self._lasting: dict[str, Gpu] = {}

    def poll(self) -> list[Sample]:
        """Read what is new; the last samples of it."""
        new: deque[Sample] = deque(maxlen=RECENT_SAMPLES)
        for _ in range(CHUNKS_PER_POLL):
            lines = self._tail.read()
            if self._tail.restarted:
                self._clear()
            for sample in _samples(lines, self._run):
                self._meter.add(sample.power)
                self.last = self._complete(sample)
                new.append(self.last)
            if not self._tail.more:
                break
        return list(new)

    def _complete(self, sample: Sample) -> Sample:
        """A sample with what the first one of its supervisor told of the GPUs."""
        gpus = sample.view.gpus.gpus
        if sample.begins:
            self._lasting = {gpu.key: gpu for gpu in gpus}
            return sample
        known = [
            replace(gpu, name=old.name, limit_watts=old.limit_watts) if old else gpu
            for gpu in gpus
            for old in (self._lasting.get(gpu.key),)
        ]
        view = replace(sample.view, gpus=replace(sample.view.gpus, gpus=tuple(known)))
        return replace(sample, view=view)

    @property
    def energy(self) -> Energy | None:
        """What the run has drawn in all, pauses left out; None where nothing is known."""
        return self._meter.total()


def _samples(lines: Iterable[str], run: RunDirectory) -> Iterator[Sample]:
    for line in lines:
        for record in parse_json_objects(line):
            if (sample := decode(record, run)) is not None:
                yield sample


def read_samples(run: RunDirectory) -> Iterator[Sample]:
    """All samples of a run, oldest first; none where there is no file."""
    tail = LineTail(run.machine)
    while tail.more:
        yield from _samples(tail.read(), run)
    yield from _samples([tail.partial], run)


def energy_between(
    samples: Iterable[Sample], begin: float = -math.inf, end: float = math.inf
) -> Energy | None:
    """Energy of a window, see `EnergyMeter`.

    Args:
        begin, end: Unix seconds.
    """
    meter = EnergyMeter(begin, end)
    for sample in samples:
        meter.add(sample.power)
    return meter.total()


def energy_wh(
    samples: Iterable[Sample], begin: float = -math.inf, end: float = math.inf
) -> float | None:
    """Watt hours of a window: the run's GPUs, and the CPU packages where they tell.

    Counters of energy go before power, which is added up by trapezoids. Left out is the time
    between two samples that lie more than three intervals apart or belong to two supervisors: a
    pause between stop and resume. None where nothing is known, or not of the GPUs that the run had.
    """
    energy = energy_between(samples, begin, end)
    return None if energy is None else energy.wh


def stage_energy(run: RunDirectory, begin: float, end: float) -> float | None:
    """Watt hours that a run has drawn in a window (Unix seconds), see `energy_wh`."""
    return energy_wh(read_samples(run), begin, end)
