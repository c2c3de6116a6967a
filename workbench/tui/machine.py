"""The machine as the screen shows it: bars, the last minutes, who is on which GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content
from textual.message import Message

from workbench.base.text import cells, clean, pad
from workbench.run.machine import text
from workbench.run.machine.view import BIN_SECONDS, CPU_CURVE, Curve, MachineView
from workbench.run.rank_states import rank_rows
from workbench.tui.histogram import ASCII_LEVELS, EIGHTHS, LEVELS
from workbench.tui.render import join, lines, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.run.directory import RunDirectory
    from workbench.run.gpus import Gpu
    from workbench.run.machine.host import Capacity
    from workbench.tui.app import WorkbenchApp

LABEL = 8
BAR, WIDE_BAR = 20, 40
WIDE = 96
SHOWN_PROCESSES = 6
SHOWN_RANKS, LONGEST_NAME, GAP = 64, 20, "  "
LOOK_SECONDS = 1.0
"""A driver that needs longer is not waited for: its answer is taken at the next look."""
WORDS = len("42 % of 128 cores")
MINUTE_BINS = round(60 / BIN_SECONDS)
Part = Content | str | tuple[str, str]
OURS, OTHERS, FREE = "$primary", "$warning", "$faint"


@dataclass
class MachineSeen(Message):
    """A look at the machine."""

    view: MachineView


@dataclass(frozen=True)
class Pens:
    """Signs for bars: this user's, others', and nobody's share; without colour they differ too."""

    ours: str = "█"
    others: str = "▒"
    free: str = "░"
    levels: str = EIGHTHS
    degrees: str = text.DEGREES


BLOCKS, ASCII = Pens(), Pens("#", "+", ".", ASCII_LEVELS, " C")


def bar(shares: Sequence[tuple[float, str, str]], width: int, rest: str) -> Content:
    """Shares of 1 side by side; one that is not 0 has a cell, be it too much for it.

    Args:
        shares: (share, sign, style) from left to right.
        rest: The sign of what is left.
    """
    parts: list[Part] = []
    left = width
    for share, sign, style in shares:
        long = min(left, max(1, round(share * width))) if share > 0 else 0
        parts.append((sign * long, style))
        left -= long
    return join(*parts, (rest * left, FREE))


def sparkline(curve: Curve, pens: Pens) -> str:
    """Percentages as signs of their height; blanks where nobody looked."""
    return "".join(
        " " if value is None else pens.levels[1 + round(_share(value) * (LEVELS - 1))]
        for value in curve
    )


def _share(percent: float) -> float:
    return min(1.0, max(0.0, percent / 100))


def machine_blocks(view: MachineView, width: int, *, ascii_only: bool) -> dict[str, Content]:
    """What the screen shows, block by block; names of the blocks stay the same from look to look.

    Args:
        width: Cells of a line.
    """
    pens = ASCII if ascii_only else BLOCKS
    blocks = {"host": _host_block(view, width, pens)}
    if view.run:
        blocks["run"] = _run_block(view, width)
    if view.ranks:
        blocks["ranks"] = _rank_block(view, width)
    for gpu in view.gpus.gpus:
        blocks[gpu.key] = _gpu_block(gpu, view, width, pens)
    if reason := text.no_gpus(view):
        blocks["none"] = plain(reason, style="$muted")
    return blocks


def _host_block(view: MachineView, width: int, pens: Pens) -> Content:
    host = view.host
    name = view.elsewhere or host.name or "this machine"
    facts = "   limited by its container or job" if host.limited else ""
    head = join((f"{'host':<{LABEL}}", "$muted"), plain(name, style="bold"), (facts, "$muted"))
    rows = [_title(head, text.load_words(host), width)]
    cpu = text.cpu_words(host)
    if cpu:
        curve = view.curves.get(CPU_CURVE)
        rows.append(_busy("CPU", host.cpu_percent, cpu, curve, width, pens))
    swap = f", swap {text.fill(host.swap)}" if host.swap else ""
    rows += _fullness("RAM", host.memory, f"{text.fill(host.memory)} used{swap}", width, pens)
    place = f"{text.disk_words(host.disk)}, {clean(host.folder, newlines=False)}".rstrip(", ")
    rows += _fullness("disk", host.disk, place, width, pens)
    return lines(*(_cut(row, width) for row in rows))


def _run_block(view: MachineView, width: int) -> Content:
    devices = ", ".join(view.devices) or "the CPU"
    energy = text.energy_words(view.energy) if view.energy else ""
    head = join(
        (f"{'run':<{LABEL}}", "$muted"), plain(view.run, style="bold"), f" on {clean(devices)}"
    )
    worker = text.worker_words(view.worker) if view.worker else "not at work"
    if view.elsewhere:
        worker = "on another machine; these are the last figures that it logged"
    rows = [_title(head, energy, width), join((f"{'worker':<{LABEL}}", "$muted"), worker)]
    return lines(*(_cut(row, width) for row in rows))


