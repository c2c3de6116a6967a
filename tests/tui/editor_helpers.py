"""The editor by keyboard: opening it, and what it shows."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Static
from tui_waiting import until

from workbench.tui.app import WorkbenchApp
from workbench.tui.form import Setting
from workbench.tui.screens.editor import EditorScreen
from workbench.tui.screens.recipes import RecipesScreen
from workbench.tui.widgets.setting_list import CellInput

MakeApp = Callable[..., WorkbenchApp]


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)


@contextlib.asynccontextmanager
async def editor(
    make_app: MakeApp, file: Path, origin: str = "user", sign: str = "problems"
) -> AsyncIterator[tuple[WorkbenchApp, Pilot[Any]]]:
    """The app with a recipe in its editor, checked."""
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, RecipesScreen) and app.screen.entry)
        await app.push_screen(EditorScreen(file, origin))
        await until(pilot, lambda: sign in text_of(app, "#problems"), "the first check")
        yield app, pilot


def go_to(app: WorkbenchApp, *path: str | int) -> None:
    assert app.screen.form.lines.go_to(path), path


def row_of(app: WorkbenchApp, *path: str | int) -> Setting:
    return next(row for row in app.screen.form.lines.lines if getattr(row, "path", "") == path)


def line_of(app: WorkbenchApp, *path: str | int) -> str:
    lines = app.screen.form.lines
    index = lines.lines.index(row_of(app, *path))
    return str(lines.get_option_at_index(index).prompt)


async def type_value(app: WorkbenchApp, pilot: Pilot[Any], text: str, *path: str | int) -> None:
    """Write a value over the old one."""
    go_to(app, *path)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.focused, CellInput))
    await pilot.press("ctrl+u", *text, "enter")
    await until(pilot, lambda: app.focused is app.screen.form.lines)
