"""Yes or no, and no unless said otherwise."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Static

from workbench.tui.dialogs.base import Dialog


class ConfirmDialog(Dialog[bool]):
    """Asks before harm.

    Args:
        title: The question in a few words.
        text: What will happen.
        yes: What the confirming button says.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", id="confirm.yes", tooltip="Do it"),
        Binding("n", "answer(False)", "No", id="confirm.no", tooltip="Leave everything as it is"),
        Binding("left,right", "app.focus_next", show=False, id="confirm.move"),
    ]

    def __init__(self, title: str, text: Content, *, yes: str) -> None:
        super().__init__(title)
        self._text = text
        self._yes = yes

    def compose_body(self) -> ComposeResult:
        """Text and two buttons; the harmless one has the focus."""
        yield Static(self._text, markup=False)
        with Horizontal(classes="buttons"):
            yield Button("No", id="no", compact=True)
            yield Button(self._yes, id="yes", classes="-harm", compact=True)

    def on_mount(self) -> None:
        """No is the default."""
        self.query_one("#no").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Answer by letter."""
        self.dismiss(answer)
