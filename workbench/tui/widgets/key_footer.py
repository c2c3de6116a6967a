"""The line of keys at the bottom, with as many of them as the width takes."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

KEPT = ("app.help", "help", "leave")
PADDING = 3


class KeyFooter(Footer):
    """A footer that leaves whole keys out, the last ones first, rather than cut one in half.

    Help stays, for it lists what was left out.
    """

    def compose(self) -> ComposeResult:
        """The keys that fit."""
        yield from _fitting(list(super().compose()), self.app.size.width)

    async def on_resize(self, event: events.Resize) -> None:
        """Another width takes other keys."""
        self.call_after_refresh(self.recompose)


def _fitting(keys: Sequence[Widget], width: int) -> list[Widget]:
    chosen = list(keys)
    for key in reversed(keys):
        if sum(map(_width, chosen)) <= width:
            break
        if isinstance(key, FooterKey) and key.action not in KEPT:
            chosen.remove(key)
    return chosen


def _width(key: Widget) -> int:
    if not isinstance(key, FooterKey):
        return 0
    return Content(f"{key.key_display}{key.description}").cell_length + PADDING
