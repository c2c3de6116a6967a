"""Where a fork begins, which settings it changes, and its name."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Button, Input, OptionList, Static

from workbench.base.paths import safe_name
from workbench.tui.dialogs.base import FormDialog
from workbench.tui.render import plain
from workbench.tui.widgets.row_table import Rows
from workbench.tui.widgets.steady_input import SteadyInput


@dataclass(frozen=True)
class ForkAnswer:
    """A place as `fork --at` takes it, settings as `--set` takes them, and a name."""

    place: str
    settings: tuple[str, ...]
    name: str


class ForkDialog(FormDialog[ForkAnswer]):
    """Asks how a run's weights shall be trained further in a new run.

    Args:
        name: Name to begin with.
        places: Of each place its key and its words, the newest first.
    """

    DEFAULT_CSS = """
    ForkDialog Rows { height: auto; max-height: 6; border: none; background: $panel; padding: 0; }
    ForkDialog Rows:focus { border: none; background-tint: $foreground 0%; }
    ForkDialog .row { height: 1; margin-top: 1; }
    ForkDialog .row > Static { width: 8; color: $muted; }
    ForkDialog .row > Input { width: 1fr; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "settings", "Settings", show=False, id="fork.settings"),
    ]

    def __init__(self, name: str, places: Sequence[tuple[str, str]]) -> None:
        super().__init__("Fork this run")
        self._run_name = safe_name(name)
        self._places = places

    def compose_body(self) -> ComposeResult:
        """Places, settings, name, buttons."""
        hint = "A new run trains these weights further, with a fresh optimizer and schedule."
        yield Static(hint, classes="hint", markup=False)
        yield Rows(*(plain(words) for _, words in self._places), markup=False)
        with Horizontal(classes="row"):
            yield Static("change", markup=False)
            yield SteadyInput(placeholder="learning_rate=1e-5 dpo.beta=0.2", id="settings")
        with Horizontal(classes="row"):
            yield Static("name", markup=False)
            yield SteadyInput(self._run_name, id="name")
        yield Static("", id="complaint", classes="complaint", markup=False)
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="no", compact=True)
            yield Button("Fork", id="yes", compact=True)

    def on_mount(self) -> None:
        """Begin at the newest weights."""
        rows = self.query_one(Rows)
        rows.highlighted = 0
        rows.focus()
        self.query_one("#frame").border_subtitle = "tab moves on, enter forks, escape closes"

    @on(OptionList.OptionSelected)
    def action_settings(self) -> None:
        """The place is chosen: what shall change?"""
        self.query_one("#settings").focus()

    def finish(self) -> None:
        """Answer, or say what is wrong with what was typed."""
        typed = self.query_one("#settings", Input)
        try:
            settings = shlex.split(typed.value)
        except ValueError:
            settings = ["a quote is open"]
        wrong = next((text for text in settings if "=" not in text.strip("=")), "")
        if wrong:
            complaint = f"Write KEY=VALUE, with quotes around a value that has spaces: {wrong}"
            self.query_one("#complaint", Static).update(plain(complaint))
            typed.focus()
            return
        place = self._places[self.query_one(Rows).highlighted or 0][0]
        name = safe_name(self.query_one("#name", Input).value.strip() or self._run_name)
        self.dismiss(ForkAnswer(place, tuple(settings), name))
