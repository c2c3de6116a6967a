"""Asks for a name, such as that of a new recipe."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, Static

from workbench.base.paths import is_safe_name
from workbench.tui.dialogs.base import FormDialog
from workbench.tui.widgets.steady_input import SteadyInput

COMPLAINT = (
    "Use letters, digits, dot, dash and underscore, at most 64, the first a letter or digit."
)


class NameDialog(FormDialog[str]):
    """Asks for a file name that is safe as it stands.

    Args:
        title: What the name is for.
        text: What will happen.
        value: Name to begin with.
        taken: Why a name cannot be had, empty where it can.
        yes: What the confirming button says.
    """

    def __init__(
        self,
        title: str,
        text: Content,
        *,
        value: str,
        taken: Callable[[str], str] = lambda name: "",
        yes: str = "Save",
    ) -> None:
        super().__init__(title)
        self._text = text
        self._value = value
        self._taken = taken
        self._yes = yes

    def compose_body(self) -> ComposeResult:
        """Text, input, buttons."""
        yield Static(self._text, markup=False)
        yield SteadyInput(self._value, id="name")
        yield Static("", id="complaint", classes="complaint", markup=False)
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="no", compact=True)
            yield Button(self._yes, id="yes", compact=True)

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()

    def finish(self) -> None:
        """Answer, or say what is wrong with what was typed."""
        name = self.query_one(Input).value.strip()
        complaint = self._taken(name) if is_safe_name(name) else COMPLAINT
        if not complaint:
            self.dismiss(name)
            return
        self.query_one("#complaint", Static).update(complaint)
        self.query_one(Input).focus()
