"""A text to read: what differs, what a setting means, what is wrong."""

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


class ReadDialog(Dialog[None]):
    """Shows a text that may be longer than the screen.

    Args:
        title: What it is.
        text: It.
    """

    DEFAULT_CSS = """
    ReadDialog > #frame { width: 96%; max-width: 120; padding: 0 1; }
    ReadDialog VerticalScroll { height: auto; max-height: 90%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d,i,p,q,enter", "dismiss", "Close", show=False, id="read.close"),
    ]

    def __init__(self, title: Content | str, text: Content) -> None:
        super().__init__(title)
        self._text = text

    def compose_body(self) -> ComposeResult:
        """The text."""
        with VerticalScroll():
            yield Static(self._text, markup=False)

    def on_mount(self) -> None:
        """The arrows scroll."""
        self.query_one(VerticalScroll).focus()
        self.query_one("#frame").border_subtitle = "escape closes"


def diff_text(changed: Sequence[str]) -> Content:
    """The lines of a unified diff, coloured by their first character; see `draft.difference`."""
    return lines(*(plain(line, style=STYLES.get(line[:1], "$muted")) for line in changed))
