"""Choose several of a list: target modules, or losses with their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static

from workbench.tui.dialogs.base import Dialog
from workbench.tui.render import join, plain
from workbench.tui.typed import to_text
from workbench.tui.widgets.row_table import Rows

WEIGHT_STEP = 0.1
NAME_WIDTH = 30


class ChecklistDialog(Dialog[dict[str, float]]):
    """Answers with the chosen names and their weights, those chosen before in their old order.

    Args:
        title: What is chosen.
        items: Every name with a few words on it.
        chosen: Names and weights at the beginning.
        weighted: Whether weights are shown and can be changed.
        alone: A name that stands for all others, so that choosing it drops them.
    """

    DEFAULT_CSS = """
    ChecklistDialog > #frame { width: 76; padding: 0 2; }
    ChecklistDialog Rows {
        height: auto; max-height: 16; border: none; background: $panel; padding: 0;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    ChecklistDialog Rows:focus { border: none; background-tint: $foreground 0%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "turn", "Choose", show=False, id="checklist.turn"),
        Binding("left", "weigh(-1)", "Less", show=False, id="checklist.less"),
        Binding("right", "weigh(1)", "More", show=False, id="checklist.more"),
        Binding("enter", "finish", "Done", show=False, id="checklist.finish"),
        Binding("q", "dismiss", "Close", show=False, id="checklist.close"),
    ]

    def __init__(
        self,
        title: str,
        items: Sequence[tuple[str, str]],
        chosen: Mapping[str, float],
        *,
        weighted: bool = False,
        alone: str = "",
    ) -> None:
        super().__init__(title)
        known = {name for name, _ in items}
        self._items = [
            *items,
            *((name, "as the recipe says") for name in chosen if name not in known),
        ]
        self._chosen = dict(chosen)
        self._order = [*chosen, *(name for name, _ in items if name not in chosen)]
        self._name_width = min(NAME_WIDTH, 1 + max(len(name) for name, _ in self._items))
        self._weighted = weighted
        self._alone = alone

    def compose_body(self) -> ComposeResult:
        """The list, and what is wrong with an answer."""
        yield Rows(*(self._line(index) for index in range(len(self._items))), markup=False)
        yield Static("", id="complaint", classes="complaint", markup=False)

    def on_mount(self) -> None:
        """The cursor stands on the first chosen one."""
        rows = self.query_one(Rows)
        names = [name for name, _ in self._items]
        rows.highlighted = next((names.index(name) for name in self._chosen), 0)
        rows.focus()
        weights = ", ◂ ▸ weigh" if self._weighted else ""
        self.query_one(
            "#frame"
        ).border_subtitle = f"space chooses{weights}, enter takes, esc leaves"

    def _line(self, index: int) -> Content:
        name, note = self._items[index]
        on_now = name in self._chosen
        weight = to_text(round(self._chosen[name], 4)) if on_now and self._weighted else ""
        style = "bold" if on_now else ""
        return join(
            ("[x] " if on_now else "[ ] ", "$accent" if on_now else "$faint"),
            (f"{plain(name).truncate(self._name_width, ellipsis=True, pad=True).plain} ", style),
            (f"{weight:<5}" if self._weighted else "", "$accent"),
            plain(note, style="$muted"),
        )

    def action_turn(self) -> None:
        """Choose the name under the cursor, or no longer."""
        index = self.query_one(Rows).highlighted
        if index is None:
            return
        name = self._items[index][0]
        if name in self._chosen:
            del self._chosen[name]
        elif self._alone and name != self._alone:
            self._chosen.pop(self._alone, None)
            self._chosen[name] = 1.0
        else:
            if name == self._alone:
                self._chosen.clear()
            self._chosen[name] = 1.0
        self._draw()

    def action_weigh(self, by: int) -> None:
        """Give the name under the cursor more or less weight."""
        index = self.query_one(Rows).highlighted
        name = self._items[index][0] if index is not None else ""
        if self._weighted and name in self._chosen:
            weight = round(self._chosen[name] + by * WEIGHT_STEP, 6)
            self._chosen[name] = max(0.0, weight)
            self._draw()

    def _draw(self) -> None:
        rows = self.query_one(Rows)
        for index in range(len(self._items)):
            rows.replace_option_prompt_at_index(index, self._line(index))
        self.query_one("#complaint", Static).update("")

    @on(OptionList.OptionSelected)
    def _clicked(self) -> None:
        self.action_turn()

    def action_finish(self) -> None:
        """Answer with what is chosen."""
        if self._chosen:
            self.dismiss({name: self._chosen[name] for name in self._order if name in self._chosen})
        else:
            self.query_one("#complaint", Static).update(
                "Choose one at least, or leave with escape."
            )
