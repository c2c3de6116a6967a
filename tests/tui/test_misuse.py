"""Wrong keys, wrong values and torn files: each gets a sentence, none breaks a screen."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, Static
from tui_fakes import RECIPE, FakeLauncher, make_run, write_record
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.tui.app import WorkbenchApp
from workbench.tui.board import RunBoard
from workbench.tui.dialogs.confirm import ConfirmDialog
from workbench.tui.dialogs.name import NameDialog
from workbench.tui.dialogs.review import ReviewDialog
from workbench.tui.screens.editor import EditorScreen
from workbench.tui.screens.recipes import RecipesScreen
from workbench.tui.widgets.answer_pane import cost
from workbench.tui.widgets.row_table import Rows

MakeApp = Callable[..., WorkbenchApp]
LIVE = "20270115-080000-small-a1b2"
OLD = "20270115-070000-small-0001"


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)


def notices(app: WorkbenchApp) -> list[str]:
    return [notice.message for notice in app._notifications]


async def listed(app: WorkbenchApp, pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: isinstance(app.screen, RecipesScreen) and app.screen.entry)


async def edit(app: WorkbenchApp, pilot: Pilot[Any], paths: Paths, name: str = "small") -> None:
    await listed(app, pilot)
    await app.push_screen(EditorScreen(paths.recipes / f"{name}.yaml", "user"))
    await until(pilot, lambda: text_of(app, "#problems"), "the first check")


async def test_a_new_run_is_watched_though_the_list_does_not_know_it_yet(
    make_app: MakeApp, paths: Paths
) -> None:
    make_run(paths, OLD, state="finished")
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.watched == OLD)
        app._reading = True  # the list is being read, and will not hold the new run
        run = make_run(paths, LIVE, name="fresh")
        app.watch_run(run.id)
        await until(pilot, lambda: "fresh" in text_of(app, "#head"))
        assert app.watched == LIVE


async def test_asking_to_quit_again_and_again_asks_once(make_app: MakeApp, paths: Paths) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await edit(app, pilot, paths)
        await pilot.press("enter", "x", "ctrl+q", "ctrl+q", "ctrl+q")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))


@pytest.mark.parametrize(
    "damage",
    [
        {"stages": "sft"},
        {"created": "yesterday", "step": None},
        {"step": int("9" * 400)},
        {"error": "plain text"},
        {"notes": None},
    ],
)
def test_a_damaged_record_is_one_lost_run_among_the_others(
    paths: Paths, damage: dict[str, Any]
) -> None:
    """Row 58."""
    make_run(paths, OLD, state="finished")
    write_record(make_run(paths, LIVE, state="finished"), **damage)
    rows = {row.id: row for row in RunBoard(paths).read()}
    assert rows[OLD].state == "finished"
    assert rows[LIVE].state == "lost"
    assert next(iter(damage)) in str(rows[LIVE].error)


def test_a_number_too_large_for_a_float_is_no_loss(paths: Paths) -> None:
    run = make_run(paths, LIVE, state="finished", step=12)
    with run.metrics.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"stage": "dpo", "step": 13, "loss": int("9" * 400)}) + "\n")
    (row,) = RunBoard(paths).read()
    assert row.loss == pytest.approx(0.69, abs=0.1)


async def test_a_fault_that_comes_every_second_is_said_once(make_app: MakeApp) -> None:
    app = make_app(screen="runs")

    def fail() -> None:
        raise OverflowError("too large")

    async with app.run_test() as pilot:
        for _ in range(3):
            worker = app.run_worker(fail, thread=True, exit_on_error=False, group="runs")
            await until(pilot, lambda worker=worker: worker.is_finished)
        await until(pilot, lambda: notices(app))
        assert len(notices(app)) == 1
        assert "too large" in notices(app)[0]


async def test_a_dim_key_says_why(make_app: MakeApp, paths: Paths, launcher: FakeLauncher) -> None:
    make_run(paths, LIVE)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.focused, Rows))
        await pilot.press("d", "R")
        await until(pilot, lambda: len(notices(app)) == 2)
        assert "Stop it first" in notices(app)[0]
        assert "nothing to resume" in notices(app)[1]
        assert not launcher.calls


async def test_a_recipe_that_does_not_read_is_not_saved(make_app: MakeApp, paths: Paths) -> None:
    (paths.recipes / "bad.yaml").write_text("beta: [0.1\n", encoding="utf-8")
    app = make_app()
    async with app.run_test() as pilot:
        await edit(app, pilot, paths, "bad")
        await until(pilot, lambda: "text editor" in text_of(app, "#unreadable"))
        await pilot.press("f2", "ctrl+s", "f5")
        assert isinstance(app.screen, EditorScreen)
        assert not notices(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RecipesScreen))


async def test_saving_brings_a_deleted_file_back(make_app: MakeApp, paths: Paths) -> None:
    file = paths.recipes / "small.yaml"
    app = make_app()
    async with app.run_test() as pilot:
        await edit(app, pilot, paths)
        file.unlink()
        await pilot.press("ctrl+s")
        await until(pilot, lambda: notices(app))
        assert file.read_text(encoding="utf-8") == RECIPE


async def test_a_name_that_is_taken_is_refused_in_the_dialog(
    make_app: MakeApp, paths: Paths
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await edit(app, pilot, paths)
        await pilot.press("f2")
        await until(pilot, lambda: isinstance(app.screen, NameDialog))
        await pilot.press("ctrl+u", *"flat", "enter")
        await until(pilot, lambda: "flat already" in text_of(app, "#complaint"))
        assert isinstance(app.focused, Input)
        await pilot.press("2", "enter")
        await until(pilot, lambda: (paths.recipes / "flat2.yaml").exists())


async def test_a_pasted_text_keeps_all_its_lines_and_loses_its_escapes(
    make_app: MakeApp, paths: Paths
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await edit(app, pilot, paths)
        await pilot.press("enter")
        field = app.focused
        assert isinstance(field, Input)
        await pilot.press("ctrl+u")
        field.post_message(events.Paste("one\r\ntwo \x1b[31mred\x1b[0m\n"))
        await until(pilot, lambda: field.value)
        assert field.value == "one two red"


async def test_problems_longer_than_their_place_scroll_by_the_arrows(
    make_app: MakeApp, paths: Paths
) -> None:
    wrong = "".join(f"no_such_key_{number}: 1\n" for number in range(12))
    (paths.recipes / "a.yaml").write_text(RECIPE + wrong, encoding="utf-8")
    app = make_app()
    async with app.run_test() as pilot:
        await listed(app, pilot)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
        await until(pilot, lambda: "no_such_key_11" in text_of(app, "#problems"))
        subtitle = str(app.screen.query_one("#frame").border_subtitle)
        assert "escape" in subtitle
        await pilot.press("down", "down")
        box = app.screen.query_one("#problems").parent
        await until(pilot, lambda: box.scroll_y == 2)


async def test_recipes_of_one_title_are_told_apart(make_app: MakeApp, paths: Paths) -> None:
    (paths.recipes / "copy.yaml").write_text(RECIPE, encoding="utf-8")
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await listed(app, pilot)
        rows = app.screen.query_one(Rows)
        shown = "\n".join(str(option.prompt) for option in rows.options)
        assert "copy: Small" in shown
        assert "small: Small" in shown


def test_how_an_answer_ended_stands_before_what_a_narrow_frame_cuts() -> None:
    answer = {"tokens": 153, "seconds": 2.1, "finish": "cancelled"}
    assert str(cost(answer)).startswith("cancelled")


async def test_the_smallest_terminal_shows_the_whole_monitor(
    make_app: MakeApp, paths: Paths
) -> None:
    make_run(paths)
    app = make_app(screen="monitor")
    async with app.run_test(size=(60, 15)) as pilot:
        await until(pilot, lambda: "small" in text_of(app, "#head"))
        log = app.screen.query_one("#log")
        await until(pilot, lambda: log.region.height > 0 and log.region.bottom <= 14)


async def test_a_narrow_list_of_runs_has_one_line_a_run(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths)
    app = make_app(screen="runs")
    async with app.run_test(size=(60, 15)) as pilot:
        await until(pilot, lambda: isinstance(app.focused, Rows))
        rows = app.screen.query_one(Rows)
        await until(pilot, lambda: rows.virtual_size.height == 1)


async def test_the_palette_says_why_an_action_cannot_be_done(
    make_app: MakeApp, paths: Paths
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.focused, Rows))
        found = {command.title: command.callback for command in app.get_system_commands(app.screen)}
        found["Resume"]()
        await until(pilot, lambda: notices(app))
        assert "nothing to resume" in notices(app)[0]


async def test_the_buttons_of_a_long_dialog_are_seen_in_the_smallest_terminal(
    make_app: MakeApp, paths: Paths
) -> None:
    wrong = "".join(f"no_such_key_{number}: 1\n" for number in range(12))
    (paths.recipes / "a.yaml").write_text(RECIPE + wrong, encoding="utf-8")
    app = make_app()
    async with app.run_test(size=(60, 15)) as pilot:
        await listed(app, pilot)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
        await until(pilot, lambda: "no_such_key_11" in text_of(app, "#problems"))
        await pilot.press("tab", "shift+tab")
        button = app.screen.query_one("#no")
        await until(pilot, lambda: button.region.height and button.region.bottom < 14)


async def test_arrows_move_between_the_sampling_settings(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press("f2")
        await until(pilot, lambda: app.focused and app.focused.id == "temperature")
        await pilot.press("up")
        assert app.focused.id == "max_new_tokens"
        await pilot.press("down", "down")
        assert app.focused.id == "top_p"
        await pilot.press("down", "ctrl+u", *"1.5", "enter")
        await until(pilot, lambda: "whole number" in text_of(app, "#complaint"))


async def test_no_longer_answer_can_be_asked_for_than_the_process_gives(
    make_app: MakeApp, paths: Paths
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press("f2")
        await until(pilot, lambda: app.focused and app.focused.id == "temperature")
        await pilot.press("up", "ctrl+u", *"4097", "enter")
        await until(pilot, lambda: "1 to 4096" in text_of(app, "#complaint"))
