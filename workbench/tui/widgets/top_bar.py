"""The line at the top of every screen: the four screens and what trains right now."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from workbench.tui.render import join

TABS = (("recipes", "Recipes"), ("runs", "Runs"), ("monitor", "Monitor"), ("compare", "Compare"))


class Tab(Static):
    """One screen's name; a click goes there."""

    def __init__(self, mode: str, number: int, title: str, *, active: bool) -> None:
        super().__init__(join((f"{number} ", ""), title), classes="-active" if active else "")
        self._mode = mode

    async def on_click(self) -> None:
        """Go to the screen."""
        await self.app.run_action(f"app.show('{self._mode}')")


class TopBar(Horizontal):
    """Application name, screens, live runs.

    Args:
        active: Mode of the screen that the bar belongs to.
    """

    DEFAULT_CSS = """
    TopBar { dock: top; height: 1; background: $panel; }
    TopBar > Static { width: auto; padding: 0 1; color: $muted; }
    TopBar > #brand { color: $primary; text-style: bold; }
    TopBar > Tab.-active { background: $primary; color: $background; text-style: bold; }
    TopBar > #live { width: 1fr; text-align: right; color: $muted; }
    TopBar > Static:hover { color: $foreground; }
    TopBar > Tab.-active:hover { color: $background; }
    """

    def __init__(self, active: str) -> None:
        super().__init__()
        self._active = active
        self._hint = Content("")

    def compose(self) -> ComposeResult:
        """Name, four tabs, hint."""
        yield Static("dpo-workbench", id="brand", markup=False)
        for number, (mode, title) in enumerate(TABS, start=1):
            yield Tab(mode, number, title, active=mode == self._active)
        yield Static("", id="live", markup=False)

    def show_live(self, hint: Content) -> None:
        """Show what trains, on the right; what stands there already costs no layout."""
        if not hint.is_same(self._hint):
            self._hint = hint
            self.query_one("#live", Static).update(hint)
