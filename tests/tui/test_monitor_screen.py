"""Watching one run."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from rank_helpers import leave_ranks
from textual.geometry import Region
from textual.widgets import Log, Static
from tui_fakes import HOSTILE, NOW, FakeLauncher, make_run, write_metrics, write_record
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.monitor import MonitorScreen
from workbench.tui.watching import RunWatcher
from workbench.tui.widgets import plot_panel
from workbench.tui.widgets.plot_panel import PlotPanel

MakeApp = Callable[..., WorkbenchApp]
LIVE = "20270115-080000-small-a1b2"


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)


def plots(app: WorkbenchApp) -> list[str]:
    panels = app.screen.query(PlotPanel)
    return [panel.metric for panel in panels if panel.display]


async def test_head_progress_and_values(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths)
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "step 120/400" in text_of(app, "#head"))
        head = text_of(app, "#head")
        assert "small" in head
        assert "running" in head
        assert "dpo (stage 2 of 2)" in head
        assert "30 %" in head
        assert "ran 00:11:30" in head
        assert "left 00:04:40" in head
        assert "412 tokens/s" in head
        assert "2.1 GB RAM" in head
        assert "chosen +0.71" in text_of(app, "#strip")


async def test_several_processes_have_a_line(make_app: MakeApp, paths: Paths) -> None:
    run = make_run(paths, processes=2)
    leave_ranks(run, first=121, steps=25)
    app = make_app(screen="monitor")
    words = "2 ranks  1240 tok/s  comm 20 %  rank 1 slower by 40 %  efficiency at most 0.80"
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: words in text_of(app, "#strip"))
        await pilot.resize_terminal(80, 24)
        # The head has the speed already.
        short = words.replace("  1240 tok/s", "")
        await until(pilot, lambda: short in text_of(app, "#strip"))
        assert all(len(line) <= 76 for line in text_of(app, "#strip").splitlines())


async def test_as_many_plots_as_fit(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths)
    app = make_app(screen="monitor")
    pair = ["loss", "rewards/margins"]
    four = [*pair, "rewards/accuracies", "rewards/chosen, rejected"]
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: plots(app) == pair)
        for size, wanted in (((70, 24), pair[:1]), ((120, 40), four), ((120, 24), pair)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda wanted=wanted: plots(app) == wanted, str(size))
        await pilot.resize_terminal(200, 60)
        await until(pilot, lambda: len(plots(app)) == 8, "as many as there are")


async def test_m_turns_pages_z_enlarges_t_changes_the_stage(
    make_app: MakeApp, paths: Paths
) -> None:
    make_run(paths)
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: plots(app) == ["loss", "rewards/margins"])
        await pilot.press("m")
        assert plots(app) == ["rewards/accuracies", "rewards/chosen, rejected"]
        await pilot.press("m")
        assert plots(app) == ["learning_rate", "grad_norm"]
        await pilot.press("m")
        assert plots(app) == ["tokens_per_second", "memory/rss_gb"]
        await pilot.press("m", "z")
        assert plots(app) == ["loss"]
        await pilot.press("m", "z")
        assert plots(app) == ["loss", "rewards/margins"]
        await pilot.press("M")
        assert plots(app) == ["tokens_per_second", "memory/rss_gb"]
        await pilot.press("t")
        assert "showing all" in text_of(app, "#head")
        await pilot.press("t")
        assert plots(app) == ["loss", "mean_token_accuracy"]
        assert "showing sft" in text_of(app, "#head")


def panel(app: WorkbenchApp, number: int = 0) -> PlotPanel:
    return app.screen.query_one(f"#plot-{number}", PlotPanel)


async def test_arrows_choose_pan_and_move_the_cursor(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths)
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.focused is panel(app) and panel(app).text)
        await pilot.press("right")
        await until(pilot, lambda: app.focused is panel(app, 1))
        await pilot.press("plus", "plus", "left")
        await until(pilot, lambda: "steps 83 to 113" in text_of(app, "#looking"))
        await pilot.press("space")
        await until(pilot, lambda: "step 113" in panel(app).text)
        await pilot.press("left")
        await until(pilot, lambda: "step 112" in panel(app, 1).text)
        await pilot.press("end", "0")
        await until(pilot, lambda: "step 120" in panel(app).text)
        assert not app.screen.query_one("#looking").display
        await pilot.press("escape")
        await until(pilot, lambda: "step 120" not in panel(app).text)
        assert isinstance(app.screen, MonitorScreen)


async def test_smoothing_log_and_x_axis_are_for_all_charts(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths)
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: panel(app).text)
        await pilot.press("s", "L", "X")
        await until(pilot, lambda: "epoch" in panel(app).text)
        assert "log EMA 0.6" in panel(app).text
        await pilot.press("m", "m")
        await until(pilot, lambda: "log EMA 0.6" in panel(app, 1).text)
        assert "x: epoch" in text_of(app, "#looking")


async def test_the_filter_leaves_charts_and_escape_clears_it(
    make_app: MakeApp, paths: Paths
) -> None:
    make_run(paths)
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: panel(app).text)
        await pilot.press("slash", *"acc", "enter")
        await until(pilot, lambda: plots(app) == ["rewards/accuracies"])
        assert 'filter "acc"' in text_of(app, "#looking")
        await pilot.press("slash", "x", "x")
        await until(pilot, lambda: plots(app) == [])
        assert "no chart fits" in text_of(app, "#looking")
        await pilot.press("escape")
        await until(pilot, lambda: plots(app) == ["loss", "rewards/margins"])
        assert isinstance(app.screen, MonitorScreen)


async def test_accuracies_of_few_pairs_warn(make_app: MakeApp, paths: Paths) -> None:
    run = make_run(paths)
    with run.metrics.open("a", encoding="utf-8") as file:
        file.write('{"stage": "dpo", "step": 121, "loss": 0.3, "samples": 4}\n')
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: panel(app).text)
        await pilot.press("m")
        await until(pilot, lambda: "! 4 pairs a point" in panel(app).text)


async def test_hostile_metric_names_are_inert(make_app: MakeApp, paths: Paths) -> None:
    run = make_run(paths)
    row = {"stage": "dpo", "step": 121, HOSTILE: 1.0, "宽": 2.0}
    with run.metrics.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    app = make_app(screen="monitor")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: panel(app).text)
        await pilot.press("M")
        texts = [panel(app, n).text for n in range(4)]
        assert not any("\x1b" in text or "\x07" in text for text in texts)
        await pilot.press("slash", "宽", "enter")
        await until(pilot, lambda: "? 2.000" in panel(app).text)


async def test_an_ended_run_is_not_painted_again(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths, state="finished", step=400, finished=NOW - 10)
    times = iter(range(10_000))
    app = make_app(screen="monitor", clock=lambda: NOW + next(times))
    async with app.run_test() as pilot:
        await until(pilot, lambda: panel(app).text and app.runs_known)
        painted = [1]
        real = app.screen._compositor.render_partial_update
        app.screen._compositor.render_partial_update = lambda: painted.append(1) or real()

        async def look() -> None:
            painted.clear()
            app.screen._look()
            await until(pilot, lambda: not app.screen._looking)
            await app.workers.wait_for_complete()
            await pilot.pause()

        # What the first looks brought may still be on its way to the screen.
        for _ in range(10):
            if painted:
                await look()
        assert painted == []
        for _ in range(3):
            await look()
            assert painted == []


async def test_a_new_point_repaints_few_cells(
    make_app: MakeApp, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(paths)
    write_metrics(run, 122, first=121)  # between two edges of the x axis
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: panel(app, 1).text and app.focused is panel(app))
        await pilot.pause()
        areas: list[int] = []
        real = PlotPanel.refresh

        def refresh(self: PlotPanel, *regions: Region, **options: bool) -> PlotPanel:
            areas.append(sum(region.area for region in regions) or 9999)
            return real(self, *regions, **options)

        monkeypatch.setattr(PlotPanel, "refresh", refresh)
        write_metrics(run, 123, first=123)
        await until(pilot, lambda: areas)
        assert sum(areas) < panel(app).size.area


async def test_only_panels_that_changed_are_drawn(
    make_app: MakeApp, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(paths)
    app = make_app(screen="monitor")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: panel(app, 3).text and not app.screen._looking)
        drawn = []
        real = plot_panel.sketch
        monkeypatch.setattr(plot_panel, "sketch", lambda *a: drawn.append(1) or real(*a))
        await pilot.press("L", "L")
        before = len(drawn)
        with run.metrics.open("a", encoding="utf-8") as file:
            file.write('{"stage": "dpo", "step": 119, "eval_rewards/margins": 0.4}\n')
        await until(pilot, lambda: len(drawn) > before)
        await pilot.pause()
        assert len(drawn) == before + 1


async def test_new_points_and_lines_arrive(make_app: MakeApp, paths: Paths) -> None:
    run = make_run(paths)
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "120/400" in text_of(app, "#head"))
        write_metrics(run, 130, first=121)
        write_record(run, step=130)
        with run.log.open("a", encoding="utf-8") as file:
            file.write("a new line\n")
        await until(pilot, lambda: "130/400" in text_of(app, "#head"))
        await until(pilot, lambda: "a new line" in list(app.screen.query_one(Log).lines))


async def test_hostile_logs_and_names_are_inert(make_app: MakeApp, paths: Paths) -> None:
    log = f"{HOSTILE}\nprogress 1\rprogress 2\r\n"
    make_run(paths, name=HOSTILE, log=log, model_source=HOSTILE, notes=[HOSTILE])
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.screen.query_one(Log).line_count >= 2)
        lines = list(app.screen.query_one(Log).lines)
        assert "[/INST]" in lines[0]
        assert "\x1b" not in "".join(lines)
        assert "progress 2" in lines
        assert "progress 1" not in lines
        assert "\x1b" not in text_of(app, "#head")
        assert "[/INST]" in text_of(app, "#head")


async def test_a_failure_is_a_panel_with_the_next_step(make_app: MakeApp, paths: Paths) -> None:
    error = {"what": "The GPU ran out of memory", "where": "train.log", "next_step": "Halve it."}
    make_run(paths, state="failed", error=error, step=3)
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.screen.query_one("#failure").display)
        assert "The GPU ran out of memory" in text_of(app, "#failure")
        assert "next  Halve it." in text_of(app, "#failure")
        assert "healthy" not in text_of(app, "#head")


async def test_a_non_finite_value_is_named(make_app: MakeApp, paths: Paths) -> None:
    """Row 26."""
    run = make_run(paths)
    with run.metrics.open("a", encoding="utf-8") as file:
        file.write('{"stage": "dpo", "step": 121, "loss": null, "non_finite": ["loss"]}\n')
        file.write('{"stage": "dpo", "step": 122, "loss": Infinity, "grad_norm": NaN}\n')
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "loss was not a finite number" in text_of(app, "#strip"))


async def test_l_gives_the_log_the_screen_and_escape_takes_it_back(
    make_app: MakeApp, paths: Paths
) -> None:
    make_run(paths)
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: plots(app))
        small = app.screen.query_one(Log).size.height
        await pilot.press("l")
        await until(pilot, lambda: app.screen.query_one(Log).size.height > small + 8)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen.query_one(Log).size.height == small)
        assert isinstance(app.screen, MonitorScreen)


async def test_stop_from_the_monitor(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    make_run(paths)
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "running" in text_of(app, "#head"))
        await pilot.press("x", "y")
        await until(pilot, lambda: "stopping" in text_of(app, "#head"))
        assert launcher.calls == [("stop", LIVE)]


async def test_a_run_is_opened_by_its_id(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths)
    make_run(paths, "20270115-070000-small-0001", state="finished", name="old", finished=NOW)
    app = make_app(open_run="20270115-070000-small-0001")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.current_mode == "monitor")
        await until(pilot, lambda: "old" in text_of(app, "#head"))


async def test_a_live_run_is_watched_before_a_newer_ended_one(
    make_app: MakeApp, paths: Paths
) -> None:
    make_run(paths, "20270115-090000-later-0001", state="failed", name="later")
    make_run(paths)
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "small" in text_of(app, "#head"))


async def test_nothing_is_read_while_another_screen_is_shown(
    make_app: MakeApp, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    real = RunWatcher.look
    monkeypatch.setattr(RunWatcher, "look", lambda self: looks.append(1) or real(self))
    make_run(paths)
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: looks and plots(app))
        monitor = app.screen
        await pilot.press("1")
        await until(pilot, lambda: app.current_mode == "recipes")
        await app.workers.wait_for_complete()
        before = len(looks)
        monitor._look()
        await pilot.pause()
        assert len(looks) == before


def test_a_chart_is_drawn_again_only_when_its_data_changed(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(paths)
    watcher = RunWatcher(run, paths, lambda: NOW)
    first, second = watcher.look(), watcher.look()
    assert second.points is first.points
    assert second.log == ()
    assert len(first.points["dpo"]["loss"]) == 120
    assert len(first.points["sft"]["loss"]) == 30
    assert first.eta is not None
    assert first.eta.stage_seconds == pytest.approx(280.0)
