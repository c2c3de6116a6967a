"""All runs and what is done with them, by keyboard alone."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

import pytest
from textual.widgets import Static
from tui_fakes import HOSTILE, NOW, FakeLauncher, make_run, write_record
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.base.problems import Problem
from workbench.run import changes
from workbench.run.changes import Change
from workbench.run.directory import RunDirectory
from workbench.run.record import read_record
from workbench.tui.app import WorkbenchApp
from workbench.tui.dialogs.confirm import ConfirmDialog
from workbench.tui.dialogs.fork import ForkDialog
from workbench.tui.dialogs.notice import NoticeDialog
from workbench.tui.screens.runs import RunsScreen

MakeApp = Callable[..., WorkbenchApp]
LIVE = "20270115-080000-small-a1b2"
OLD = "20270115-070000-small-0001"


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)


def state_of(app: WorkbenchApp, run_id: str) -> str:
    row = app.row(run_id)
    return row.state if row else "gone"


async def test_no_runs_says_what_to_do(make_app: MakeApp) -> None:
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "Press 1" in text_of(app, "#none"))


async def test_runs_are_listed_newest_first_with_their_numbers(
    make_app: MakeApp, paths: Paths
) -> None:
    make_run(paths, OLD, state="finished", name="old", finished=NOW - 60)
    make_run(paths, LIVE)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: len(app.rows) == 2)
        assert [row.id for row in app.rows] == [LIVE, OLD]
        row = app.rows[0]
        assert (row.state, row.step, row.max_steps) == ("running", 120, 400)
        assert row.loss is not None
        assert row.accuracy is not None
        await until(pilot, lambda: LIVE in text_of(app, "#story"))


async def test_a_failed_run_shows_its_sentence_and_the_next_step(
    make_app: MakeApp, paths: Paths
) -> None:
    error = {"what": f"out of memory {HOSTILE}", "where": "x", "next_step": "Halve the batch."}
    make_run(paths, state="failed", error=error)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "Halve the batch." in text_of(app, "#story"))
        story = text_of(app, "#story")
        assert "Out of memory" in story
        assert "[/INST]" in story
        assert "\x1b" not in story


async def test_stop_asks_and_no_is_the_default(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    make_run(paths)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        assert launcher.calls == []
        await pilot.press("x", "y")
        await until(pilot, lambda: state_of(app, LIVE) == "stopping")
        assert launcher.calls == [("stop", LIVE)]


async def test_stopping_again_offers_to_kill(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    make_run(paths, state="stopping")
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("x", "y")
        await until(pilot, lambda: state_of(app, LIVE) == "stopped")
        assert launcher.calls == [("kill", LIVE)]


async def test_resume_goes_on_and_opens_the_monitor(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    make_run(paths, state="stopped")
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("R")
        await until(pilot, lambda: app.current_mode == "monitor")
        assert launcher.calls == [("resume", LIVE)]


async def test_a_resume_with_changed_settings_asks(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 36."""
    change = Change("dpo", "beta", "0.1", "[/INST]0.5")
    monkeypatch.setattr(changes, "changed_settings", lambda run: [change])
    make_run(paths, state="stopped")
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("R")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert "dpo.beta: 0.1 -> [/INST]0.5" in text_of(app, "#frame Static")
        assert launcher.calls == []
        await pilot.press("y")
        await until(pilot, lambda: app.current_mode == "monitor")
        assert launcher.calls == [("resume, changed", LIVE)]


async def test_a_fork_begins_with_the_chosen_weights(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    recipe = str(paths.recipes / "small.yaml")
    adapter = make_run(paths, state="finished", recipe_path=recipe).output("sft")
    adapter.mkdir()
    names = {"r": 8, "target_modules": ["q_proj", "v_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(names))
    (adapter / "adapter_model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, ForkDialog))
        await pilot.press("enter", *"oops", "enter")
        await until(pilot, lambda: "KEY=VALUE" in text_of(app, "#complaint"))
        await pilot.press(*["backspace"] * 4, *"dpo.beta=0.3", "enter")
        await until(pilot, lambda: app.current_mode == "monitor")
        (called,) = launcher.calls
        assert called[0] == "launch"
        forked = RunDirectory(paths.runs / called[1])
        record = read_record(forked)
        assert (record.parent, record.parent_stage, record.name) == (LIVE, "sft", "small-fork")
        assert record.stages == ["dpo"]
        assert "beta: 0.3" in forked.config("dpo").read_text()


async def test_delete_asks_and_the_run_is_gone(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("d", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        assert launcher.calls == []
        await pilot.press("d", "right", "enter")
        await until(pilot, lambda: not app.rows)
        assert launcher.calls == [("delete", LIVE)]
        await until(pilot, lambda: "Press 1" in text_of(app, "#none"))


async def test_what_cannot_be_done_is_dim_and_does_nothing(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    make_run(paths)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("R", "d")
        await pilot.pause()
        assert launcher.calls == []
        assert isinstance(app.screen, RunsScreen)
        enabled = {key: active.enabled for key, active in app.screen.active_bindings.items()}
        assert enabled["x"]
        assert not enabled["R"]
        assert not enabled["d"]


async def test_a_refusal_is_a_notice(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    make_run(paths, state="stopped")
    launcher.refusal = Problem(f"held {HOSTILE}", "", "Watch it.")
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("R")
        await until(pilot, lambda: isinstance(app.screen, NoticeDialog))


async def test_a_change_on_disk_shows_without_a_key(make_app: MakeApp, paths: Paths) -> None:
    run = make_run(paths)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: state_of(app, LIVE) == "running")
        write_record(run, state="finished", step=400)
        app.read_runs()
        await until(pilot, lambda: state_of(app, LIVE) == "finished")
        await until(pilot, lambda: "finished" in text_of(app, "#story"))


async def test_a_run_whose_process_is_gone_reads_as_lost(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths, pid=2**22 - 1, create_time=1.0)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: state_of(app, LIVE) == "lost")
        await until(pilot, lambda: "next" in text_of(app, "#story"))


async def test_enter_watches_and_c_compares(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "monitor" and app.watched == LIVE)
        await pilot.press("escape", "c")
        await until(pilot, lambda: app.current_mode == "compare" and app.compared == LIVE)
