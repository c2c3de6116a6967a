"""The rows of an answer pane: earlier turns, then an answer that may still grow."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len

from workbench.base.text import clean
from workbench.tui.shading import Mark
from workbench.tui.wrapping import Span, wrap

Row = tuple[tuple[str, str], ...]
"""Pieces of one row: text, and the name of its style (empty for plain)."""
YOU = "you: "


class AnswerRows:
    """Text laid out in rows of a width; what was added costs what is new, not the whole text."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.head = 0
        self._width = 40
        self._turns: tuple[tuple[str, str], ...] = ()
        self._begins: list[int] = []
        self._settled = 0
        self._tail = ""
        self._tail_text = ""
        self._tail_spans: list[Span] = []

    @property
    def width(self) -> int:
        """Cells of a row."""
        return self._width

    def begin(self, turns: Sequence[tuple[str, str]], width: int) -> None:
        """Start over.

        Args:
            turns: (what the person said, what was answered) before; of the last one, which is
                being answered, the answer is empty and only the person's words are shown. No turns
                where the answer stands alone.
            width: Cells of a row.
        """
        self._width = max(1, width)
        self._turns = tuple(turns)
        self.rows = []
        for number, (prompt, answer) in enumerate(self._turns):
            last = number == len(self._turns) - 1
            self._add_static(YOU + clean(prompt), "you")
            if not last:
                self._add_static(clean(answer), "past")
                self.rows.append(())
        self.head = len(self.rows)
        self._forget_answer()

    def _forget_answer(self) -> None:
        del self.rows[self.head :]
        self._settled = self.head
        self._tail = self._tail_text = ""
        self._tail_spans = []
        self._begins = []

    def _add_static(self, text: str, style: str) -> None:
        for line in text.split("\n"):
            self.rows += [((line[a:b], style),) for a, b in wrap(line, self._width)]

    def hint(self, text: str, style: str = "faint") -> None:
        """Show a few words where the answer will be."""
        self._forget_answer()
        self._add_static(clean(text), style)

    def add(self, raw: str) -> int:
        """Append what was generated, as it came; returns the first row that is another now."""
        before, first = self.rows[self._settled :], self._settled
        *finished, self._tail = (self._tail + raw).split("\n")
        if finished:
            del self.rows[self._settled :]
            # No escape sequence goes beyond its line, so each line is made inert by itself.
            for line in finished:
                self._add_static(clean(line), "")
            self._settled = len(self.rows)
            self._tail_text, self._tail_spans = "", []
        self._add_tail(clean(self._tail))
        now = self.rows[first:]
        same = (old == new for old, new in zip(before, now, strict=False))
        return first + next(
            (at for at, equal in enumerate(same) if not equal), min(len(before), len(now))
        )

    def _add_tail(self, text: str) -> None:
        """Lay the unfinished line out; where it only grew, from the beginning of its last row."""
        if "\n" in text:  # a carriage return ends a line too
            del self.rows[self._settled :]
            self._add_static(text, "")
            self._tail_text, self._tail_spans = "", []
            return
        grown = bool(self._tail_spans) and text.startswith(self._tail_text)
        kept = self._tail_spans[:-1] if grown else []
        new = wrap(text, self._width, self._tail_spans[-1][0] if grown else 0)
        del self.rows[self._settled + len(kept) :]
        self.rows += [((text[a:b], ""),) for a, b in new]
        self._tail_text, self._tail_spans = text, kept + new

    def show(self, text: str, marks: Sequence[Mark] = (), *, signs: bool = False) -> None:
        """Show a whole answer, already inert, with marks; under their rows signs where wanted.

        Marks are in order and a later one may lie over an earlier one.
        """
        self._forget_answer()
        styles = _styled(len(text), marks)
        at = 0
        for line in text.split("\n"):
            for a, b in wrap(line, self._width):
                self.rows.append(_pieces(text, at + a, at + b, styles))
                self._begins.append(at + a)
                under = _signs(text, at + a, at + b, marks) if signs else ""
                if under:
                    self.rows.append(((under, "sign"),))
                    self._begins.append(at + a)
            at += len(line) + 1
        self._settled = len(self.rows)

    def row_of(self, place: int) -> int:
        """The row in which a character of the shown answer stands."""
        index = bisect_right(self._begins, place) - 1
        while index > 0 and self._begins[index - 1] == self._begins[index]:
            index -= 1
        return self.head + max(0, index)


def _styled(length: int, marks: Sequence[Mark]) -> list[tuple[int, int, str]]:
    """Marks cut into parts that do not overlap: (begin, end, style), the later mark on top."""
    edges = sorted({0, length, *(m.begin for m in marks), *(m.end for m in marks)})
    styles = dict.fromkeys(edges, "")
    index = {edge: number for number, edge in enumerate(edges)}
    for mark in marks:
        for edge in edges[index[mark.begin] : index[mark.end]]:
            styles[edge] = mark.style
    return [(a, b, styles[a]) for a, b in zip_longest(edges, edges[1:], fillvalue=length) if a < b]


def _pieces(text: str, begin: int, end: int, styles: Sequence[tuple[int, int, str]]) -> Row:
    first = max(0, bisect_right(styles, begin, key=lambda part: part[0]) - 1)
    pieces = []
    for a, b, style in styles[first:]:
        if a >= end:
            break
        if max(a, begin) < min(b, end):
            pieces.append((text[max(a, begin) : min(b, end)], style))
    return tuple(pieces)


def _signs(text: str, begin: int, end: int, marks: Sequence[Mark]) -> str:
    """The line of signs under a row, empty where nothing in it is marked."""
    line = ""
    first = bisect_right(marks, begin, key=lambda mark: mark.end)
    for mark in marks[first:]:
        if mark.begin >= end:
            break
        a, b = max(mark.begin, begin), min(mark.end, end)
        room = cell_len(text[a:b])
        column = cell_len(text[begin:a])
        # The sign stands under the word, not under the blank before it.
        blank = min(len(text[a:b]) - len(text[a:b].lstrip()), max(0, room - len(mark.sign)))
        if mark.sign and room and column + blank >= len(line):
            line = line.ljust(column + blank) + mark.sign[: room - blank]
    return line
