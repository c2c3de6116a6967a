"""The line in which a prompt is typed, with the past ones under the arrow keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from workbench.base.text import clean
from workbench.tui.widgets.steady_input import SteadyInput


class PromptInput(SteadyInput):
    """An input with a history; the newest entry is the last."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Ask", key_display="enter", id="prompt.ask"),
        Binding("up", "past(-1)", "Previous prompt", show=False, id="prompt.previous"),
        Binding("down", "past(1)", "Next prompt", show=False, id="prompt.next"),
    ]

    def __init__(self) -> None:
        super().__init__(
            placeholder="Ask something; up and down bring past prompts",
            id="prompt",
            select_on_focus=False,
        )
        self._history: list[str] = []
        self._position = 0
        self._draft = ""

    def set_history(self, prompts: Sequence[str]) -> None:
        """Offer these prompts."""
        self._history = [clean(prompt, newlines=False) for prompt in prompts]
        self._position = len(self._history)

    def action_past(self, by: int) -> None:
        """Step through the past prompts; behind the newest one waits what was being typed."""
        target = self._position + by
        if not 0 <= target <= len(self._history):
            return
        if self._position == len(self._history):
            self._draft = self.value
        self._position = target
        entries = [*self._history, self._draft]
        self.value = entries[target]
        self.cursor_position = len(self.value)
