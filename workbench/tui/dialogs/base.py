"""The frame of all dialogs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input
from textual.worker import Worker

if TYPE_CHECKING:
    from workbench.tui.app import WorkbenchApp

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """A framed question in the middle of the screen; escape leaves it without an answer.

    Args:
        title: Stands in the frame.
    """

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > #frame {
        width: 68; max-width: 95%; height: auto; max-height: 95%;
        background: $panel; border: round $primary; border-title-color: $primary;
        border-title-style: bold; border-subtitle-color: $muted; padding: 1 2;
        overflow-y: auto; scrollbar-size-vertical: 1;
    }
    Dialog .buttons { height: 1; margin-top: 1; align-horizontal: right; }
    Dialog .buttons > Button { margin-left: 2; min-width: 10; background: $boost; }
    Dialog .buttons > Button:focus {
        background: $primary; color: $background; text-style: bold;
    }
    Dialog .buttons > Button.-harm:focus { background: $error; color: $background; }
    Dialog Input { border: none; height: 1; padding: 0 1; background: $boost; }
    Dialog Input:focus { border: none; }
    Dialog Rows {
        height: auto; max-height: 16; border: none; background: $panel; padding: 0;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    Dialog Rows:focus { border: none; background-tint: $foreground 0%; }
    Dialog .hint { color: $muted; height: auto; }
    Dialog .complaint { color: $error; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape", "dismiss", "Close", id="dialog.close", tooltip="Close without doing anything"
        ),
        Binding("up", "scroll_text(-1)", "Up", show=False, id="dialog.up"),
        Binding("down", "scroll_text(1)", "Down", show=False, id="dialog.down"),
    ]

    def __init__(self, title: Content | str) -> None:
        super().__init__()
        self._title = title

    @property
    def bench(self) -> WorkbenchApp:
        """The app, by its own type."""
        return cast("WorkbenchApp", self.app)

    @on(Worker.StateChanged)
    def _worker_changed(self, event: Worker.StateChanged) -> None:
        self.bench.worker_changed(event)

    def action_scroll_text(self, by: int) -> None:
        """Move a text that is longer than its place; the focus stays on the buttons."""
        for text in (*self.query(VerticalScroll), self.query_one("#frame")):
            text.scroll_relative(y=by, animate=False)

    def compose(self) -> ComposeResult:
        """The frame with the dialog's own content."""
        with Vertical(id="frame") as frame:
            frame.border_title = self._title
            yield from self.compose_body()

    def compose_body(self) -> ComposeResult:
        """What stands inside the frame."""
        raise NotImplementedError


class FormDialog(Dialog[Answer]):
    """A dialog with inputs: enter in one of them, or the button `yes`, finishes it."""

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.finish()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "yes":
            self.finish()
        else:
            self.dismiss(None)

    def finish(self) -> None:
        """Answer, or say what is wrong with what was typed."""
        raise NotImplementedError
