"""A screen with a line for words that choose its rows."""

from __future__ import annotations

from textual import on
from textual.widgets import Input

from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.row_table import RowTable


class FilterScreen(WorkbenchScreen):
    """A screen with an input `#filter` over a table; the input is there while it has words."""

    def _show(self) -> None:
        """Show what the words choose."""
        raise NotImplementedError

    def action_filter(self) -> None:
        """Type words to filter by."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    @on(Input.Changed, "#filter")
    def _filter_changed(self) -> None:
        self._show()

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = bool(field.value)
        self.query_one(RowTable).rows.focus()
