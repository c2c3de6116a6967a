"""A prompt of the library while it is written, and the path of a file of prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Button, Input, Static, TextArea

from workbench.base.paths import is_safe_name
from workbench.tui.dialogs.base import FormDialog
from workbench.tui.dialogs.name import COMPLAINT
from workbench.tui.dialogs.text import CleanTextArea, restored, shown_text
from workbench.tui.render import plain
from workbench.tui.widgets.steady_input import SteadyInput


@dataclass(frozen=True)
class Written:
    """A prompt as it was written, and the set that it belongs into."""

    text: str
    category: str
    set_name: str


class PromptForm(FormDialog[Written]):
    """Writes a prompt.

    Args:
        title: What is done.
        prompt: What it is now.
    """

    DEFAULT_CSS = """
    PromptForm > #frame { width: 76; }
    PromptForm TextArea {
        height: 6; border: none; padding: 0 1; background: $boost; scrollbar-size-vertical: 1;
    }
    PromptForm TextArea:focus { border: none; }
    PromptForm .row { height: 1; margin-top: 1; }
    PromptForm .row > .name { width: 10; }
    PromptForm .row > Input { width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "finish", "Save", show=False, id="prompt-form.save", priority=True),
    ]

    def __init__(self, title: str, prompt: Written) -> None:
        super().__init__(title)
        self._prompt = prompt

    def compose_body(self) -> ComposeResult:
        """Text, category, set."""
        area = CleanTextArea(shown_text(self._prompt.text), tab_behavior="focus")
        area.cursor_blink = False
        yield area
        for name in ("category", "set"):
            value = self._prompt.category if name == "category" else self._prompt.set_name
            with Horizontal(classes="row"):
                yield Static(name, classes="name", markup=False)
                yield SteadyInput(plain(value, newlines=False).plain, id=name)
        yield Static("", id="complaint", classes="complaint", markup=False)
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="no", compact=True)
            yield Button("Save", id="yes", compact=True)

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(TextArea).focus()
        self.query_one("#frame").border_subtitle = "tab moves, ctrl+s saves, escape leaves"

    def action_finish(self) -> None:
        """Save from anywhere."""
        self.finish()

    def finish(self) -> None:
        """Answer, or say what is wrong with what was typed."""
        text = restored(self._prompt.text, self.query_one(TextArea).text)
        name = self.query_one("#set", Input).value.strip()
        complaint = "" if text.strip() else "A prompt has some text."
        if not is_safe_name(name):
            complaint = f"The set is a file. {COMPLAINT}"
        if complaint:
            self.query_one("#complaint", Static).update(complaint)
        else:
            category = self.query_one("#category", Input).value.strip()
            self.dismiss(Written(text, category, name))


class ImportDialog(FormDialog[Path]):
    """Asks for the path of a file of prompts.

    Args:
        folder: Where a relative path begins.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("Import prompts")
        self._folder = folder

    def compose_body(self) -> ComposeResult:
        """What may be read, and the path."""
        words = "Path of a file: JSON lines with prompt or messages, mt_bench, or a prompt a line."
        yield Static(words, markup=False, classes="hint")
        yield SteadyInput("", id="path")
        yield Static("", id="complaint", classes="complaint", markup=False)
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="no", compact=True)
            yield Button("Import", id="yes", compact=True)

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()

    def finish(self) -> None:
        """Answer, or say that there is no such file."""
        from workbench.base.paths import existing

        found = existing(self._folder, self.query_one(Input).value.strip() or ".")
        if found is not None and found.is_file():
            self.dismiss(found)
        else:
            self.query_one("#complaint", Static).update("There is no such file.")
