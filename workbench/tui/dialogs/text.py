"""A text of several lines: the recipe as it stands in its file, or one long value of it."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static, TextArea

from workbench.base.problems import Problem
from workbench.base.text import clean
from workbench.tui.dialogs.base import Dialog
from workbench.tui.dialogs.confirm import ConfirmDialog
from workbench.tui.render import lines, plain, problem_line

Check = Callable[[str], tuple[Problem, ...]]


class CleanTextArea(TextArea):
    """A text area that takes no control characters from what is pasted."""

    async def _on_paste(self, event: events.Paste) -> None:
        result = self.replace(clean(event.text), *self.selection, maintain_selection_offset=False)
        self.move_cursor(result.end_location)
        event.prevent_default()
        event.stop()


class TextDialog(Dialog[str]):
    """Answers with the text, once nothing is wrong with it.

    Args:
        title: What is edited.
        text: What it is now.
        check: What forbids a text.
        line: Line under the cursor at the beginning, from 1.
        numbered: Whether lines have numbers.
    """

    DEFAULT_CSS = """
    TextDialog > #frame { width: 96%; max-width: 140; height: 92%; padding: 0; }
    TextDialog TextArea {
        height: 1fr; border: none; padding: 0 1; background: $panel; scrollbar-size-vertical: 1;
    }
    TextDialog TextArea:focus { border: none; }
    TextDialog #complaint { max-height: 6; padding: 0 1; display: none; }
    TextDialog.-faulty #complaint { display: block; border-top: solid $line; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,f2", "finish", "Take", show=False, id="text.finish", priority=True),
        Binding("escape", "leave", "Leave", show=False, id="text.leave", priority=True),
    ]

    def __init__(
        self,
        title: str,
        text: str,
        *,
        check: Check = lambda text: (),
        line: int = 1,
        numbered: bool = False,
    ) -> None:
        super().__init__(title)
        self._text = text
        self._check = check
        self._line = line
        self._numbered = numbered

    def compose_body(self) -> ComposeResult:
        """The text, and what is wrong with it."""
        area = CleanTextArea(
            shown_text(self._text),
            show_line_numbers=self._numbered,
            soft_wrap=not self._numbered,
            tab_behavior="indent",
        )
        area.cursor_blink = False
        yield area
        yield Static("", id="complaint", markup=False)

    def on_mount(self) -> None:
        """Type at once."""
        area = self.query_one(TextArea)
        area.move_cursor((max(0, self._line - 1), 0), center=True)
        area.focus()
        self.query_one("#frame").border_subtitle = "ctrl+s takes it over, escape leaves it"

    @property
    def text(self) -> str:
        """What is typed; lines that nobody touched are those of the text that was given."""
        return restored(self._text, self.query_one(TextArea).text)

    def action_finish(self) -> None:
        """Answer, or say what is wrong."""
        problems = self._check(self.text)
        if not problems:
            self.dismiss(self.text)
            return
        self.query_one("#complaint", Static).update(lines(*map(problem_line, problems)))
        self.add_class("-faulty")
        place = problems[0].where.split(":")
        if len(place) > 1 and place[1].isdigit():
            self.query_one(TextArea).move_cursor((int(place[1]) - 1, 0), center=True)

    def action_leave(self) -> None:
        """Close; asks when something was typed."""
        if self.text == self._text:
            self.dismiss(None)
            return
        dialog = ConfirmDialog(
            "Leave it?", plain("What you typed here would be lost."), yes="Leave"
        )
        self.app.push_screen(dialog, self._left)

    def _left(self, yes: bool | None) -> None:
        if yes:
            self.dismiss(None)


def shown_text(text: str) -> str:
    """A text as it may be shown, each line made inert by itself."""
    return "\n".join(clean(line.removesuffix("\r"), newlines=False) for line in text.split("\n"))


def restored(original: str, typed: str) -> str:
    """A text that was edited as `shown_text`, with all that was not edited as it stood.

    Line ends, tabs and characters that are not shown stay in the lines that are the same.
    """
    end = "\r" if "\r\n" in original else ""
    old, new = original.split("\n"), typed.split("\n")
    result = [line + end for line in new]
    matcher = difflib.SequenceMatcher(None, shown_text(original).split("\n"), new, autojunk=False)
    # The last line has no end, be it another one now.
    old[-1] += end
    for block in matcher.get_matching_blocks():
        result[block.b : block.b + block.size] = old[block.a : block.a + block.size]
    return "\n".join(result).removesuffix(end)
