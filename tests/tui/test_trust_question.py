"""A model's own code runs only after a question that names the model. Row 22."""

from __future__ import annotations

from collections.abc import Callable

from textual.widgets import Static
from tui_fakes import FLAT, FakeLauncher
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.run.directory import list_runs
from workbench.run.record import read_record
from workbench.tui.app import WorkbenchApp
from workbench.tui.dialogs.confirm import ConfirmDialog
from workbench.tui.dialogs.review import ReviewDialog
from workbench.tui.screens.recipes import RecipesScreen

MakeApp = Callable[..., WorkbenchApp]


async def test_the_launch_asks_with_the_models_name(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    """Row 22."""
    text = FLAT + "trust_remote_code: true\n"
    (paths.recipes / "a.yaml").write_text(text, encoding="utf-8")
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, RecipesScreen) and app.screen.entry)
        for answer in ("escape", "enter"):
            await pilot.press("r")
            await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
            problems = app.screen.query_one("#problems", Static)
            await until(pilot, lambda shown=problems: "Python code" in str(shown.visual))
            await until(pilot, lambda: app.focused and app.focused.id == "yes")
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
            words = " ".join(str(static.visual) for static in app.screen.query(Static))
            assert "example/small-model" in words
            assert not launcher.calls
            if answer == "enter":
                await pilot.press("tab")
            await pilot.press(answer)
        await until(pilot, lambda: launcher.calls)
    (run,) = list_runs(paths)
    assert read_record(run).trusted_model == "example/small-model"
