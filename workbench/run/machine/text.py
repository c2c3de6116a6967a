"""The machine in words, the same on the screen, in `machine` and in `doctor`."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.base.text import clean
from workbench.run.gpu_use import gigabytes
from workbench.run.gpus import Gpu, GpuProcess
from workbench.run.machine.energy import Energy
from workbench.run.machine.host import Capacity, Host, WorkerUse
from workbench.run.machine.view import MachineView
from workbench.run.rank_states import rank_rows

DEGREES = " °C"
UNSEEN = "by processes that cannot be seen from here"


def percent(value: float | None) -> str:
    """`61 %`, a dash for what is not known."""
    return "-" if value is None else f"{value:.0f} %"


def fill(room: Capacity | None) -> str:
    """`3.1 of 24 GB`; empty where it is not known."""
    return "" if room is None else f"{gigabytes(room.used)} of {gigabytes(room.total)} GB"


def cores(count: float | None) -> str:
    """`16 cores`, `1 core`, `0.5 cores`."""
    return "" if count is None else f"{count:g} core{'' if count == 1 else 's'}"


def cpu_words(host: Host) -> str:
    """`97 % of 2 cores`."""
    known = [percent(host.cpu_percent) if host.cpu_percent is not None else "", cores(host.cores)]
    return " of ".join(part for part in known if part)


def load_words(host: Host) -> str:
    """`load 2.1 1.9 1.8`: of 1, 5 and 15 minutes."""
    return "" if host.load is None else "load " + " ".join(f"{one:.1f}" for one in host.load)


def disk_words(room: Capacity | None) -> str:
    """`512 of 2000 GB free`."""
    return "" if room is None else f"{gigabytes(room.free)} of {gigabytes(room.total)} GB free"


def celsius(gpu: Gpu) -> str:
    """`64 °C`; empty where it is not known."""
    return "" if gpu.celsius is None else f"{gpu.celsius:.0f}{DEGREES}"


def watts(gpu: Gpu) -> str:
    """`310 of 700 W`, `310 W`; empty where it is not known."""
    if gpu.watts is None:
        return ""
    limit = "" if gpu.limit_watts is None else f" of {gpu.limit_watts:.0f}"
    return f"{gpu.watts:.0f}{limit} W"


def split(gpu: Gpu) -> tuple[int, int, int] | None:
    """Bytes of this user's runs, of all others and free; None where they are not known.

    Where nobody tells whose memory is whose, all of it is the others'.
    """
    if gpu.total_bytes is None or gpu.used_bytes is None:
        return None
    ours = min(gpu.ours_bytes or 0, gpu.used_bytes)
    return ours, gpu.used_bytes - ours, max(0, gpu.total_bytes - gpu.used_bytes)


def memory_words(gpu: Gpu) -> str:
    """`18 of 80 GB: ours 12, others 6.0, free 62`, or why that is not known."""
    parts = split(gpu)
    if parts is None:
        return f"no GPU data ({gpu.trouble})" if gpu.trouble else "memory not known"
    ours, others, free = map(gigabytes, parts)
    room = f"{gigabytes(gpu.used_bytes or 0)} of {gigabytes(gpu.total_bytes or 0)} GB"
    if gpu.processes is None:
        return f"{room}, free {free}"
    return f"{room}: ours {ours}, others {others}, free {free}"


def process_lines(gpu: Gpu, run: str = "", most: int = 8) -> list[str]:
    """Who is on a GPU, the largest first; where nobody can be seen, a word about that.

    Args:
        run: Id of the run that is looked at.
        most: Lines at most.
    """
    if gpu.processes is None:
        return []
    if not gpu.processes:
        used, idle = gpu.used_bytes or 0, max(1e9, 0.02 * (gpu.total_bytes or 0))
        return [f"used {UNSEEN}"] if used > idle else []
    shown = [process_words(process, run) for process in gpu.processes[:most]]
    left = len(gpu.processes) - most
    return [*shown, f"and {left} more"] if left > 0 else shown


def process_words(process: GpuProcess, run: str = "") -> str:
    """`anna, pid 4242, 61 GB`; `me, pid 4711, 12 GB, this run`."""
    memory = process.memory_bytes
    whose = "this run" if process.run == run else f"run {process.run}"
    parts = (
        process.owner or "unknown owner",
        f"pid {process.pid}",
        "" if memory is None else f"{gigabytes(memory)} GB",
        whose if process.run else "",
        "" if process.computes else "graphics",
    )
    return clean(", ".join(part for part in parts if part), newlines=False)


def worker_words(worker: WorkerUse) -> str:
    """`pid 4711, CPU 193 % of one core, 2.1 GB, 3 processes`."""
    parts = (
        f"pid {worker.pid}" if worker.pid else "",
        "" if worker.cpu_percent is None else f"CPU {percent(worker.cpu_percent)} of one core",
        "" if worker.rss_bytes is None else f"{gigabytes(worker.rss_bytes)} GB",
        f"{worker.processes} processes" if worker.processes > 1 else "",
    )
    return ", ".join(part for part in parts if part)


def energy_words(energy: Energy) -> str:
    """`12.3 Wh (GPU)`, `0.042 Wh`, `1.23 kWh`."""
    value, unit = (energy.wh / 1000, "kWh") if energy.wh >= 1000 else (energy.wh, "Wh")
    digits = 3 if value < 0.1 else 2 if value < 10 else 1
    return f"{value:.{digits}f} {unit} ({energy.counted})"


def short_words(view: MachineView) -> list[str]:
    """What is worth a line of a monitor, the most important first.

    Of the run's GPU its load, memory, temperature and power; without one CPU and RAM.
    """
    mine = view.of_run
    if not mine:
        memory = view.host.memory
        used = f"{gigabytes(memory.used)}/{gigabytes(memory.total)} GB" if memory else ""
        parts = [
            f"CPU {cpu}" if (cpu := cpu_words(view.host)) else "",
            f"RAM {used}" if used else "",
        ]
        return [part for part in parts if part]
    first = mine[0]
    parts = [f"{first.key} {percent(first.load_percent)}", _small_memory(first), celsius(first)]
    parts.append("" if first.watts is None else f"{first.watts:.0f} W")
    parts += [f"{gpu.key} {percent(gpu.load_percent)}" for gpu in mine[1:]]
    return [part for part in parts if part]


def _small_memory(gpu: Gpu) -> str:
    if gpu.used_bytes is None or gpu.total_bytes is None:
        return ""
    return f"{gigabytes(gpu.used_bytes)}/{gigabytes(gpu.total_bytes)} GB"


def gpu_facts(gpu: Gpu) -> list[str]:
    """Load, memory, temperature and power, without what is not known."""
    load = "" if gpu.load_percent is None else f"load {percent(gpu.load_percent)}"
    return [part for part in (load, memory_words(gpu), celsius(gpu), watts(gpu)) if part]


def no_gpus(view: MachineView) -> str:
    """`no GPU data: nvidia-ml-py is not installed`; empty where there are GPUs."""
    reason = clean(view.gpus.reason, newlines=False)
    return f"no GPU data: {reason}" if reason else ""


def machine_rows(view: MachineView) -> list[tuple[str, str]]:
    """Everything as lines with a name; a name is empty where its line goes on."""
    host = view.host
    rows = [
        ("host", ", ".join(part for part in (view.elsewhere or host.name, _limits(host)) if part)),
        ("cpu", ", ".join(part for part in (cpu_words(host), load_words(host)) if part)),
        ("memory", _memory(host)),
        ("disk", ", ".join(part for part in (disk_words(host.disk), host.folder) if part)),
    ]
    for gpu in view.gpus.gpus:
        rows.append((gpu.key, ", ".join([gpu.name or "unknown", *gpu_facts(gpu)])))
        rows += [("", line) for line in process_lines(gpu, view.run)]
    rows.append(("gpu", no_gpus(view)))
    rows += _run_rows(view)
    if view.ranks:
        names, *told = rank_rows(view.ranks)
        for values in told:
            parts = (f"{name} {value}" for name, value in zip(names, values, strict=True))
            rows.append((next(parts), ", ".join(part for part in parts if not part.endswith(" -"))))
    return [(name, clean(text, newlines=False)) for name, text in rows if text]


def _limits(host: Host) -> str:
    return "limited by its container or job" if host.limited else ""


def _memory(host: Host) -> str:
    used = f"{fill(host.memory)} used" if host.memory else ""
    swap = f"swap {fill(host.swap)}" if host.swap else ""
    return ", ".join(part for part in (used, swap) if part)


def _run_rows(view: MachineView) -> Sequence[tuple[str, str]]:
    if not view.run:
        return ()
    devices = ", ".join(view.devices) or "the CPU"
    where = f"on {view.elsewhere}, these are its last figures" if view.elsewhere else ""
    at_work = worker_words(view.worker) if view.worker else "not at work"
    return (
        ("run", ", ".join(part for part in (view.run, f"on {devices}", where) if part)),
        ("worker", at_work),
        ("energy", f"{energy_words(view.energy)} so far" if view.energy else ""),
    )