def _rank_block(view: MachineView, width: int) -> Content:
    """A table of the processes, each column as wide as it must be."""
    table = [[_name(text) for text in row] for row in rank_rows(view.ranks[:SHOWN_RANKS])]
    widths = [max(map(cells, column)) for column in zip(*table, strict=True)]
    head, *rows = (GAP.join(map(pad, row, widths)).rstrip() for row in table)
    shown = [plain(head, style="$muted"), *map(plain, rows)]
    if (left := len(view.ranks) - SHOWN_RANKS) > 0:
        shown.append(plain(f"and {left} more", style="$muted"))
    return lines(*(_cut(row, width) for row in shown))


def _name(text: str) -> str:
    shown = clean(text, newlines=False)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"


def _gpu_block(gpu: Gpu, view: MachineView, width: int, pens: Pens) -> Content:
    warmth = text.celsius(gpu).replace(text.DEGREES, pens.degrees)
    facts = "   ".join(part for part in (warmth, text.watts(gpu)) if part)
    mine = "   this run's" if gpu.key in view.devices else ""
    name = plain(gpu.name or "unknown", style="$muted")
    rows = [_title(join((gpu.key, "bold"), "  ", name, (mine, OURS)), facts, width)]
    if gpu.load_percent is not None:
        rows.append(_busy("load", gpu.load_percent, text.percent(gpu.load_percent),
                          view.curves.get(gpu.key), width, pens))  # fmt: skip
    rows.append(_memory_row(gpu, width, pens))
    rows += [
        join(" " * LABEL, plain(line))
        for line in text.process_lines(gpu, view.run, SHOWN_PROCESSES)
    ]
    return lines(*(_cut(row, width) for row in rows))


def _memory_row(gpu: Gpu, width: int, pens: Pens) -> Content:
    parts, total = text.split(gpu), gpu.total_bytes
    words = plain(text.memory_words(gpu), style="" if parts else "$muted")
    if parts is None or not total:
        return join((f"{'memory':<{LABEL}}", "$muted"), words)
    ours, others, _ = parts
    shares = [(ours / total, pens.ours, OURS), (others / total, pens.others, OTHERS)]
    drawn = bar(shares, _bar_width(width), pens.free)
    return join((f"{'memory':<{LABEL}}", "$muted"), drawn, "  ", words)


def _busy(
    name: str, value: float | None, words: str, curve: Curve | None, width: int, pens: Pens
) -> Content:
    """A percentage: bar, words, as many of the last minutes as fit."""
    share = [] if value is None else [(_share(value), pens.ours, OURS)]
    wide = _bar_width(width)
    drawn = bar(share, wide, pens.free)
    parts: list[Part] = [(f"{name:<{LABEL}}", "$muted"), drawn, f"  {words:<{WORDS}}"]
    fitting = (width - LABEL - wide - WORDS - len("    5 min")) // MINUTE_BINS * MINUTE_BINS
    shown = (curve or ())[-fitting:] if fitting > 0 else ()
    if any(one is not None for one in shown):
        minutes = len(shown) // MINUTE_BINS
        parts += ["  ", (sparkline(shown, pens), OURS), (f" {minutes} min", "$muted")]
    return join(*parts)


def _fullness(
    name: str, room: Capacity | None, words: str, width: int, pens: Pens
) -> list[Content]:
    if room is None or not room.total:
        return []
    drawn = bar([(room.used / room.total, pens.ours, OURS)], _bar_width(width), pens.free)
    return [join((f"{name:<{LABEL}}", "$muted"), drawn, f"  {words}")]


def _bar_width(width: int) -> int:
    return WIDE_BAR if width >= WIDE else BAR


def _title(left: Content, right: str, width: int) -> Content:
    """Two texts at the two ends of a line; the left one gives way."""
    right = clean(right, newlines=False)
    shown = _cut(left, max(0, width - cells(right) - (2 if right else 0)))
    return join(shown, " " * max(0, width - shown.cell_length - cells(right)), right).rstrip()


def _cut(line: Content, width: int) -> Content:
    return line if line.cell_length <= width else line.truncate(width, ellipsis=True)


def machine_line(view: MachineView, width: int) -> Content:
    """One line for a monitor: `cuda:0 61 % 18/80 GB 64 °C 310 W`, or CPU and RAM without a GPU.

    What does not fit is left out from the end.
    """
    parts = text.short_words(view)
    between = " " if view.of_run else ", "
    while parts and cells(between.join(parts)) > width:
        parts.pop()
    return plain(between.join(parts))


def real_looks(app: WorkbenchApp, run: RunDirectory | None) -> Callable[[], MachineView]:
    """Looks at this machine; call the result from one thread at a time."""
    from workbench.run.gpus import look
    from workbench.run.machine.reader import MachineReader

    folder = run.path if run else app.services.paths.runs
    return MachineReader(folder, run, look=lambda: look(LOOK_SECONDS)).look


def show_machine(app: WorkbenchApp, run_id: str = "") -> None:
    """Show the machine above the present screen.

    Args:
        run_id: The run whose worker and devices are told; empty for none.
    """
    from workbench.tui.screens.machine import MachineScreen

    app.push_screen(MachineScreen(run_id))
