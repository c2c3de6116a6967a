"""What the monitor opens: health, machine, overlay; and what its lines say of them."""

from __future__ import annotations

import json
from collections.abc import Callable

from textual.widgets import Static
from tui_fakes import NOW, make_run
from tui_waiting import until

from workbench.base.files import append_json
from workbench.base.paths import Paths
from workbench.run.directory import RunDirectory
from workbench.tui.app import WorkbenchApp
from workbench.tui.dialogs.health import HealthDialog
from workbench.tui.screens.machine import MachineScreen
from workbench.tui.screens.overlay import OverlayScreen

MakeApp = Callable[..., WorkbenchApp]
OTHER = "20270114-080000-small-b2c3"


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)


def log_equal_answers(run: RunDirectory) -> None:
    """Thirty records of pairs whose answers are the same text."""
    run.metrics.write_text("")
    append_json(run.metrics, {"time": 1, "event": "stage", "stage": "dpo", "max_steps": 400})
    for step in range(1, 31):
        row = {"time": NOW - 40 + step, "stage": "dpo", "step": step, "loss": 0.693, "samples": 16}
        row |= {"rewards/margins": 0.0, "rewards/accuracies": 0.0, "grad_norm": 0.01}
        row |= {"logps/chosen": -50.0 - step % 7, "logps/rejected": -50.0 - step % 7}
        row |= {"seconds/forward": 0.6, "seconds/backward": 0.3, "seconds/other": 0.1}
        append_json(run.metrics, row | {"samples_per_second": 16.0})


async def test_h_tells_what_is_wrong_and_what_to_change(make_app: MakeApp, paths: Paths) -> None:
    log_equal_answers(make_run(paths))
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "1 alarm" in text_of(app, "#head"))
        head = text_of(app, "#head")
        assert "health  ✗ 1 alarm: chosen and rejected are the same text" in head
        assert "next  press h" in head
        await pilot.press("h")
        await until(pilot, lambda: isinstance(app.screen, HealthDialog))
        assert "change  dpo.columns" in text_of(app, "#story")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, HealthDialog))


async def test_where_the_time_goes_and_what_the_machine_gives(
    make_app: MakeApp, paths: Paths
) -> None:
    run = make_run(paths)
    log_equal_answers(run)
    line = {"time": NOW, "every": 10, "cpu": 97.0, "cores": 2, "ram_mb": 3000, "begin": True}
    run.machine.write_text(json.dumps(line | {"ram_total_mb": 24000, "worker_cpu": 180.0}) + "\n")
    app = make_app(screen="monitor")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "machine" in text_of(app, "#strip"))
        strip = text_of(app, "#strip")
        assert "time  forward 60 %, backward 30 %, other 10 %, 16.0 pairs/s" in strip
        assert "machine  CPU 97 % of 2 cores, RAM 3.0/24 GB" in strip
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "machine" not in text_of(app, "#strip"))


async def test_g_opens_the_machine_and_gives_the_monitor_back(
    make_app: MakeApp, paths: Paths
) -> None:
    make_run(paths)
    app = make_app(screen="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "step 120/400" in text_of(app, "#head"))
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, MachineScreen))
        await pilot.press("g")
        await until(pilot, lambda: not isinstance(app.screen, MachineScreen))


async def test_o_lays_the_run_over_another_one(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths)
    app = make_app(screen="monitor")
    said: list[str] = []
    app.say = said.append  # type: ignore[method-assign]
    async with app.run_test() as pilot:
        await until(pilot, lambda: "step 120/400" in text_of(app, "#head"))
        await pilot.press("o")
        await until(pilot, lambda: said)
        assert "no other run" in said[0]
        make_run(paths, OTHER, state="finished", finished=NOW - 9000)
        app.read_runs()
        await until(pilot, lambda: len(app.rows) == 2)
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, OverlayScreen))
        await until(pilot, lambda: "eval_loss" in text_of(app, "#outcomes"))
