"""The processes of a run, in the editor and at its start."""

from __future__ import annotations

from editor_helpers import MakeApp, editor, go_to, row_of, text_of, type_value
from textual.widgets import Button
from tui_fakes import FakeLauncher
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.run.directory import list_runs
from workbench.tui.dialogs.notice import NoticeDialog
from workbench.tui.dialogs.pick import PickDialog
from workbench.tui.dialogs.review import ReviewDialog
from workbench.tui.screens.editor import EditorScreen
from workbench.tui.widgets.setting_list import CellInput


async def test_processes_are_set_and_counted(make_app: MakeApp, paths: Paths) -> None:
    file = paths.recipes / "small.yaml"
    async with editor(make_app, file) as (app, pilot):
        await type_value(app, pilot, "2", "num_processes")
        await until(pilot, lambda: "(2x8)" in text_of(app, "#totals"))
        go_to(app, "accelerate_config")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PickDialog))
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert row_of(app, "accelerate_config").value == "multi_gpu"
        go_to(app, "accelerate_config")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PickDialog))
        await pilot.press("end", "enter")  # a file, which is typed
        await until(pilot, lambda: isinstance(app.focused, CellInput))
        await pilot.press("ctrl+u", *"own.yaml", "enter")
        await until(pilot, lambda: row_of(app, "accelerate_config").value == "own.yaml")
        await until(
            pilot, lambda: "there is no launch config own.yaml" in text_of(app, "#problems")
        )


async def test_what_this_machine_cannot_start_becomes_no_run(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    file = paths.recipes / "small.yaml"
    file.write_text(f"{file.read_text()}num_processes: 5000\n")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.focused)
        known = list_runs(paths)
        app.actions.review(file, "many")
        await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
        await until(pilot, lambda: not app.screen.query_one("#yes", Button).disabled)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, NoticeDialog))
        assert list_runs(paths) == known
        assert launcher.calls == []
