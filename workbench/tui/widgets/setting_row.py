"""One setting of the form: its label, and the control that fits its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from workbench.base.text import clean
from workbench.recipe.yaml_edit import REMOVE
from workbench.tui.dialogs.pick import PickDialog
from workbench.tui.form import SHARED, Setting, from_text, to_text
from workbench.tui.render import join, plain
from workbench.tui.widgets.steady_input import SteadyInput

LABEL_WIDTH = 25


class SwitchField(Static, can_focus=True):
    """Yes or no; enter or space turns it over."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "turn", "Switch", show=False, id="switch.turn"),
    ]

    @dataclass
    class Turned(Message):
        """The value was turned over."""

        value: bool

    def __init__(self, value: Any, default: Any) -> None:
        super().__init__(markup=False)
        self._default = bool(default)
        self.set_value(value)

    def set_value(self, value: Any) -> None:
        """Show a value; None shows TRL's default."""
        self._own = value
        self.on_now = self._default if value is None else bool(value)
        mark = ("[x] yes", "") if self.on_now else ("[ ] no", "")
        hint = ("  default", "$faint") if value is None else ""
        self.update(join(mark, hint))

    def action_turn(self) -> None:
        """Turn it over."""
        self.set_value(not self.on_now)
        self.post_message(self.Turned(self.on_now))

    def on_click(self) -> None:
        """As with the keyboard."""
        self.action_turn()


class ChoiceField(Static, can_focus=True):
    """One of several values; left and right step through them, enter shows all."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "pick", "Choose", show=False, id="choice.pick"),
        Binding("left", "step(-1)", "Previous", show=False, id="choice.previous"),
        Binding("right", "step(1)", "Next", show=False, id="choice.next"),
    ]

    @dataclass
    class Chosen(Message):
        """Another value was chosen."""

        value: str

    def __init__(self, value: Any, default: Any, choices: tuple[str, ...], title: str) -> None:
        super().__init__(markup=False)
        self._default = default
        self._choices = choices
        self._title = title
        self.set_value(value)

    def set_value(self, value: Any) -> None:
        """Show a value; None shows TRL's default."""
        self.now = self._default if value is None else value
        hint = "  default" if value is None else ""
        self.update(join(plain(to_text(self.now) or "none"), ("  ◂ ▸" + hint, "$faint")))

    @property
    def _index(self) -> int:
        return self._choices.index(self.now) if self.now in self._choices else 0

    def action_step(self, by: int) -> None:
        """Take the next or previous value."""
        self._choose((self._index + by) % len(self._choices))

    def action_pick(self) -> None:
        """Choose from the whole list."""
        options = [plain(choice) for choice in self._choices]
        dialog = PickDialog(plain(self._title), options, self._index)
        self.app.push_screen(dialog, lambda i: None if i is None else self._choose(i))

    def _choose(self, index: int) -> None:
        self.set_value(self._choices[index])
        self.post_message(self.Chosen(self.now))

    def on_click(self) -> None:
        """As with the keyboard."""
        self.action_pick()


class SettingRow(Horizontal):
    """Label and control of one setting.

    Args:
        setting: What it is and what the recipe says.
    """

    DEFAULT_CSS = """
    SettingRow { height: 1; padding: 0 1 0 0; }
    SettingRow > #label { width: 33; color: $muted; }
    SettingRow > Input, SettingRow > SwitchField, SettingRow > ChoiceField, SettingRow > #fixed {
        width: 1fr; height: 1; border: none; padding: 0 1; background: $background;
    }
    SettingRow > #fixed { color: $faint; }
    SettingRow > Input:focus, SettingRow > SwitchField:focus, SettingRow > ChoiceField:focus {
        border: none; background: $block-cursor-background;
        color: $block-cursor-foreground; background-tint: $foreground 0%;
    }
    SettingRow:focus-within > #label { color: $foreground; text-style: bold; }
    """

    @dataclass
    class Changed(Message):
        """The person gave the setting another value; `REMOVE` brings TRL's default back."""

        row: SettingRow
        value: Any

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.setting = setting
        self._changed = False
        self._faulty = False

    def compose(self) -> ComposeResult:
        """Label, then the control."""
        yield Static(self._label(), id="label", markup=False)
        yield self._control()

    def _control(self) -> Widget:
        setting = self.setting
        if setting.fixed:
            return Static(plain(f"{setting.shown}  ({setting.fixed})"), id="fixed", markup=False)
        if setting.kind == "switch":
            return SwitchField(setting.value, setting.default)
        if setting.kind == "choice":
            return ChoiceField(setting.value, setting.default, setting.choices, setting.key)
        default = to_text(setting.default)
        return SteadyInput(
            clean(setting.shown, newlines=False),
            placeholder=f"{default}  default" if default else "none",
            select_on_focus=False,
        )

    def _label(self) -> Content:
        sign, style = ("!", "$error") if self._faulty else ("•", "$accent")
        mark = sign if self._faulty or self._changed else " "
        stage = "" if self.setting.stage == SHARED else self.setting.stage
        return join(
            (f"{mark} ", style),
            plain(self.setting.label).truncate(LABEL_WIDTH, ellipsis=True, pad=True),
            (f" {stage}", "$secondary"),
        )

    def mark(self, *, changed: bool | None = None, faulty: bool | None = None) -> None:
        """Say in the margin that the value was changed, or that something is wrong with it."""
        before = (self._changed, self._faulty)
        self._changed = self._changed if changed is None else changed
        self._faulty = self._faulty if faulty is None else faulty
        if before != (self._changed, self._faulty):
            self.query_one("#label", Static).update(self._label())

    def undo(self) -> None:
        """Show the recipe's own value again."""
        control = self.children[1]
        if isinstance(control, Input):
            control.value = clean(self.setting.shown, newlines=False)
            control.cursor_position = len(control.value)
        elif isinstance(control, SwitchField | ChoiceField):
            control.set_value(self.setting.value)
            self.post_message(self.Changed(self, self.setting.value))

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        same = event.value == clean(self.setting.shown, newlines=False)
        value = self.setting.value if same else from_text(self.setting, event.value)
        if value is REMOVE and self.setting.value is None:
            value = None
        self.post_message(self.Changed(self, value))

    @on(SwitchField.Turned)
    @on(ChoiceField.Chosen)
    def _chosen(self, event: SwitchField.Turned | ChoiceField.Chosen) -> None:
        event.stop()
        self.post_message(self.Changed(self, event.value))
