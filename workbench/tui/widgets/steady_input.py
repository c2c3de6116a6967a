"""An input whose cursor does not blink: blinking is a byte stream over every SSH line."""

from __future__ import annotations

from textual import events
from textual.reactive import reactive
from textual.widgets import Input

from workbench.base.text import clean


class SteadyInput(Input):
    """An input that sends nothing while nobody types, and takes all of a pasted text."""

    cursor_blink = reactive(False, init=False)

    def _on_paste(self, event: events.Paste) -> None:
        """Several lines become one; the library's own way would drop all but the first."""
        line = clean(event.text).strip("\n").replace("\n", " ")
        self.replace(line, *self.selection)
        event.prevent_default()
        event.stop()
