"""What holds on every screen: modes, help, palette, leaving, small terminals, signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from textual.binding import Binding
from textual.widgets import Static
from tui_fakes import HOSTILE, make_run
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.base.problems import Problem
from workbench.tui.app import WorkbenchApp, run_app
from workbench.tui.board import parting_words
from workbench.tui.commands import MODES
from workbench.tui.dialogs.confirm import ConfirmDialog
from workbench.tui.dialogs.help import HelpDialog
from workbench.tui.dialogs.notice import NoticeDialog
from workbench.tui.messages import Failed
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.screens.compare import CompareScreen
from workbench.tui.screens.editor import EditorScreen
from workbench.tui.screens.monitor import MonitorScreen
from workbench.tui.screens.recipes import RecipesScreen
from workbench.tui.screens.runs import RunsScreen

MakeApp = Callable[..., WorkbenchApp]
SCREENS = (RecipesScreen, EditorScreen, RunsScreen, MonitorScreen, CompareScreen)


async def test_digits_switch_screens(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        for key, mode in (("2", "runs"), ("3", "monitor"), ("4", "compare"), ("1", "recipes")):
            await pilot.press(key)
            await until(pilot, lambda mode=mode: app.current_mode == mode)


async def test_help_lists_the_keys_of_each_screen(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        for mode in MODES:
            app.action_show(mode)
            await until(pilot, lambda mode=mode: app.current_mode == mode)
            title = app.screen.HELP_TITLE
            await pilot.press("f1")
            await until(pilot, lambda: isinstance(app.screen, HelpDialog))
            shown = "".join(str(part.visual) for part in app.screen.query(Static))
            assert "ctrl+p" in shown
            assert title in str(app.screen.query_one("#frame").border_title)
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, WorkbenchScreen))


@pytest.mark.parametrize("width", [60, 80])
async def test_no_key_of_the_footer_is_cut(make_app: MakeApp, paths: Paths, width: int) -> None:
    make_run(paths)
    app = make_app()
    async with app.run_test(size=(width, 24)) as pilot:
        for mode in MODES:
            app.action_show(mode)
            await until(pilot, lambda mode=mode: app.current_mode == mode and app.focused)
            least = 6 if width == 80 else 5
            await until(pilot, lambda least=least: len(app.screen.query("FooterKey")) >= least)
            keys = app.screen.query("FooterKey")
            assert max(key.region.right for key in keys) <= width
            assert len(keys) <= 8
            assert any("Help" in str(key.render()) for key in keys)


async def test_every_screen_stands_at_every_size(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        for mode in MODES:
            app.action_show(mode)
            await until(pilot, lambda mode=mode: app.current_mode == mode and app.focused)
            for width, height in ((60, 15), (59, 24), (80, 14), (20, 8), (1, 1), (200, 60)):
                await pilot.resize_terminal(width, height)
                tiny = width < 60 or height < 15
                notice = app.screen.query_one("#too-small", Static)
                await until(pilot, lambda tiny=tiny, notice=notice: notice.display == tiny)
                if tiny:
                    text = f"{width} x {height}"
                    await until(pilot, lambda text=text, n=notice: text in str(n.visual))


@pytest.mark.parametrize("screen", SCREENS)
def test_every_key_of_a_screen_has_an_id_and_a_meaning(screen: type[WorkbenchScreen]) -> None:
    for binding in screen.BINDINGS:
        assert isinstance(binding, Binding)
        assert binding.id
        assert binding.tooltip or binding.action.startswith("app.") or not binding.show


def test_ids_of_bindings_are_unique() -> None:
    ids = [binding.id for owner in (WorkbenchApp, *SCREENS) for binding in owner.BINDINGS]
    assert len(ids) == len(set(ids))


async def test_the_palette_offers_the_screens_actions(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.focused)
        titles = [command.title for command in app.get_system_commands(app.screen)]
        for wanted in ("Edit", "Run", "Save as new", "Go to Monitor", "Theme", "Help", "Quit"):
            assert wanted in titles
        await pilot.press("ctrl+p", *"go to runs", "enter")
        await until(pilot, lambda: app.current_mode == "runs")


@pytest.mark.parametrize("key", ["q", "ctrl+q"])
async def test_both_keys_quit(make_app: MakeApp, key: str) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.focused)
        await pilot.press(key)
        await until(pilot, lambda: app.return_code == 0)


async def test_ctrl_q_quits_from_a_dialog_too(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.focused)
        await pilot.press("f1", "ctrl+q")
        await until(pilot, lambda: app.return_code == 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_signals_end_the_app_cleanly(make_app: MakeApp, number: signal.Signals) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.focused)
        os.kill(os.getpid(), number)
        await until(pilot, lambda: app.return_code == 0 and app.return_value == 128 + number)


async def test_leaving_says_that_training_continues(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths, name=HOSTILE)
    make_run(paths, "20270115-070000-old-0001", state="finished", name="old")
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: len(app.rows) == 2)
    words = parting_words(app.rows)
    assert words.startswith("Training continues: bad [/INST]")
    assert "\x1b" not in words
    assert "old" not in words
    assert words.endswith("Reopen with: dpo-workbench")


async def test_bad_news_is_inert_text(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.focused)
        app.say(HOSTILE)
        app.post_message(Failed(HOSTILE, (Problem(HOSTILE, HOSTILE, HOSTILE),)))
        await until(pilot, lambda: isinstance(app.screen, NoticeDialog))
        shown = "".join(str(part.visual) for part in app.screen.query(Static))
        assert "[/INST]" in shown
        assert "\x1b" not in shown
        await pilot.press("y", "escape")
        await until(pilot, lambda: isinstance(app.screen, RecipesScreen))


async def test_a_fault_in_a_thread_is_shown_and_the_app_goes_on(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any) -> None:
        raise ValueError("no [/INST] way")

    monkeypatch.setattr("workbench.recipe.catalog.Catalog.entries", broken)
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, NoticeDialog))
        await pilot.press("enter", "2")
        await until(pilot, lambda: app.current_mode == "runs")


async def test_confirm_dialog_moves_by_arrows(make_app: MakeApp) -> None:
    from workbench.tui.render import plain

    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.focused)
        given: list[bool | None] = []
        app.push_screen(ConfirmDialog("Sure?", plain(HOSTILE), yes="Yes"), given.append)
        await until(pilot, lambda: app.focused is not None and app.focused.id == "no")
        await pilot.press("right")
        assert app.focused.id == "yes"
        await pilot.press("escape")
        await until(pilot, lambda: given == [None])


def test_without_a_terminal_the_app_says_so(
    paths: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert run_app(paths) == 2
    assert "needs a terminal" in capsys.readouterr().err
