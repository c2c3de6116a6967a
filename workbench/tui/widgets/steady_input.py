"""An input whose cursor does not blink: blinking is a byte stream over every SSH line."""

from __future__ import annotations

from textual.reactive import reactive
from textual.widgets import Input


class SteadyInput(Input):
    """An input that sends nothing while nobody types."""

    cursor_blink = reactive(False, init=False)
