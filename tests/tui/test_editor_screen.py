"""The editor, by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static
from tui_fakes import RECIPE, FakeLauncher
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.tui.app import WorkbenchApp
from workbench.tui.dialogs.confirm import ConfirmDialog
from workbench.tui.dialogs.name import NameDialog
from workbench.tui.dialogs.review import ReviewDialog
from workbench.tui.screens.editor import EditorScreen
from workbench.tui.screens.recipes import RecipesScreen
from workbench.tui.widgets.setting_row import ChoiceField, SettingRow, SwitchField

MakeApp = Callable[..., WorkbenchApp]


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)


async def open_editor(app: WorkbenchApp, pilot: Pilot[Any], path: Path, origin: str) -> None:
    await until(pilot, lambda: isinstance(app.screen, RecipesScreen) and app.screen.entry)
    await app.push_screen(EditorScreen(path, origin))
    await until(pilot, lambda: "problems" in text_of(app, "#problems"), "the first check")


def row_of(app: WorkbenchApp, *path: str) -> SettingRow:
    return next(row for row in app.screen.query(SettingRow) if row.setting.path == path)


def focus(app: WorkbenchApp, *path: str) -> None:
    row_of(app, *path).children[1].focus()


async def test_an_edit_is_marked_checked_added_up_and_saved(
    make_app: MakeApp, paths: Paths
) -> None:
    file = paths.recipes / "small.yaml"
    app = make_app()
    async with app.run_test() as pilot:
        await open_editor(app, pilot, file, "user")
        assert "40 steps" in text_of(app, "#totals")
        focus(app, "dpo", "max_steps")
        await pilot.press("ctrl+u", *"80")
        assert "1 unsaved change" in text_of(app, "#name")
        assert "•" in str(row_of(app, "dpo", "max_steps").query_one("#label", Static).visual)
        await until(pilot, lambda: "80 steps" in text_of(app, "#totals"))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not app.screen.unsaved)
        assert file.read_text(encoding="utf-8") == RECIPE.replace("40", "80")


async def test_a_wrong_value_is_reported_with_its_place(make_app: MakeApp, paths: Paths) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await open_editor(app, pilot, paths.recipes / "small.yaml", "user")
        focus(app, "dpo", "beta")
        await pilot.press("ctrl+u", *"much")
        await until(pilot, lambda: "small.yaml:" in text_of(app, "#problems"))
        assert "beta" in text_of(app, "#problems")
        await until(
            pilot,
            lambda: "!" in str(row_of(app, "dpo", "beta").query_one("#label", Static).visual),
        )


async def test_help_of_the_focused_setting_is_trls_own(make_app: MakeApp, paths: Paths) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await open_editor(app, pilot, paths.recipes / "small.yaml", "user")
        focus(app, "lora_dropout")
        await until(pilot, lambda: text_of(app, "#help-text").startswith("lora_dropout"))
        assert "default 0.05" in text_of(app, "#help-text")


async def test_switches_and_choices_work_by_keyboard(make_app: MakeApp, paths: Paths) -> None:
    file = paths.recipes / "small.yaml"
    app = make_app()
    async with app.run_test() as pilot:
        await open_editor(app, pilot, file, "user")
        focus(app, "use_rslora")
        await until(pilot, lambda: isinstance(app.focused, SwitchField))
        await pilot.press("space")
        focus(app, "dtype")
        await until(pilot, lambda: isinstance(app.focused, ChoiceField))
        await pilot.press("enter", "up", "enter")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not app.screen.unsaved)
        text = file.read_text(encoding="utf-8")
        assert "use_rslora: true" in text
        assert "dtype: float16" in text


async def test_turning_a_switch_back_is_no_change(make_app: MakeApp, paths: Paths) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await open_editor(app, pilot, paths.recipes / "small.yaml", "user")
        focus(app, "use_rslora")
        await pilot.press("space", "space")
        await pilot.pause()
        assert not app.screen.unsaved


async def test_undo_brings_the_saved_value_back(make_app: MakeApp, paths: Paths) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await open_editor(app, pilot, paths.recipes / "small.yaml", "user")
        focus(app, "lora_r")
        await pilot.press("ctrl+u", *"64")
        await until(pilot, lambda: app.screen.unsaved)
        await pilot.press("ctrl+z")
        await until(pilot, lambda: not app.screen.unsaved)
        assert row_of(app, "lora_r").query_one(Input).value == "8"


async def test_an_emptied_value_takes_the_default_again(make_app: MakeApp, paths: Paths) -> None:
    file = paths.recipes / "small.yaml"
    app = make_app()
    async with app.run_test() as pilot:
        await open_editor(app, pilot, file, "user")
        focus(app, "lora_alpha")
        await pilot.press("ctrl+u", "ctrl+s")
        await until(pilot, lambda: not app.screen.unsaved)
        assert file.read_text(encoding="utf-8") == RECIPE.replace("lora_alpha: 16\n", "")


async def test_a_shipped_recipe_is_saved_as_a_copy(make_app: MakeApp, paths: Paths) -> None:
    from workbench.recipe.recipe import SHIPPED

    shipped = SHIPPED / "quickstart.yaml"
    before = shipped.read_text(encoding="utf-8")
    app = make_app()
    async with app.run_test() as pilot:
        await open_editor(app, pilot, shipped, "shipped")
        focus(app, "title")
        await pilot.press("ctrl+u", *"Mine", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, NameDialog))
        await pilot.press("enter")
        copy = paths.recipes / "my-quickstart.yaml"
        await until(pilot, copy.exists)
        await until(pilot, lambda: isinstance(app.screen, EditorScreen) and not app.screen.unsaved)
        assert "title: Mine" in copy.read_text(encoding="utf-8")
        assert shipped.read_text(encoding="utf-8") == before
        await until(pilot, lambda: "no problems" in text_of(app, "#problems"))


async def test_leaving_with_edits_asks_and_no_is_the_default(
    make_app: MakeApp, paths: Paths
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await open_editor(app, pilot, paths.recipes / "small.yaml", "user")
        await pilot.press("x", "escape")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert app.screen.unsaved
        await pilot.press("ctrl+q")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("n", "escape", "y")
        await until(pilot, lambda: isinstance(app.screen, RecipesScreen))


@pytest.mark.parametrize("theirs", [b"# theirs\n", "# caf\xe9\n".encode("latin-1")])
async def test_another_programs_change_is_not_overwritten_silently(
    make_app: MakeApp, paths: Paths, theirs: bytes
) -> None:
    """Row 10."""
    file = paths.recipes / "small.yaml"
    app = make_app()
    async with app.run_test() as pilot:
        await open_editor(app, pilot, file, "user")
        file.write_bytes(RECIPE.encode() + theirs)
        await pilot.press("x", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert file.read_bytes().endswith(theirs)
        assert app.screen.unsaved


async def test_a_file_with_windows_line_ends_is_no_conflict(
    make_app: MakeApp, paths: Paths
) -> None:
    """Row 10."""
    file = paths.recipes / "small.yaml"
    file.write_bytes(RECIPE.replace("\n", "\r\n").encode())
    app = make_app()
    async with app.run_test() as pilot:
        await open_editor(app, pilot, file, "user")
        await pilot.press("x", "ctrl+s")
        await until(pilot, lambda: not app.screen.unsaved)
        assert b"\r\n" in file.read_bytes()


async def test_f5_saves_and_launches(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await open_editor(app, pilot, paths.recipes / "small.yaml", "user")
        focus(app, "lora_r")
        await pilot.press("ctrl+u", *"4", "f5")
        await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
        await until(pilot, lambda: not app.screen.query_one("#yes").disabled)
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "monitor")
        run = paths.runs / launcher.calls[0][1]
        assert "lora_r: 4" in (run / "recipe.yaml").read_text(encoding="utf-8")


async def test_arrows_and_pages_move_through_the_form(make_app: MakeApp, paths: Paths) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await open_editor(app, pilot, paths.recipes / "small.yaml", "user")
        assert app.focused.parent is row_of(app, "title")
        await pilot.press("down")
        assert app.focused.parent is row_of(app, "description")
        await pilot.press("pagedown")
        assert app.focused.parent is row_of(app, "use_peft")
        await pilot.press("pageup")
        assert app.focused.parent is row_of(app, "title")


async def test_a_recipe_that_does_not_read_says_why(make_app: MakeApp, paths: Paths) -> None:
    broken = paths.recipes / "broken.yaml"
    broken.write_text("beta: [0.1\n", encoding="utf-8")
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, RecipesScreen) and app.screen.entry)
        await app.push_screen(EditorScreen(broken, "user"))
        await until(pilot, lambda: "not valid YAML" in text_of(app, "#problems"))
