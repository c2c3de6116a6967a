"""Several runs over one another, by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static
from tui_fakes import HOSTILE, NOW, make_run, write_metrics
from tui_waiting import until

from workbench.base.files import append_json
from workbench.base.paths import Paths
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.overlay import OverlayScreen
from workbench.tui.screens.runs import RunsScreen
from workbench.tui.widgets.plot_panel import PlotPanel

MakeApp = Callable[..., WorkbenchApp]
IDS = ("20270115-070000-small-0001", "20270115-070001-small-0002")


@pytest.fixture
def two(paths: Paths) -> None:
    first, _ = (
        make_run(paths, run_id, state="finished", name=name, step=80 * place, finished=NOW - 60)
        for place, (run_id, name) in enumerate(zip(IDS, ("first", "second"), strict=True), start=1)
    )
    first.recipe.write_text(first.recipe.read_text().replace("beta: 0.1", "beta: 0.4"))


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)


def panel(app: WorkbenchApp) -> PlotPanel:
    return app.screen.query_one("#chart", PlotPanel)


async def opened(app: WorkbenchApp, pilot: Pilot[Any], runs: tuple[str, ...] = IDS) -> None:
    await until(pilot, lambda: app.runs_known)
    app.push_screen(OverlayScreen(runs))
    await until(pilot, lambda: isinstance(app.screen, OverlayScreen) and app.focused)


def pages(app: WorkbenchApp) -> list[str]:
    names = ("chart", "table", "differences")
    return [name for name in names if app.screen.query_one(f"#{name}").display]


async def test_one_chart_with_a_letter_for_each_run(
    make_app: MakeApp, paths: Paths, two: None
) -> None:
    app = make_app(screen="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        assert panel(app).metric == "loss  dpo"
        assert "A first" in panel(app).text
        assert "B second" in panel(app).text
        assert "B is best by eval_rewards/accuracies" in text_of(app, "#verdict")
        await pilot.press("m")
        assert panel(app).metric == "eval_loss  dpo"
        await pilot.press("M", "M")
        assert panel(app).metric != "loss  dpo"
        await pilot.press("t")
        assert panel(app).metric.endswith("sft")


async def test_pages_of_a_narrow_screen_and_of_a_wide_one(
    make_app: MakeApp, paths: Paths, two: None
) -> None:
    app = make_app(screen="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        seen = [pages(app)]
        for _ in range(3):
            await pilot.press("tab")
            seen.append(pages(app))
        assert seen == [["chart"], ["table"], ["differences"], ["chart"]]
        await pilot.press("shift+tab")
        assert pages(app) == ["differences"]
        assert "beta" in text_of(app, "#different")
        await pilot.resize_terminal(120, 40)
        await pilot.press("tab")
        await until(pilot, lambda: pages(app) == ["chart", "table"])
        await pilot.press("tab")
        assert pages(app) == ["differences"]


async def test_the_table_marks_the_best(make_app: MakeApp, paths: Paths, two: None) -> None:
    app = make_app(screen="runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        lines = text_of(app, "#outcomes").split("\n")
        loss = next(line for line in lines if line.startswith("> loss"))
        first, second = loss.removeprefix("> loss").split()
        assert second.endswith("*")
        assert not first.endswith("*")
        assert any(line.strip().startswith("at step 80") for line in lines)
        assert "beta differs" in text_of(app, "#cautions")


async def test_axis_smoothing_zoom_and_log(make_app: MakeApp, paths: Paths, two: None) -> None:
    app = make_app(screen="runs")
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot)
        whole = panel(app).text
        await pilot.press("s")
        assert "EMA 0.6" in panel(app).text
        await pilot.press("L")
        assert " log" in panel(app).text
        await pilot.press("plus", "right", "right", "right")
        assert panel(app)._view.low is not None
        assert panel(app)._view.high == 160
        await pilot.press("left", "left", "left", "left")
        assert panel(app)._view.low == 1
        await pilot.press("escape")
        assert panel(app)._view.low is None
        await pilot.press("plus", "plus", "minus", "minus")
        assert panel(app)._view.low is None
        await pilot.press("L", "s", "s", "s", "s")
        assert panel(app).text == whole
        await pilot.press("X")
        assert "epoch" in panel(app).text


async def test_a_run_is_hidden_and_shown(make_app: MakeApp, paths: Paths, two: None) -> None:
    app = make_app(screen="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("space")
        assert "A first" not in panel(app).text
        await pilot.press("space", "down", "space")
        assert "B second" not in panel(app).text
        await pilot.press("up", "space")
        assert "no values" in panel(app).text


async def test_metrics_are_found_by_words(make_app: MakeApp, paths: Paths, two: None) -> None:
    app = make_app(screen="runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await pilot.press("slash")
        app.screen.query_one("#filter", Input).value = "margins eval"
        await until(pilot, lambda: panel(app).metric == "eval_rewards/margins  dpo")
        assert "logps" not in text_of(app, "#outcomes")
        await pilot.press("enter", "m")
        assert panel(app).metric == "eval_rewards/margins  dpo"
        await pilot.press("escape")
        assert "learning_rate" in text_of(app, "#outcomes")


async def test_enter_watches_the_run_under_the_cursor_and_escape_goes_back(
    make_app: MakeApp, paths: Paths, two: None
) -> None:
    app = make_app(screen="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await opened(app, pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.current_mode == "monitor" and app.watched == IDS[1])


async def test_what_a_live_run_logs_comes_by_itself(
    make_app: MakeApp, paths: Paths, two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.tui.screens.overlay.LOOK_SECONDS", 0.05)
    live = make_run(paths, step=40)
    app = make_app(screen="runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, (IDS[0], live.id))
        before = text_of(app, "#outcomes")
        write_metrics(live, 200, first=41)
        await until(pilot, lambda: text_of(app, "#outcomes") != before)


async def test_hostile_names_are_inert(make_app: MakeApp, paths: Paths, two: None) -> None:
    evil = make_run(paths, state="finished", name="bad")
    evil.recipe.write_text("[1")
    row = {"stage": "dpo", "step": 200, HOSTILE: 1.0, "[@click=app.quit]x[/]": 2.0}
    append_json(evil.metrics, row)
    app = make_app(screen="runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, (*IDS, evil.id))
        for _ in range(30):
            await pilot.press("m")
            assert "\x1b" not in panel(app).text
        assert "[@click=app.quit]x[/]" in text_of(app, "#outcomes")
        assert "\x1b" not in text_of(app, "#outcomes")
        assert "bad: " in text_of(app, "#cautions")
        await pilot.press("tab", "pagedown", "pageup")
        assert "bad: " in text_of(app, "#different")


async def test_a_run_that_is_gone_leaves_the_others(
    make_app: MakeApp, paths: Paths, two: None
) -> None:
    app = make_app(screen="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, (IDS[0], "20270115-000000-gone-0000"))
        assert "A first" in panel(app).text or "loss" in panel(app).text


async def test_nothing_is_painted_while_nothing_happens(
    make_app: MakeApp, paths: Paths, two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.tui.screens.overlay.LOOK_SECONDS", 0.02)
    app = make_app(screen="runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        looks: list[int] = []
        screen = app.screen
        assert isinstance(screen, OverlayScreen)
        reader = screen._reader
        assert reader is not None
        read = reader.read
        monkeypatch.setattr(reader, "read", lambda **options: looks.append(1) or read(**options))
        shown: list[int] = []
        monkeypatch.setattr(screen, "_show", lambda: shown.append(1))
        await until(pilot, lambda: len(looks) > 3)
        assert shown == []
