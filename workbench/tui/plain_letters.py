"""Frames, bars and signs as ASCII, for terminals and fonts that have nothing else.

They are exchanged where the app writes to its terminal, one cell for one cell, so that no screen
needs a second look. Texts of people keep their letters.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.driver import Driver

SIGNS = {
    "←↑→↓↵↻": "<^>v<r",
    "●○◌◍◉•·■▪★☆": "*o.o@*.##**",
    "✓✔✗✘×": "++xxx",  # noqa: RUF001
    "▴▵▶▸◀◂▾▿▼▲": "^^>><<vvv^",
    "…‥": "~~",
    "−–—‐‑": "-----",  # noqa: RUF001
    "‘’‚“”„«»‹›⟨⟩": '\'\',"""<><><>',  # noqa: RUF001
    "°\u00a0≤≥≈Δ": "o <>~d",
}
LOWER_BLOCKS = ".:-=+*##"
"""Of one to eight eighths."""
FEW_DOTS = 3


def ascii_table() -> dict[int, str]:
    """For `str.translate`: signs, frames, blocks and braille, each to one ASCII letter."""
    table = {ord(sign): plain for signs, plains in SIGNS.items()
             for sign, plain in zip(signs, plains, strict=True)}  # fmt: skip
    table |= {code: _frame(unicodedata.name(chr(code))) for code in range(0x2500, 0x2580)}
    table |= {code: _block(code) for code in range(0x2580, 0x25A0)}
    table |= {code: _braille(code - 0x2800) for code in range(0x2800, 0x2900)}
    return table


def _frame(name: str) -> str:
    """A box drawing sign by its Unicode name."""
    if "DIAGONAL" in name:
        rising, falling = "UPPER RIGHT TO LOWER LEFT" in name, "UPPER LEFT TO LOWER RIGHT" in name
        return "/" if rising and not falling else "\\" if falling and not rising else "X"
    across = any(word in name for word in ("HORIZONTAL", "LEFT", "RIGHT"))
    along = any(word in name for word in ("VERTICAL", "UP", "DOWN"))
    if across and along:
        return "+"
    heavy = "HEAVY" in name or "DOUBLE" in name
    return "|" if along else "=" if heavy else "-"


def _block(code: int) -> str:
    """A block element: parts of a cell from below, from the left, shades, quarters."""
    if 0x2581 <= code <= 0x2588:
        return LOWER_BLOCKS[code - 0x2581]
    if 0x2589 <= code <= 0x258F or code in (0x2590, 0x2595):
        return "|"
    if 0x2591 <= code <= 0x2593:
        return ".:#"[code - 0x2591]
    return "-" if code in (0x2580, 0x2594) else "#"


def _braille(dots: int) -> str:
    if not dots:
        return " "
    return "." if dots.bit_count() < FEW_DOTS else "*"


def plain_driver(driver: type[Driver]) -> type[Driver]:
    """A driver that draws as the given one does, in ASCII."""
    table = ascii_table()

    class PlainDriver(driver):  # type: ignore[misc, valid-type]
        def write(self, data: str) -> None:
            super().write(data if data.isascii() else data.translate(table))

    return PlainDriver
