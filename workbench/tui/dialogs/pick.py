"""Choose one of several: a value of a setting, a past prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList

from workbench.tui.dialogs.base import Dialog
from workbench.tui.widgets.row_table import Rows


class PickDialog(Dialog[int]):
    """A list to choose from; answers with the index.

    Args:
        title: What is chosen.
        options: What stands in each line.
        chosen: Index under the cursor at the beginning.
    """

    DEFAULT_CSS = """
    PickDialog Rows {
        height: auto; max-height: 16; border: none; background: $panel; padding: 0;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    PickDialog Rows:focus { border: none; background-tint: $foreground 0%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "choose", "Choose", show=False, id="pick.choose"),
        Binding("q", "dismiss", "Close", show=False, id="pick.close"),
    ]

    def __init__(self, title: Content | str, options: Sequence[Content], chosen: int = 0) -> None:
        super().__init__(title)
        self._options = options
        self._chosen = chosen

    def compose_body(self) -> ComposeResult:
        """The list."""
        yield Rows(*self._options, markup=False)

    def on_mount(self) -> None:
        """Cursor on the present choice."""
        rows = self.query_one(Rows)
        rows.highlighted = self._chosen
        rows.focus()
        self.query_one("#frame").border_subtitle = "enter chooses, escape closes"

    def action_choose(self) -> None:
        """Take the one under the cursor."""
        self.query_one(Rows).action_select()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_index)
