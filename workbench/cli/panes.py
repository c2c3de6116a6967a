"""Texts side by side, or one after the other where the terminal is narrow."""

from __future__ import annotations

from itertools import zip_longest

from workbench.base.text import cells, clean, pad

GAP = " | "
MINIMUM_PANE_CELLS = 34
INDENT = "  "


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells; breaks between words, inside one only if it is too long."""
    lines = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in paragraph.split():
            while cells(word) > width:
                piece = _head(word, width)
                lines += [line, piece] if line else [piece]
                line, word = "", word[len(piece) :]
            joined = f"{line} {word}" if line and word else line + word
            if cells(joined) > width:
                lines.append(line)
                line = word
            else:
                line = joined
        lines.append(line)
    return lines


def _head(word: str, width: int) -> str:
    """The longest beginning of a word that fits, one letter at least."""
    end = 1
    while end < len(word) and cells(word[: end + 1]) <= width:
        end += 1
    return word[:end]


def side_by_side(panes: list[tuple[str, str]], width: int) -> list[str]:
    """Lines that show titled outside texts: columns if each gets enough cells, else in turn.

    Args:
        panes: (title, text) from left to right.
        width: cells of a line.
    """
    pane = (width - len(GAP) * (len(panes) - 1)) // max(1, len(panes))
    texts = [(title, clean(text).strip() or "(no text)") for title, text in panes]
    if pane < MINIMUM_PANE_CELLS:
        return [
            line
            for title, text in texts
            for line in (f"{title}:", *(INDENT + part for part in wrap(text, width - len(INDENT))))
        ]
    wrapped = [[title, "-" * pane, *wrap(text, pane)] for title, text in texts]
    return [
        GAP.join(pad(cell, pane) for cell in row).rstrip()
        for row in zip_longest(*wrapped, fillvalue="")
    ]
