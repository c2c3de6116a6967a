"""The keys of the screen that one looks at, and what the screen is for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from workbench.tui.dialogs.base import Dialog
from workbench.tui.render import join, lines

KEY_WIDTH = 16
GENERAL = (
    ("1 2 3 4", "Recipes, Runs, Monitor, Compare"),
    ("tab, shift+tab", "next and previous part of the screen"),
    ("ctrl+p", "every command by name"),
    ("q, ctrl+q", "quit; runs go on without the app"),
)


class HelpDialog(Dialog[None]):
    """Lists keys.

    Args:
        title: Name of the screen.
        text: What the screen is for.
        keys: Key and meaning of each of the screen's bindings.
    """

    DEFAULT_CSS = """
    HelpDialog > #frame { width: 72; }
    HelpDialog VerticalScroll { height: auto; max-height: 18; }
    HelpDialog Static { padding-right: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1,q,enter", "dismiss", "Close", show=False, id="help.close"),
    ]

    def __init__(self, title: str, text: str, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__(f"Help: {title}")
        self._text = text
        self._keys = keys

    def compose_body(self) -> ComposeResult:
        """Text, the screen's keys, the keys that work everywhere."""
        with VerticalScroll():
            yield Static(self._text + "\n", markup=False, classes="hint")
            yield Static(_table(self._keys), markup=False)
            yield Static("\nEverywhere", markup=False, classes="hint")
            yield Static(_table(GENERAL), markup=False)

    def on_mount(self) -> None:
        """Say how to leave."""
        self.query_one("#frame").border_subtitle = "escape closes"


def _table(keys: Iterable[tuple[str, str]]) -> Content:
    return lines(
        *(join((f"{key:<{KEY_WIDTH}}", "bold $primary"), meaning) for key, meaning in keys)
    )


def keys_of(bindings: Iterable[BindingType]) -> list[tuple[str, str]]:
    """Key and meaning of each binding that has a tooltip."""
    names = {"question_mark": "?", "slash": "/", "escape": "esc", "space": "space"}
    result = []
    for binding in bindings:
        if isinstance(binding, Binding) and binding.tooltip:
            keys = (names.get(key, key) for key in binding.key.split(","))
            result.append((binding.key_display or ", ".join(keys), binding.tooltip))
    return result
