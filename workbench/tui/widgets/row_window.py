"""A list of any number of rows, of which only those in sight are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from workbench.base.text import clean
from workbench.tui.data_pages import DataRow, RowPages

GAP = 2
MARK_CELLS = 3
ASKED = "user: "
"""How the prompt of most conversations begins; in a list it would only take room."""
STYLES = ("number", "error", "warning", "note", "text", "cursor", "blurred", "wait")


def row_widths(width: int, numbers: int, texts: int) -> tuple[int, ...]:
    """Cells of number, marks and each text of a row."""
    rest = width - numbers - MARK_CELLS - GAP * (texts + 1)
    each = max(4, rest // texts)
    return (numbers, MARK_CELLS, *([each] * texts))


class RowWindow(ScrollView, can_focus=True):
    """Shows pages of rows, one line each, with a cursor.

    Enter is left to the screen, whose footer then shows what it does there.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"row--{name}" for name in STYLES}
    DEFAULT_CSS = """
    RowWindow { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; }
    RowWindow > .row--number { color: $muted; }
    RowWindow > .row--error { color: $error; text-style: bold; }
    RowWindow > .row--warning { color: $warning; text-style: bold; }
    RowWindow > .row--note { color: $muted; }
    RowWindow > .row--wait { color: $faint; }
    RowWindow > .row--cursor {
        background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold;
    }
    RowWindow > .row--blurred { background: $block-cursor-blurred-background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False, id="window.down"),
        Binding("up,k", "move(-1)", "Up", show=False, id="window.up"),
        Binding("home,g", "end(0)", "First", show=False, id="window.first"),
        Binding("end,G", "end(-1)", "Last", show=False, id="window.last"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="window.page-down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="window.page-up"),
    ]

    @dataclass
    class Chosen(Message):
        """The row under the cursor was clicked."""

        window: RowWindow

    def __init__(self, *, signs: bool, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.cursor = 0
        self._pages: RowPages | None = None
        self._severities: dict[str, str] = {}
        self._signs = signs
        self._texts: tuple[str, ...] = ("prompt", "chosen", "rejected")

    def show(
        self, pages: RowPages, severities: dict[str, str], texts: Sequence[str], cursor: int
    ) -> None:
        """Show a list.

        Args:
            severities: Of each rule by its name.
            texts: Which texts of a row are shown.
            cursor: The place under the cursor.
        """
        self._pages, self._severities = pages, severities
        self._texts = tuple(texts)
        self.cursor = cursor
        self.refill()

    def refill(self) -> None:
        """More of the list is here, or its length is another."""
        if self._pages is None:
            return
        self.virtual_size = Size(self.scrollable_content_region.width, self._pages.known)
        self.cursor = max(0, min(self.cursor, self._pages.known - 1))
        self._want()
        self.refresh()

    def _want(self) -> None:
        if self._pages is not None:
            top, height = self.scroll_offset.y, max(1, self.scrollable_content_region.height)
            self._pages.want(top, top + 2 * height)

    @property
    def number_cells(self) -> int:
        """Cells of the column of numbers."""
        return max(4, len(str(self._pages.known)) if self._pages else 0)

    @property
    def widths(self) -> tuple[int, ...]:
        """Cells of number, marks and texts; a cell is left free at each side."""
        width = self.scrollable_content_region.width - 2
        return row_widths(width, self.number_cells, len(self._texts))

    def render_line(self, y: int) -> Strip:
        """One row as the screen shows it."""
        index = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if self._pages is None or index >= self._pages.known:
            return Strip.blank(width, self.rich_style)
        row = self._pages.at(index)
        cells = self._cells(row) if row is not None else [(" ...", "wait")]
        over = ("cursor" if self.has_focus else "blurred") if index == self.cursor else ""
        segments = [
            Segment(text, self._style(name, over)) for text, name in ((" ", ""), *cells, (" ", ""))
        ]
        return Strip(segments).adjust_cell_length(width, self._style("", over))

    def _style(self, name: str, over: str) -> Style:
        if over == "cursor":
            return self.get_component_rich_style("row--cursor")
        names = [f"row--{part}" for part in (over, name) if part]
        return self.get_component_rich_style(*names) if names else self.rich_style

    def _cells(self, row: DataRow) -> list[tuple[str, str]]:
        number, marks, *texts = self.widths
        found = [(f"{row.get('number') or '':>{number}}", "number"), (" " * GAP, "")]
        signs = self._marks(row)
        found += [*signs, (" " * max(0, marks - len(signs)), "")]
        for name, width in zip(self._texts, texts, strict=True):
            text = clean(str(row.get(name) or ""), newlines=False).strip()
            text = text.removeprefix(ASKED) if name == "prompt" else text
            found += [(" " * GAP, ""), (_fitted(text, width), "text")]
        return found

    def _marks(self, row: DataRow) -> list[tuple[str, str]]:
        """The signs of the rules that have found something, the worst first, three at most."""
        signs = {"error": "x", "note": "-"} if self._signs else {"error": "✗", "note": "·"}
        order = ("error", "warning", "note")
        found = sorted(
            (self._severities.get(str(rule), "note") for rule in row.get("rules") or ()),
            key=order.index,
        )
        return [(signs.get(severity, "!"), severity) for severity in found[:MARK_CELLS]]

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Other rows are in sight."""
        super().watch_scroll_y(old_value, new_value)
        self._want()

    def on_resize(self, event: events.Resize) -> None:
        """Other widths, and perhaps more rows in sight."""
        self.refill()
        self._follow()

    def _follow(self) -> None:
        """Scroll so that the cursor is in sight."""
        top, height = self.scroll_offset.y, max(1, self.scrollable_content_region.height)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False)

    def go(self, index: int) -> None:
        """Put the cursor on a row."""
        known = self._pages.known if self._pages is not None else 0
        self.cursor = max(0, min(index, known - 1))
        self._follow()
        self._want()
        self.refresh()

    def action_move(self, by: int) -> None:
        """Go up or down."""
        self.go(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Go up or down by as many rows as are in sight."""
        self.go(self.cursor + by * max(1, self.scrollable_content_region.height - 1))

    def action_end(self, place: int) -> None:
        """Go to the first or the last row."""
        self.go(0 if place == 0 else (self._pages.known if self._pages is not None else 0))

    def on_click(self, event: events.Click) -> None:
        """A click goes to a row; one on the row under the cursor opens it."""
        index = event.y + self.scroll_offset.y
        if index == self.cursor and self.has_focus:
            self.post_message(self.Chosen(self))
        else:
            self.go(index)

    def on_focus(self) -> None:
        """The cursor looks different."""
        self.refresh()

    def on_blur(self) -> None:
        """The cursor looks different."""
        self.refresh()


def _fitted(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…"
