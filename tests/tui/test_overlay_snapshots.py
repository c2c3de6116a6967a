"""Pictures of the overlay at the two sizes that every screen is made for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from tui_fakes import NOW, make_run
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.run.directory import RunDirectory
from workbench.run.notes import change_notes
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.overlay import OverlayScreen
from workbench.tui.widgets.plot_panel import PlotPanel

MakeApp = Callable[..., WorkbenchApp]
Compare = Callable[..., bool]


def lower_margins(run: RunDirectory) -> None:
    """Make its curve another one than that of the other run."""
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    for row in rows:
        if "rewards/margins" in row:
            row["rewards/margins"] *= 0.6
    run.metrics.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_overlay(
    make_app: MakeApp, paths: Paths, snap_compare: Compare, size: tuple[int, int]
) -> None:
    for number, (name, state) in enumerate((("first-try", "finished"), ("beta-high", "stopped"))):
        run = make_run(paths, f"20270115-07000{number}-{name}", state=state, name=name,
                       step=160 - 60 * number, finished=NOW - 60)  # fmt: skip
        run.path.chmod(0o700)
        run.record.chmod(0o600)
        change_notes(run, add=["sweep"])
    run.recipe.write_text(run.recipe.read_text().replace("beta: 0.1", "beta: 0.5"))
    lower_margins(run)

    async def open_overlay(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: len(pilot.app.rows) == 2 and pilot.app.focused)
        await pilot.press("space", "space", "o")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverlayScreen))
        await until(pilot, lambda: pilot.app.focused and pilot.app.screen._found)
        await pilot.press("m", "m")
        panel = pilot.app.screen.query_one("#chart", PlotPanel)
        await until(pilot, lambda: "rewards/margins" in panel.text)

    assert snap_compare(make_app(screen="runs"), terminal_size=size, run_before=open_overlay)
