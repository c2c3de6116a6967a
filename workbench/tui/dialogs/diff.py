"""What differs between two texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from workbench.tui.dialogs.base import Dialog
from workbench.tui.render import lines, plain

STYLES = {"+": "$success", "-": "$error", "@": "$secondary"}


class DiffDialog(Dialog[None]):
    """Shows the lines of a unified diff.

    Args:
        title: Which texts they are.
        changed: The lines, see `draft.difference`.
    """

    DEFAULT_CSS = """
    DiffDialog > #frame { width: 96%; max-width: 120; padding: 0 1; }
    DiffDialog VerticalScroll { height: auto; max-height: 90%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d,q,enter", "dismiss", "Close", show=False, id="diff.close"),
    ]

    def __init__(self, title: str, changed: Sequence[str]) -> None:
        super().__init__(title)
        self._changed = changed

    def compose_body(self) -> ComposeResult:
        """The lines, coloured by their first character."""
        with VerticalScroll():
            yield Static(lines(*map(_line, self._changed)), markup=False)

    def on_mount(self) -> None:
        """The arrows scroll."""
        self.query_one(VerticalScroll).focus()
        self.query_one("#frame").border_subtitle = "escape closes"


def _line(line: str) -> Content:
    return plain(line, style=STYLES.get(line[:1], "$muted"))
