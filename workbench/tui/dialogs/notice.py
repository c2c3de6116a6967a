"""Bad news that needs more than a line: what, where, what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from workbench.base.problems import Problem
from workbench.base.text import clean
from workbench.tui.dialogs.base import Dialog
from workbench.tui.render import lines, next_line, plain, sentence, where_line


class NoticeDialog(Dialog[None]):
    """Shows problems until the person has read them."""

    DEFAULT_CSS = """
    NoticeDialog > #frame { border: round $error; border-title-color: $error; }
    NoticeDialog VerticalScroll { height: auto; max-height: 14; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy", id="notice.copy", tooltip="Copy the text to the clipboard"),
    ]

    def __init__(self, title: str, problems: Sequence[Problem]) -> None:
        super().__init__(plain(title))
        self._problems = tuple(problems)

    def compose_body(self) -> ComposeResult:
        """Every problem, then the way out."""
        with VerticalScroll(can_focus=False):
            for problem in self._problems:
                yield Static(_paragraph(problem), markup=False)
        with Horizontal(classes="buttons"):
            yield Button("Close", id="close", compact=True)

    def on_mount(self) -> None:
        """Enter closes."""
        self.query_one("#close").focus()

    @on(Button.Pressed)
    def _pressed(self) -> None:
        self.dismiss(None)

    def action_copy(self) -> None:
        """Copy the problems as text."""
        self.bench.copy("\n".join(clean(str(problem)) for problem in self._problems))


def _paragraph(problem: Problem) -> Content:
    parts = [sentence(problem.what)]
    if problem.where:
        parts.append(where_line(problem.where))
    if problem.next_step:
        parts.append(next_line(problem.next_step))
    return lines(*parts)
