"""One look at the machine, as screens and commands show it: host, GPUs, a run's worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from workbench.run.gpus import Gpu, GpuView
from workbench.run.machine.energy import Energy
from workbench.run.machine.host import Host, WorkerUse
from workbench.run.rank_states import RankState

CURVE_BINS, BIN_SECONDS = 30, 10.0
"""Five minutes, in the steps in which machine.jsonl is written at first."""
CPU_CURVE = "cpu"
CURVES_AT_MOST = 80

Curve = tuple[float | None, ...]


@dataclass(frozen=True)
class MachineView:
    """One look.

    Attributes:
        time: Unix seconds.
        worker: Of the run that was asked for; None where it is not at work here.
        run: Its id, empty for none.
        devices: Keys of the GPUs that it has.
        elsewhere: The machine that the run is on, where that is another one. Everything else is
            what was logged there last.
        curves: CPU and GPU load in percent over the last minutes, oldest first, by `CPU_CURVE` and
            the GPUs' keys; None where nobody looked.
        energy: What the run has drawn until now, None where nothing is known of it.
        ranks: The run's processes where several train together, on all machines.
    """

    time: float
    host: Host
    gpus: GpuView
    worker: WorkerUse | None = None
    run: str = ""
    devices: tuple[str, ...] = ()
    elsewhere: str = ""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    energy: Energy | None = None
    ranks: tuple[RankState, ...] = ()

    @property
    def of_run(self) -> tuple[Gpu, ...]:
        """The GPUs that the run has."""
        return tuple(gpu for gpu in self.gpus.gpus if gpu.key in self.devices)


class History:
    """Percentages over the last minutes, in bins that stand still while time goes on."""

    def __init__(self) -> None:
        self._values: dict[str, deque[tuple[float, float]]] = {}

    def note(self, view: MachineView) -> None:
        """Remember the loads of a look."""
        self._add(CPU_CURVE, view.time, view.host.cpu_percent)
        for gpu in view.gpus.gpus:
            self._add(gpu.key, view.time, gpu.load_percent)

    def _add(self, name: str, moment: float, value: float | None) -> None:
        """What is unknown, or older than the newest, is left out."""
        if value is None or (name not in self._values and len(self._values) >= CURVES_AT_MOST):
            return
        kept = self._values.setdefault(name, deque())
        if kept and moment <= kept[-1][0]:
            return
        kept.append((moment, value))
        while kept[0][0] < moment - CURVE_BINS * BIN_SECONDS:
            kept.popleft()

    def curves(self, now: float) -> dict[str, Curve]:
        """The mean of each bin, the present one last."""
        last = int(now // BIN_SECONDS)
        return {name: _means(values, last) for name, values in self._values.items()}


def _means(values: deque[tuple[float, float]], last: int) -> Curve:
    bins: list[list[float]] = [[] for _ in range(CURVE_BINS)]
    for moment, value in values:
        place = CURVE_BINS - 1 - (last - int(moment // BIN_SECONDS))
        if 0 <= place < CURVE_BINS:
            bins[place].append(value)
    return tuple(sum(some) / len(some) if some else None for some in bins)
