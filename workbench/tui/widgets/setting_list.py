"""The settings of a recipe under their headings, and the input that lies over one of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input
from textual.widgets.option_list import Option

from workbench.base.text import clean
from workbench.recipe.yaml_file import Path as KeyPath
from workbench.tui.form import SHARED, Setting
from workbench.tui.render import join, plain
from workbench.tui.typed import to_text
from workbench.tui.widgets.row_table import Rows
from workbench.tui.widgets.steady_input import SteadyInput

LABEL_WIDTH = 27
VALUE_COLUMN = LABEL_WIDTH + 7
"""Cells in front of a value: mark, label, stage and what separates them."""
MENTIONED = "In the help of"
SWITCH = {True: "[x] yes", False: "[ ] no"}
Line = Setting | str
"""A row, or the heading of a section."""


class CellInput(SteadyInput):
    """Lies over a value while it is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Take", key_display="enter", id="cell.take"),
        Binding("escape", "finish(False, 0)", "Cancel", key_display="esc", id="cell.cancel"),
        Binding("up,shift+tab", "finish(True, -1)", "Up", show=False, id="cell.up"),
        Binding("down,tab", "finish(True, 1)", "Down", show=False, id="cell.down"),
    ]

    @dataclass
    class Finished(Message):
        """The typing is over.

        Attributes:
            taken: Whether the text shall count.
            move: Rows by which the cursor goes on.
        """

        taken: bool
        move: int

    def action_finish(self, taken: bool, move: int) -> None:
        """End the typing."""
        self.post_message(self.Finished(taken, move))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_finish(True, 0)

    def _on_blur(self, event: events.Blur) -> None:
        super()._on_blur(event)
        # A terminal window that loses the focus gives it back later.
        if self.display and self.app.app_focus:
            self.action_finish(True, 0)


class Lines(Rows):
    """The rows; the page keys go from section to section."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pagedown", "section(1)", "Section down", show=False, id="form.section-down"),
        Binding("pageup", "section(-1)", "Section up", show=False, id="form.section-up"),
    ]

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.lines: list[Line] = []
        self._prompts: list[Content] = []

    def show(self, lines: Sequence[Line], prompts: Sequence[Content], cursor: KeyPath) -> None:
        """Show other lines, only what differs is drawn anew; the cursor goes to a path's row."""
        keys = [_key(line) for line in self.lines]
        self.lines = list(lines)
        if keys == [_key(line) for line in lines]:
            for index, (old, new) in enumerate(zip(self._prompts, prompts, strict=True)):
                if old != new or old.spans != new.spans:
                    self.replace_option_prompt_at_index(index, new)
        else:
            self.clear_options()
            self.add_options(
                Option(prompt, disabled=isinstance(line, str))
                for line, prompt in zip(lines, prompts, strict=True)
            )
        self._prompts = list(prompts)
        places = self._places()
        if places:
            self.highlighted = next((at for at in places if _key(lines[at]) == cursor), min(places))

    @property
    def current(self) -> Setting | None:
        """The setting under the cursor."""
        index = self.highlighted
        line = self.lines[index] if index is not None and index < len(self.lines) else None
        return line if isinstance(line, Setting) else None

    def go_to(self, path: KeyPath) -> bool:
        """Put the cursor on a setting; whether it is shown."""
        for index in self._places():
            if _key(self.lines[index]) == path:
                self.highlighted = index
                return True
        return False

    def action_section(self, by: int) -> None:
        """Go to the first row of the next section, or of this one or the previous one."""
        heads = [index for index, line in enumerate(self.lines) if isinstance(line, str) and line]
        here = self.highlighted or 0
        later = [head for head in heads if head > here]
        earlier = [head for head in heads if head + 1 < here]
        chosen = later[:1] if by > 0 else earlier[-1:]
        if not chosen:
            chosen = heads[:1] if by > 0 else heads[-1:]
        if chosen:
            self.highlighted = chosen[0] + 1
            self.scroll_to(y=chosen[0], animate=False, force=True)

    def _places(self) -> list[int]:
        return [index for index, line in enumerate(self.lines) if isinstance(line, Setting)]


