"""A list of aligned rows that fits its width: columns shrink and drop out instead of being cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from workbench.tui.render import plain

GAP = 2


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: Heading.
        width: Cells; 0 shares what the fixed columns leave.
        right: Whether values are aligned to the right.
        from_width: The table's width from which on the column is shown.
    """

    title: str
    width: int = 0
    right: bool = False
    from_width: int = 0


@dataclass(frozen=True)
class Row:
    """One row: a key that tells it from the others, and a cell for every column."""

    key: str
    cells: tuple[Content, ...]


class Rows(OptionList, inherit_bindings=False):
    """A list with the keys that people expect of lists.

    Enter is left to the screen, whose footer then shows what it does there.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor_down", "Down", show=False, id="rows.down"),
        Binding("up,k", "cursor_up", "Up", show=False, id="rows.up"),
        Binding("home,g", "first", "First", show=False, id="rows.first"),
        Binding("end,G", "last", "Last", show=False, id="rows.last"),
        Binding("pagedown", "page_down", "Page down", show=False, id="rows.page-down"),
        Binding("pageup", "page_up", "Page up", show=False, id="rows.page-up"),
    ]


class RowTable(Vertical):
    """A table of rows, one line each, under a heading line."""

    DEFAULT_CSS = """
    RowTable { height: 1fr; }
    RowTable > #heading { height: 1; padding: 0 1; color: $faint; }
    RowTable > Rows { height: 1fr; border: none; padding: 0; background: $background; }
    RowTable > Rows:focus { border: none; background-tint: $foreground 0%; }
    RowTable > Rows > .option-list--option { padding: 0 1; text-wrap: nowrap; }
    """

    @dataclass
    class Highlighted(Message):
        """Another row is under the cursor."""

        table: RowTable
        key: str

        @property
        def control(self) -> RowTable:
            """The table of the row."""
            return self.table

    @dataclass
    class Selected(Message):
        """A row was chosen with enter."""

        table: RowTable
        key: str

        @property
        def control(self) -> RowTable:
            """The table of the row."""
            return self.table

    def __init__(self, *columns: Column, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._columns = columns
        self._rows: tuple[Row, ...] = ()
        self._shown: list[Content] = []

    def compose(self) -> ComposeResult:
        """Heading line and list."""
        yield Static("", id="heading", markup=False)
        yield Rows(markup=False)

    @property
    def rows(self) -> Rows:
        """The list inside."""
        return self.query_one(Rows)

    @property
    def key(self) -> str:
        """Key of the row under the cursor, empty where there is none."""
        index = self.rows.highlighted
        return self._rows[index].key if index is not None and index < len(self._rows) else ""

    def set_columns(self, *columns: Column) -> None:
        """Show other columns from the next `set_rows` on, which has to follow at once."""
        if columns != self._columns:
            self._columns, self._shown = columns, []

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show these rows; the cursor stays on its row as long as that row exists."""
        new = tuple(rows)
        if new == self._rows and self._shown:
            return
        old_key, same = self.key, [r.key for r in new] == [r.key for r in self._rows]
        self._rows = new
        if same and self._shown:
            self._repaint_rows()
        else:
            self._rebuild(old_key)

    def highlight(self, key: str) -> None:
        """Put the cursor on a row."""
        for index, row in enumerate(self._rows):
            if row.key == key:
                self.rows.highlighted = index

    def on_resize(self, event: events.Resize) -> None:
        """Lay the columns out for the new width."""
        self._rebuild(self.key)

    def _rebuild(self, key: str) -> None:
        widths = self._widths()
        self.query_one("#heading", Static).update(self._line(self._headings(), widths))
        self._shown = [self._line(row.cells, widths) for row in self._rows]
        rows = self.rows
        with self.app.batch_update(), rows.prevent(OptionList.OptionHighlighted):
            rows.clear_options()
            rows.add_options(Option(line) for line in self._shown)
            keys = [row.key for row in self._rows]
            if keys:
                rows.highlighted = keys.index(key) if key in keys else 0
        if keys and self.key != key:
            self.post_message(self.Highlighted(self, self.key))

    def _repaint_rows(self) -> None:
        widths = self._widths()
        for index, row in enumerate(self._rows):
            line = self._line(row.cells, widths)
            if line != self._shown[index] or line.spans != self._shown[index].spans:
                self._shown[index] = line
                self.rows.replace_option_prompt_at_index(index, line)

    def _headings(self) -> tuple[Content, ...]:
        return tuple(plain(column.title) for column in self._columns)

    def _widths(self) -> list[int]:
        """Cells of each column, -1 for those that the present width leaves out."""
        # Two cells of padding, one for the scroll bar, whether it shows or not.
        total = max(20, self.size.width - 3)
        shown = [column for column in self._columns if self.size.width >= column.from_width]
        fixed = sum(column.width for column in shown) + GAP * (len(shown) - 1)
        elastic = sum(1 for column in shown if not column.width) or 1
        rest = max(8, (total - fixed) // elastic)
        return [
            -1 if self.size.width < column.from_width else column.width or rest
            for column in self._columns
        ]

    def _line(self, cells: Sequence[Content], widths: Sequence[int]) -> Content:
        parts = []
        for cell, column, width in zip(cells, self._columns, widths, strict=True):
            if width < 0:
                continue
            fitted = cell.truncate(width, ellipsis=True)
            padding = " " * (width - fitted.cell_length)
            parts.append(Content(padding) + fitted if column.right else fitted + Content(padding))
        return Content(" " * GAP).join(parts)

    @on(OptionList.OptionHighlighted)
    def _row_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option_index < len(self._rows):
            self.post_message(self.Highlighted(self, self._rows[event.option_index].key))

    @on(OptionList.OptionSelected)
    def _row_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_index < len(self._rows):
            self.post_message(self.Selected(self, self._rows[event.option_index].key))
