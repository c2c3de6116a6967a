"""Small files in which the kernel tells figures: /sys, /proc, control groups."""

from __future__ import annotations

from pathlib import Path

MOST_CHARACTERS = 65_536
MOST_DIGITS = 20
"""Of a number of 64 bits."""


def text_of(file: Path) -> str:
    """The text of a file without blanks around it; empty where it cannot be read."""
    try:
        with file.open(encoding="ascii", errors="replace") as opened:
            return opened.read(MOST_CHARACTERS).strip()
    except OSError:
        return ""


def number_of(file: Path) -> int | None:
    """The number that a file holds, at least 0; None for anything else."""
    return as_number(text_of(file))


def as_number(text: str) -> int | None:
    """A number of at least 0; None for anything else."""
    return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else None


def entries_of(folder: Path) -> list[Path]:
    """What lies in a folder, in the order of the names; nothing where it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
