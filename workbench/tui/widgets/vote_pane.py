"""One of two answers, with nothing that tells whose it is."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from workbench.tui.render import plain


class VotePane(VerticalScroll):
    """Shows an answer. Both panes look the same: no colour, speed or length of their own.

    Args:
        where: `left` or `right`, which is also its title.
    """

    DEFAULT_CSS = """
    VotePane {
        width: 1fr; height: 1fr; border: round $line; border-title-style: bold;
        border-title-color: $foreground; scrollbar-size-vertical: 1;
    }
    VotePane.-chosen { border: round $primary; }
    VotePane > Static { height: auto; padding: 0 1; }
    """

    def __init__(self, where: str) -> None:
        super().__init__(id=where, can_focus=False)
        self._where = where
        self.border_title = plain(where)

    def compose(self) -> ComposeResult:
        """The text."""
        yield Static("", markup=False)

    def show(self, text: str) -> None:
        """Another answer, from its beginning."""
        nothing = plain("(nothing)", style="$faint")
        self._show(plain(text, newlines=True) if text.strip() else nothing)

    def wait(self, hint: str = "") -> None:
        """No answer yet."""
        self._show(plain(hint, style="$faint"))

    def _show(self, shown: Content) -> None:
        self.border_title = plain(self._where)
        self.remove_class("-chosen")
        self.query_one(Static).update(shown)
        self.scroll_home(animate=False)

    def reveal(self, side: str, *, chosen: bool) -> None:
        """Say whose answer it was."""
        self.border_title = plain(f"{self._where}: {side}")
        self.set_class(chosen, "-chosen")
