"""All settings of a recipe under their headings, moved through with the arrow keys."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from workbench.tui.form import Setting
from workbench.tui.widgets.setting_row import SettingRow


class SettingForm(VerticalScroll, can_focus=False):
    """A scrolling form.

    Args:
        settings: Rows in order; neighbours of one section stand under one heading.
    """

    DEFAULT_CSS = """
    SettingForm { height: 1fr; }
    SettingForm > .section { height: 1; color: $primary; text-style: bold; padding: 0 2; }
    SettingForm > .-later { margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "app.focus_previous", "Up", show=False, id="form.up"),
        Binding("down", "app.focus_next", "Down", show=False, id="form.down"),
        Binding("pageup", "section(-1)", "Section up", show=False, id="form.section-up"),
        Binding("pagedown", "section(1)", "Section down", show=False, id="form.section-down"),
    ]

    def __init__(self, settings: Sequence[Setting]) -> None:
        super().__init__()
        self._settings = settings

    def compose(self) -> ComposeResult:
        """Headings and rows."""
        for number, (section, rows) in enumerate(groupby(self._settings, lambda s: s.section)):
            classes = "section -later" if number else "section"
            yield Static(section, name=section, classes=classes, markup=False)
            for setting in rows:
                yield SettingRow(setting)

    @property
    def rows(self) -> list[SettingRow]:
        """All rows, in order."""
        return list(self.query(SettingRow))

    @property
    def current(self) -> SettingRow | None:
        """The row that has the focus."""
        focused = self.screen.focused
        parent = focused.parent if focused is not None else None
        return parent if isinstance(parent, SettingRow) else None

    def action_section(self, by: int) -> None:
        """Go to the first row of the next or previous section."""
        rows = [row for row in self.rows if not row.setting.fixed]
        names = list(dict.fromkeys(row.setting.section for row in rows))
        here = self.current.setting.section if self.current else names[0]
        target = names[(names.index(here) + by) % len(names)] if here in names else names[0]
        first = next(row for row in rows if row.setting.section == target)
        first.children[1].focus(scroll_visible=False)
        heading = next(part for part in self.query(".section") if part.name == target)
        self.scroll_to_widget(heading, top=True, animate=False, origin_visible=False)