class SettingList(Vertical):
    """All settings, or those that a search leaves."""

    DEFAULT_CSS = """
    SettingList { height: 1fr; layers: base over; }
    SettingList > Lines {
        height: 1fr; border: none; padding: 0; background: $background;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    SettingList > Lines:focus { border: none; background-tint: $foreground 0%; }
    SettingList > Lines > .option-list--option { padding: 0 1; }
    SettingList > Lines > .option-list--option-disabled { color: $primary; text-style: bold; }
    SettingList > CellInput {
        layer: over; display: none; border: none; height: 1; padding: 0 1 0 0;
        background: $boost; width: 1fr;
    }
    SettingList > CellInput:focus { border: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[Setting, ...] = ()
        self._changed: frozenset[KeyPath] = frozenset()
        self._faulty: frozenset[KeyPath] = frozenset()
        self._words = ""
        self.edited: Setting | None = None

    def compose(self) -> ComposeResult:
        """The rows, and the input over them."""
        yield Lines()
        yield CellInput(select_on_focus=False)

    def on_mount(self) -> None:
        """The input stays over its row when that is scrolled."""
        self.watch(self.lines, "scroll_y", self._place_cell, init=False)

    @property
    def lines(self) -> Lines:
        """The rows."""
        return self.query_one(Lines)

    @property
    def cell(self) -> CellInput:
        """The input."""
        return self.query_one(CellInput)

    @property
    def current(self) -> Setting | None:
        """The setting under the cursor."""
        return self.lines.current

    @property
    def found(self) -> int:
        """How many settings are shown."""
        return sum(isinstance(line, Setting) for line in self.lines.lines)

    def show(self, rows: Sequence[Setting], changed: Collection[KeyPath]) -> None:
        """Show other values; the cursor stays on its setting."""
        self._rows, self._changed = tuple(rows), frozenset(changed)
        self._draw()

    def mark_faulty(self, paths: Collection[KeyPath]) -> None:
        """Say in the margin which settings have a problem."""
        if self._faulty != frozenset(paths):
            self._faulty = frozenset(paths)
            self._draw()

    def search(self, words: str) -> None:
        """Leave only the settings in which all words occur."""
        self._words = words
        self._draw()

    def _draw(self) -> None:
        lines: list[Line] = []
        heading = ""
        for row, section in self._found():
            if section != heading:
                lines += ["", section] if lines else [section]
                heading = section
            lines.append(row)
        current = self.current
        prompts = [plain(line) if isinstance(line, str) else self._prompt(line) for line in lines]
        self.lines.show(lines, prompts, current.path if current else ())

    def _found(self) -> list[tuple[Setting, str]]:
        """The rows with their headings; of a search those that are named so come first."""
        found = [(row, row.section) for row in self._rows if row.is_named(self._words)]
        if self._words:
            others = (row for row in self._rows if not row.is_named(self._words))
            found += [(row, MENTIONED) for row in others if row.matches(self._words)]
        return found

    def _prompt(self, row: Setting) -> Content:
        mark, style = " ", ""
        if row.path in self._changed:
            mark, style = "•", "$accent"
        if row.path in self._faulty:
            mark, style = "!", "$error"
        own_section = row.section == row.stage.upper()
        stage = "" if row.stage == SHARED or own_section else row.stage
        label = plain(row.label).truncate(LABEL_WIDTH, ellipsis=True, pad=True)
        return join(
            (f"{mark} ", style),
            (label.plain, "$muted"),
            (f" {stage:<3} ", "$secondary"),
            _value(row),
        )

    def edit(self) -> None:
        """Lay the input over the row under the cursor."""
        row = self.current
        if row is None:
            return
        self.edited = row
        cell = self.cell
        with cell.prevent(Input.Changed):
            cell.value = typed_now(row)
        cell.placeholder = clean(to_text(row.fallback), newlines=False)
        cell.cursor_position = len(cell.value)
        cell.display = True
        self._place_cell()
        # At once: what is typed behind the key belongs into the input.
        self.screen.set_focus(cell)

    def end_edit(self) -> None:
        """Take the input away."""
        self.edited = None
        self.cell.display = False
        self.screen.set_focus(self.lines)

    @property
    def half_typed(self) -> bool:
        """Whether a value is being typed that is not the old one."""
        return self.edited is not None and self.cell.value != typed_now(self.edited)

    def _place_cell(self) -> None:
        index = self.lines.highlighted
        if self.edited is not None and index is not None:
            line = index - round(self.lines.scroll_y)
            self.cell.styles.offset = (VALUE_COLUMN + 1, line)
            self.cell.styles.width = max(8, self.size.width - VALUE_COLUMN - 2)

    def on_resize(self) -> None:
        """The input goes along."""
        self._place_cell()


def typed_now(row: Setting) -> str:
    """A setting's own value as the input shows it."""
    return clean(row.shown, newlines=False)


def _key(line: Line) -> KeyPath:
    return line if isinstance(line, str) else line.path  # type: ignore[return-value]


def _value(row: Setting) -> Content:
    if row.kind == "add":
        return plain("")
    hint = ""
    if row.value is None:
        hint = "  all stages" if row.inherited else "  default"
    style = "" if row.value is not None else "$faint"
    if row.kind == "switch":
        text = "[-] not set" if row.effective is None else SWITCH[bool(row.effective)]
    elif isinstance(row.effective, list) and row.type_name == "lines":
        text = f"{len(row.effective)} lines"
    else:
        text = clean(to_text(row.effective), newlines=False)
        if not text:
            text, hint = ("none", "") if row.value is None else ("empty", "")
    arrows = "  ◂ ▸" if row.kind == "choice" else ""
    return join((text, style), (arrows + hint, "$faint"))
