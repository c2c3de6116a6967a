"""Asks for one line of text: a path, a person's name."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, Static

from workbench.tui.dialogs.base import FormDialog
from workbench.tui.render import plain
from workbench.tui.widgets.steady_input import SteadyInput


class LineDialog(FormDialog[str]):
    """Answers with what was typed, without blanks around it.

    Args:
        title: What is asked for.
        text: What it is for.
        value: Text to begin with.
        fault: Why a text will not do, empty where it will.
        yes: What the confirming button says.
    """

    def __init__(
        self,
        title: str,
        text: Content,
        *,
        value: str = "",
        fault: Callable[[str], str] = lambda text: "",
        yes: str = "Take",
    ) -> None:
        super().__init__(title)
        self._text = text
        self._value = value
        self._fault = fault
        self._yes = yes

    def compose_body(self) -> ComposeResult:
        """Text, input, buttons."""
        yield Static(self._text, markup=False)
        yield SteadyInput(plain(self._value).plain, id="text")
        yield Static("", id="complaint", classes="complaint", markup=False)
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="no", compact=True)
            yield Button(self._yes, id="yes", compact=True)

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()

    def finish(self) -> None:
        """Answer, or say what is wrong with what was typed."""
        typed = self.query_one(Input).value.strip()
        complaint = self._fault(typed) if typed else "Type something, or press escape."
        if not complaint:
            self.dismiss(typed)
            return
        self.query_one("#complaint", Static).update(plain(complaint))
        self.query_one(Input).focus()
