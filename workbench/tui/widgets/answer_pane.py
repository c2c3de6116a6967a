"""One side of a comparison: an answer that grows, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from workbench.tui.render import join, plain

FINISHES = {"eos": "", "length": "cut off", "cancelled": "cancelled"}


class AnswerPane(VerticalScroll):
    """Shows one answer.

    Args:
        side: `base` or `tuned`.
        title: What stands in the frame.
    """

    DEFAULT_CSS = """
    AnswerPane {
        width: 1fr; height: 1fr; border: round $line;
        scrollbar-size-vertical: 1; border-title-style: bold; border-subtitle-color: $muted;
    }
    AnswerPane.-base { border-title-color: $base-side; }
    AnswerPane.-tuned { border-title-color: $tuned-side; }
    AnswerPane.-base:focus { border: round $base-side; }
    AnswerPane.-tuned:focus { border: round $tuned-side; }
    AnswerPane > Static { height: auto; padding: 0 1; }
    """

    @dataclass
    class Scrolled(Message):
        """The person scrolled this pane."""

        pane: AnswerPane
        position: float

    def __init__(self, side: str, title: str) -> None:
        super().__init__(classes=f"-{side}", id=side)
        self.side = side
        self.border_title = plain(title)
        self.text = ""

    def compose(self) -> ComposeResult:
        """The text."""
        yield Static("", markup=False)

    def begin(self, hint: str = "") -> None:
        """Forget the last answer; say what is awaited."""
        self.text = ""
        self.border_subtitle = ""
        self.query_one(Static).update(plain(hint, style="$faint"))

    def add(self, delta: str) -> None:
        """Append what was just generated and keep its end in view."""
        self.text += delta
        # The whole text is cleaned anew: an escape sequence may come in two pieces.
        self._show_text()
        self.scroll_end(animate=False)

    def finish(self, answer: Mapping[str, Any]) -> None:
        """Show a whole answer with its length and speed."""
        self.text = str(answer.get("text") or "")
        self._show_text()
        self.border_subtitle = cost(answer)

    def _show_text(self) -> None:
        shown = plain(self.text, newlines=True) if self.text else plain("(nothing)", style="$faint")
        self.query_one(Static).update(shown)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Tell when the person, not the stream, moves the text."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value) and (self.has_focus or self.mouse_hover):
            self.post_message(self.Scrolled(self, new_value))


def cost(answer: Mapping[str, Any]) -> Content:
    """`34 tokens · 12.3 tok/s`; how it ended comes first, for a narrow frame cuts the end."""
    tokens, seconds = answer.get("tokens"), answer.get("seconds")
    if not isinstance(tokens, int):
        return Content("")
    parts = [f"{tokens} token{'' if tokens == 1 else 's'}"]
    if isinstance(seconds, int | float) and seconds > 0:
        speed = tokens / seconds
        parts.append(f"{speed:.0f} tok/s" if speed >= 100 else f"{speed:.1f} tok/s")
    note = FINISHES.get(str(answer.get("finish")), "")
    return join((f"{note} · " if note else "", "$warning"), " · ".join(parts))
