"""Where a line of text breaks, so that only what was added to it is laid out anew."""

from __future__ import annotations

from rich.cells import cell_len

Span = tuple[int, int]


def wrap(text: str, width: int, start: int = 0) -> list[Span]:
    """Rows of one line as (begin, end) in characters; the blank at which it breaks is in neither.

    Breaks at blanks, inside a word only where it is wider than a row. A row but the last never
    changes when the text grows, so a longer text may be wrapped from the begin of its last row.

    Args:
        text: One line, made inert.
        width: Cells of a row, 1 at least.
        start: Where the first row begins.
    """
    rows: list[Span] = []
    while True:
        end = _reach(text, start, max(1, width))
        if end == len(text):
            rows.append((start, end))
            return rows
        blank = text.rfind(" ", start, end + 1)
        if blank > start and text[start:blank].strip():
            rows.append((start, blank))
            start = blank + 1
        else:
            rows.append((start, end))
            start = end


def _reach(text: str, start: int, width: int) -> int:
    """The end of the longest piece that fits, one letter at least."""
    piece = text[start : start + width]
    if piece.isascii():
        return start + len(piece)
    end, used = start, 0
    while end < len(text):
        used += cell_len(text[end])
        if used > width and end > start:
            break
        end += 1
    return end
