"""The queue in the app: launching into it, its order, and what is told at a run's end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Button, Static
from tui_fakes import HOSTILE, NOW, FakeLauncher, make_run, write_record
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.run.queue import Queue
from workbench.tui.app import WorkbenchApp
from workbench.tui.dialogs.review import ReviewDialog
from workbench.tui.notices import Notices
from workbench.tui.widgets.row_table import RowTable

MakeApp = Callable[..., WorkbenchApp]
LIVE = "20270115-080000-small-a1b2"
WAITING = [f"20270115-07000{n}-small-000{n}" for n in (1, 2, 3)]


@pytest.fixture(autouse=True)
def _one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def waiting(paths: Paths) -> list[str]:
    return [entry.run for entry in Queue.of(paths).read().entries]


def fill(paths: Paths) -> None:
    """One run at work and three that wait, made in the order of their turns."""
    make_run(paths, LIVE)
    for run_id in WAITING:
        run = make_run(paths, run_id, state="queued", name=run_id[-4:], step=0, started=0.0)
        Queue.of(paths).add(run, ["cpu"])


def shown(app: WorkbenchApp) -> list[str]:
    """The rows on the screen, as text."""
    rows = app.screen.query_one(RowTable).rows
    return [str(rows.get_option_at_index(index).prompt) for index in range(rows.option_count)]


async def test_a_busy_device_offers_the_queue_first(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    make_run(paths, name=HOSTILE)
    (paths.recipes / "flat.yaml").unlink()
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        app.actions.review(paths.recipes / "small.yaml", "second")
        await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
        await until(pilot, lambda: not app.screen.query_one("#yes", Button).disabled)
        assert app.focused is app.screen.query_one("#queue")
        assert "is training" in str(app.screen.query_one("#busy", Static).visual)
        for button in app.screen.query(Button):
            assert 0 < button.region.x < button.region.right <= 78
        await pilot.press("enter")
        await until(pilot, lambda: waiting(paths))
        await until(pilot, lambda: any(row.place == 1 for row in app.rows))
        assert launcher.calls == []


async def test_start_now_is_still_there(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    make_run(paths)
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        app.actions.review(paths.recipes / "small.yaml", "second")
        await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
        await until(pilot, lambda: not app.screen.query_one("#yes", Button).disabled)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: launcher.calls)
        assert waiting(paths) == []


async def test_a_free_device_offers_no_queue(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths, state="finished")
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        app.actions.review(paths.recipes / "small.yaml", "second")
        await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
        await until(pilot, lambda: not app.screen.query_one("#yes", Button).disabled)
        assert not app.screen.query_one("#queue").display
        assert not app.screen.query_one("#busy").display


async def test_the_order_shows_and_can_be_changed(make_app: MakeApp, paths: Paths) -> None:
    fill(paths)
    app = make_app(screen="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(app.rows) == 4 and app.focused)
        assert [line.split()[1:4] for line in shown(app)] == [
            ["running", "small", "dpo"],
            ["queued", "1", "0001"],
            ["queued", "2", "0002"],
            ["queued", "3", "0003"],
        ]
        await pilot.press("j", "J")
        await until(pilot, lambda: waiting(paths) == [WAITING[1], WAITING[0], WAITING[2]])
        await until(pilot, lambda: shown(app)[2].split()[2:4] == ["2", "0001"])
        assert app.screen.query_one(RowTable).key == WAITING[0]  # the cursor goes along
        await pilot.press("K")
        await until(pilot, lambda: waiting(paths) == WAITING)
        keys = {key: active.enabled for key, active in app.screen.active_bindings.items()}
        assert keys["K"]
        assert keys["Q"]


@pytest.mark.parametrize("key", ["Q", "x"])
async def test_a_run_is_taken_out_and_put_back(make_app: MakeApp, paths: Paths, key: str) -> None:
    fill(paths)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: len(app.rows) == 4 and app.focused)
        await pilot.press("j", key)
        await until(pilot, lambda: waiting(paths) == WAITING[1:])
        row = app.row(WAITING[0])
        assert row is not None
        assert row.state == "queued"
        await until(pilot, lambda: any(r.id == WAITING[0] and not r.place for r in app.rows))
        app.screen.query_one(RowTable).highlight(WAITING[0])
        await pilot.press("Q")
        await until(pilot, lambda: waiting(paths) == [*WAITING[1:], WAITING[0]])


async def test_a_damaged_queue_is_said_once(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths)
    Queue.of(paths).folder.mkdir(parents=True)
    Queue.of(paths).file.write_text("{")
    app = make_app(screen="runs")
    said: list[str] = []
    app.say = said.append  # type: ignore[method-assign]
    async with app.run_test() as pilot:
        await until(pilot, lambda: said)
        app.read_runs()
        await until(pilot, lambda: not app._reading)
        assert len(said) == 1
        assert "the queue's file cannot be read" in said[0]


class Heard:
    """What reaches the terminal beside the screen, and the toasts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bells = 0
        self.written = ""
        monkeypatch.setattr(WorkbenchApp, "bell", lambda app: self._ring())
        monkeypatch.setattr(Notices, "write", lambda notices, text: self._write(text))
        monkeypatch.delenv("TMUX", raising=False)

    def _ring(self) -> None:
        self.bells += 1

    def _write(self, text: str) -> None:
        self.written += text


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    return Heard(monkeypatch)


def toasts(app: WorkbenchApp) -> list[str]:
    return [notification.message for notification in app._notifications]


async def test_each_end_is_told_once(make_app: MakeApp, paths: Paths, heard: Heard) -> None:
    paths.config.mkdir(exist_ok=True)
    (paths.config / "config.yaml").write_text("notify: both\nterminal_title: true\n")
    make_run(paths, WAITING[0], state="finished", name="long-ago", finished=NOW - 60)
    run = make_run(paths, LIVE, name="quick", started=NOW - 220)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "dpo 120/400 quick" in heard.written)
        assert (heard.bells, toasts(app)) == (0, [])
        write_record(run, state="finished", finished=NOW)
        for _ in range(3):
            app.read_runs()
            await until(pilot, lambda: not app._reading)
        await until(pilot, lambda: heard.bells)
        sentence = "quick finished after 3:40: accuracy 0.96"
        assert toasts(app) == [sentence]
        assert heard.bells == 1
        assert heard.written.count(f"\x1b]9;{sentence}\a") == 1
        assert heard.written.count(f"\x1b]777;notify;dpo-workbench;{sentence}\a") == 1
        assert heard.written.endswith("\x1b]2;dpo-workbench\a")


async def test_without_preferences_the_bell_alone_rings(
    make_app: MakeApp, paths: Paths, heard: Heard, tmp_path: Path
) -> None:
    run = make_run(paths, name="quick")
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows)
        error = {"what": f"it broke {HOSTILE}", "where": "", "next_step": ""}
        write_record(run, state="failed", finished=NOW, error=error)
        app.read_runs()
        await until(pilot, lambda: heard.bells)
        assert (heard.bells, heard.written) == (1, "")
        (toast,) = toasts(app)
        assert "quick failed after" in toast
        assert "\x1b" not in toast


async def test_a_bad_preference_is_said(make_app: MakeApp, paths: Paths) -> None:
    paths.config.mkdir(exist_ok=True)
    (paths.config / "config.yaml").write_text("bell: true\nnotfy: osc9\n")
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: toasts(app))
        assert (
            "config.yaml:2:1: there is no preference notfy. Did you mean notify?" in toasts(app)[0]
        )
