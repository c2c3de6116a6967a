"""What a run has drawn, in watt hours, from looks at its devices.

Counted are the GPUs that the run has, whole, with whatever else is on them; and the CPU packages
where the kernel lets their counters be read, with whatever else runs on the machine. Memory, disks,
fans and the losses of the power supply are not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.run.gpus import Gpu

GAP_INTERVALS = 3
"""Looks that lie further apart than so many of their intervals have a pause between them."""
JOULES_PER_WH = 3600.0
MOST_WATTS = 1e5
"""Of one device; what is more comes from a counter that began anew."""


@dataclass(frozen=True)
class Energy:
    """Energy of a stretch of time.

    Attributes:
        gpu_wh, cpu_wh: Watt hours; None where that is not told.
        seconds: How long that was, pauses left out.
    """

    gpu_wh: float | None = None
    cpu_wh: float | None = None
    seconds: float = 0.0

    @property
    def wh(self) -> float:
        """All that is known."""
        return (self.gpu_wh or 0.0) + (self.cpu_wh or 0.0)

    @property
    def counted(self) -> str:
        """`GPU`, `CPU`, or both."""
        known = (("GPU", self.gpu_wh), ("CPU", self.cpu_wh))
        return " and ".join(name for name, value in known if value is not None)


@dataclass(frozen=True)
class PowerLook:
    """What one look tells of power.

    Attributes:
        time: Unix seconds.
        every: Seconds to the next look, as planned.
        gpus: The run's.
        package_joules: Of the CPU packages, since any moment of the same supervisor.
        begins: It is the first look of a supervisor: what was before it is a pause.
    """

    time: float
    every: float
    gpus: Sequence[Gpu] = ()
    package_joules: float | None = None
    begins: bool = False


class EnergyMeter:
    """Adds up looks in the order of their time.

    A GPU's own counter of energy is exact and goes before its power, which is taken as a straight
    line from look to look (the trapezoidal rule). A look in the middle of an interval that crosses
    an edge of the window counts by the part that lies inside.

    Args:
        begin, end: The window, Unix seconds.
    """

    def __init__(self, begin: float = -math.inf, end: float = math.inf) -> None:
        self._begin, self._end = begin, end
        self._before: PowerLook | None = None
        self._seconds = 0.0
        self._gpu: float | None = None
        self._package: float | None = None
        self._rates: tuple[float | None, float | None] = (None, None)
        self._silent = False

    def add(self, look: PowerLook) -> None:
        """Count the time since the look before, unless that was a pause."""
        before, self._before = self._before, look
        self._rates = (_watts(look.gpus), None)
        if before is None or look.begins:
            return
        seconds = look.time - before.time
        if not 0 < seconds <= GAP_INTERVALS * before.every:
            return
        gpu, package = _drawn_gpus(before, look), _package_joules(before, look)
        watts = None if gpu is None else gpu.joules / seconds
        self._rates = (
            self._rates[0] if watts is None else watts,
            None if package is None else package / seconds,
        )
        first, last = max(before.time, self._begin), min(look.time, self._end)
        if last <= first:
            return
        self._silent = self._silent or (bool(look.gpus) and gpu is None)
        self._count(
            last - first,
            None if gpu is None else gpu.between(before.time, first, last),
            None if package is None else package * (last - first) / seconds,
        )

    def _count(self, seconds: float, gpu: float | None, package: float | None) -> None:
        self._seconds += seconds
        if gpu is not None:
            self._gpu = (self._gpu or 0.0) + gpu
        if package is not None:
            self._package = (self._package or 0.0) + package

    def total(self) -> Energy | None:
        """What was drawn in the window; None where nothing is known, or not of the GPUs.

        The stretch from the last look to the window's end counts as the last interval did, if it is
        not longer than one.
        """
        gpu, package, seconds = self._gpu, self._package, self._seconds
        last = self._before
        if last is not None and last.time < self._end <= last.time + last.every:
            rest = self._end - max(last.time, self._begin)
            seconds += rest
            gpu = _more(gpu, self._rates[0], rest)
            package = _more(package, self._rates[1], rest)
        if (self._silent and gpu is None) or (gpu is None and package is None):
            return None
        return Energy(_wh(gpu), _wh(package), seconds)


def _wh(joules: float | None) -> float | None:
    return None if joules is None else joules / JOULES_PER_WH


def _more(joules: float | None, watts: float | None, seconds: float) -> float | None:
    return joules if watts is None else (joules or 0.0) + watts * seconds


@dataclass(frozen=True)
class _Drawn:
    """Energy of an interval: counted joules spread evenly, and a line of watts."""

    seconds: float
    counted: float
    watts: tuple[float, float]

    @property
    def joules(self) -> float:
        return self.counted + sum(self.watts) / 2 * self.seconds

    def between(self, start: float, first: float, last: float) -> float:
        """Joules of a part of it."""
        begin, end = self.watts
        slope = (end - begin) / self.seconds
        middle = begin + slope * ((first + last) / 2 - start)
        return (self.counted / self.seconds + middle) * (last - first)


def _drawn_gpus(before: PowerLook, look: PowerLook) -> _Drawn | None:
    """Of all GPUs that are in both looks; None where one of them does not tell."""
    seconds = look.time - before.time
    earlier = {gpu.key: gpu for gpu in before.gpus}
    pairs = [(earlier[gpu.key], gpu) for gpu in look.gpus if gpu.key in earlier]
    counted, begin, end = 0.0, 0.0, 0.0
    for old, new in pairs:
        if old.joules is not None and new.joules is not None:
            joules = new.joules - old.joules
            if 0 <= joules <= MOST_WATTS * seconds:
                counted += joules
                continue
        if old.watts is None or new.watts is None:
            return None
        begin, end = begin + old.watts, end + new.watts
    return _Drawn(seconds, counted, (begin, end)) if pairs else None


def _package_joules(before: PowerLook, look: PowerLook) -> float | None:
    if before.package_joules is None or look.package_joules is None:
        return None
    joules = look.package_joules - before.package_joules
    return joules if 0 <= joules <= MOST_WATTS * (look.time - before.time) else None


def _watts(gpus: Sequence[Gpu]) -> float | None:
    known = [gpu.watts for gpu in gpus if gpu.watts is not None]
    return sum(known) if known and len(known) == len(gpus) else None
