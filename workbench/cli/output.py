"""How the commands print: one door for outside text, tables, units."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

from workbench.base.files import json_safe
from workbench.base.text import cells, clean, pad

FALLBACK_COLUMNS = 80
# From which size on a number is counted in a unit: 1234 is still read at a glance.
LARGE_UNITS = ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))


def interactive() -> bool:
    """Whether a person at a terminal reads the output and can type."""
    return sys.stdin.isatty() and redrawable()


def redrawable() -> bool:
    """Whether stdout is a terminal that can redraw a line."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") != "dumb"


def columns() -> int:
    """Width of the terminal in cells; $COLUMNS or 80 where there is none."""
    return shutil.get_terminal_size((FALLBACK_COLUMNS, 24)).columns


def one_line(text: object) -> str:
    """Outside text as one inert line."""
    return clean(str(text), newlines=False)


def print_json(value: Any) -> None:
    """Print strict JSON, indented; letters that the terminal cannot show are escaped."""
    print(json.dumps(json_safe(value), indent=2))


def cut(text: str, width: int) -> str:
    """The text, shortened to `width` cells, an ellipsis where something is missing."""
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return text + "…" if width > 0 else ""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table with left-aligned columns; on a terminal no line is wider than it."""
    lines = [list(header), *[[one_line(cell) for cell in row] for row in rows]]
    widths = [max(cells(line[index]) for line in lines) for index in range(len(header))]
    text = [
        "  ".join(pad(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return [cut(line, columns()) for line in text] if sys.stdout.isatty() else text


def duration(seconds: float) -> str:
    """42 s, 4:12 or 3:04:12."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(byte_count: float) -> str:
    """Bytes in the nearest unit, powers of 1000 as disks and GPUs are sold: 3.2 GB."""
    value = float(byte_count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def number(value: float) -> str:
    """A metric in at most seven characters: 0.512, -12.3, 310, 12.3k, 5.0e-05."""
    for least, unit, name in LARGE_UNITS:
        if abs(value) >= least:
            return f"{value / unit:.3g}{name}"
    if value == 0 or abs(value) >= 0.001:
        return f"{value:.4g}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:.1e}"


def local_time(seconds: float) -> str:
    """A moment (unix seconds) in the local time zone; empty where it is none, or not known."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""
    except (OverflowError, OSError, ValueError):
        return ""
