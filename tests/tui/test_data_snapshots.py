"""Pictures of the data screens, at the two sizes that every screen is made for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static
from tui_waiting import until

from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.data import DataScreen
from workbench.tui.screens.data_row import DataRowScreen
from workbench.tui.screens.data_rows import DataRowsScreen
from workbench.tui.screens.data_xray import XrayScreen

MakeApp = Callable[..., WorkbenchApp]
Compare = Callable[..., bool]
NARROW, WIDE = (80, 24), (120, 40)


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Paths and lists that are the same on every machine."""
    empty = tmp_path / "shipped"
    empty.mkdir()
    monkeypatch.setattr("workbench.recipe.catalog.SHIPPED", empty)
    monkeypatch.setenv("HOME", str(tmp_path))


def seen(pilot: Pilot[Any], selector: str, words: str) -> bool:
    return words in str(pilot.app.screen.query_one(selector, Static).visual)


async def overview(pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: pilot.app.screen.entry is not None)
    await pilot.press("j", "d")
    await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))
    await until(pilot, lambda: seen(pilot, "#lengths", "padding"))


async def rows(pilot: Pilot[Any]) -> None:
    await overview(pilot)
    await pilot.press("r")
    await until(pilot, lambda: isinstance(pilot.app.screen, DataRowsScreen))
    await until(pilot, lambda: seen(pilot, "#head", "334 rows"))
    await pilot.press("down", "down")


async def row(pilot: Pilot[Any]) -> None:
    await rows(pilot)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, DataRowScreen))
    await until(pilot, lambda: pilot.app.screen.query_one("#chosen").border_subtitle)


async def xray(pilot: Pilot[Any]) -> None:
    await row(pilot)
    await pilot.press("x")
    await until(pilot, lambda: isinstance(pilot.app.screen, XrayScreen))
    await until(pilot, lambda: seen(pilot, "#verdict", "loses 9"))


@pytest.mark.parametrize("size", [NARROW, WIDE])
def test_overview(make_app: MakeApp, snap_compare: Compare, size: tuple[int, int]) -> None:
    app = make_app(data={"rows": 334})
    assert snap_compare(app, terminal_size=size, run_before=overview)


@pytest.mark.parametrize("view", [rows, row, xray])
def test_rows_and_one_of_them(make_app: MakeApp, snap_compare: Compare, view: Any) -> None:
    app = make_app(data={"rows": 334})
    assert snap_compare(app, terminal_size=NARROW, run_before=view)
