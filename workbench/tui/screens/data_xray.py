"""A pair as the trainer's tokens: which are scored, which are special, where they are cut."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from workbench.tui.data_pages import RowPlace
from workbench.tui.looking import Look
from workbench.tui.render import join, plain
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.screens.data import NO_TOKENIZER
from workbench.tui.screens.data_row import OneRowScreen, step_keys
from workbench.tui.xray_view import names_of, part_text, part_title, verdict_lines


class XrayScreen(OneRowScreen):
    """The tokens of one pair."""

    HELP_TITLE = "Tokens of a pair"
    HELP_TEXT = (
        "The tokens exactly as the trainer gets them, each parted from the next. The prompt is "
        "read and not scored, the answers are scored. The arrow is the first token that differs; "
        "what max_length cuts off stands behind a line. Special tokens are bold, without colour "
        "in { }; ↵ is a line end, … a token that is only part of a letter."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        *step_keys("xray"),
        Binding("i", "ids", "Ids", id="xray.ids", tooltip="Show the number of each token, or not"),
        Binding("escape,x", "leave", "Back", key_display="esc", id="xray.leave",
                tooltip="Back to the texts"),
        Binding("f1,question_mark", "app.help", "Help", key_display="?", id="xray.help"),
    ]  # fmt: skip

    def __init__(self, look: Look, place: RowPlace) -> None:
        super().__init__(look, place)
        self._ids = False

    def compose_body(self) -> ComposeResult:
        """Title, verdict, tokens."""
        yield Static("", id="head", markup=False)
        yield Static("", id="verdict", markup=False)
        yield from self.compose_answers()

    @property
    def key(self) -> tuple[Any, ...]:
        """What the process is asked for."""
        return ("xray", self._place.number, self._place.part)

    def _show(self) -> None:
        number, part = self._place.number, self._place.part
        xray = self.look.xray(number, part) if number and self._problem is None else None
        parts = xray.get("pairs", 1) if xray else self.parts
        pair = f"   pair {part + 1} of {parts}" if parts > 1 else ""
        title = join(
            (f"row {number or '?'}", "bold"), (f"   {self._where}{pair}   tokens", "$muted")
        )
        self.query_one("#head", Static).update(title)
        verdict = self.query_one("#verdict", Static)
        if xray is None:
            verdict.update(self._waiting())
            for name in ("prompt", "chosen", "rejected"):
                self.pane(name).border_title = name
                self.pane(name).show(plain(""))
            return
        signs = self.bench.ascii_only
        verdict.update(verdict_lines(xray, signs=signs))
        names = names_of(xray)
        for name in ("prompt", "chosen", "rejected"):
            pane = self.pane(name)
            pane.display = name in names
            if name in names:
                pane.border_title = part_title(xray, name)
                pane.show(part_text(xray, name, ids=self._ids, signs=signs))

    def action_ids(self) -> None:
        """Show the tokens' ids, or not."""
        self._ids = not self._ids
        self._show()


def open_xray(screen: WorkbenchScreen, look: Look, place: RowPlace) -> None:
    """Show the tokens of a row, where there is a tokenizer."""
    if look.subject.recipe is None:
        screen.bench.say(NO_TOKENIZER)
    else:
        screen.app.push_screen(XrayScreen(look, place))
