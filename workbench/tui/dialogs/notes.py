"""Tags and a note of a run, while they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, Static, TextArea

from workbench.base.problems import ProblemError
from workbench.tui.dialogs.base import FormDialog
from workbench.tui.dialogs.text import CleanTextArea, restored, shown_text
from workbench.tui.render import plain
from workbench.tui.widgets.steady_input import SteadyInput


@dataclass(frozen=True)
class NotesAnswer:
    """What somebody has changed.

    Attributes:
        text: The new note, None where the old one stays.
    """

    add: tuple[str, ...]
    remove: tuple[str, ...]
    text: str | None


class NotesDialog(FormDialog[NotesAnswer]):
    """Edits a run's tags and note.

    Args:
        about: Whose they are.
        tags, text: What they are now.
    """

    DEFAULT_CSS = """
    NotesDialog > #frame { width: 76; }
    NotesDialog TextArea {
        height: 6; margin-top: 1; border: none; padding: 0 1; background: $boost;
        scrollbar-size-vertical: 1;
    }
    NotesDialog TextArea:focus { border: none; }
    NotesDialog .row { height: 1; margin-top: 1; }
    NotesDialog .row > .name { width: 6; color: $muted; }
    NotesDialog .row > Input { width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "finish", "Save", show=False, id="notes.save", priority=True),
    ]

    def __init__(self, about: Content, tags: tuple[str, ...], text: str) -> None:
        super().__init__("Tags and note")
        self._about = about
        self._tags = tags
        self._text = text

    def compose_body(self) -> ComposeResult:
        """Whose, tags, note, buttons."""
        yield Static(self._about, markup=False)
        with Horizontal(classes="row"):
            yield Static("tags", classes="name", markup=False)
            yield SteadyInput(
                plain(" ".join(self._tags)).plain, id="tags", placeholder="baseline sweep-2"
            )
        area = CleanTextArea(shown_text(self._text), tab_behavior="focus")
        area.cursor_blink = False
        yield area
        yield Static("", id="complaint", classes="complaint", markup=False)
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="no", compact=True)
            yield Button("Save", id="yes", compact=True)

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one("#tags").focus()
        self.query_one("#frame").border_subtitle = "tab moves, ctrl+s saves, escape leaves"

    def action_finish(self) -> None:
        """Save from anywhere."""
        self.finish()

    def finish(self) -> None:
        """Answer with what has changed, or say which word is no tag."""
        from workbench.run.notes import check_tag

        words = self.query_one("#tags", Input).value.replace(",", " ").split()
        try:
            # One that is there already may be of a kind that nobody can type.
            tags = [word if word in self._tags else check_tag(word) for word in words]
        except ProblemError as error:
            self.query_one("#complaint", Static).update(plain(str(error)))
            self.query_one("#tags").focus()
            return
        text = restored(self._text, self.query_one(TextArea).text).strip()
        self.dismiss(
            NotesAnswer(
                tuple(tag for tag in tags if tag not in self._tags),
                tuple(tag for tag in self._tags if tag not in tags),
                None if text == self._text else text,
            )
        )
