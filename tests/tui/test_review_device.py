"""The line of the review that tells who is on the device already."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from nvml_stub import GIGA, Device, Nvml
from textual.pilot import Pilot
from textual.widgets import Button, Static
from tui_fakes import HOSTILE, FakeLauncher, make_run
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.base.problems import Problem
from workbench.run import gpus
from workbench.run.directory import list_runs
from workbench.run.gpus import GpuWatch
from workbench.run.record import read_record
from workbench.tui.app import WorkbenchApp
from workbench.tui.dialogs.review import ReviewDialog

MakeApp = Callable[..., WorkbenchApp]
OWNER = "anna"


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    """Two GPUs that everybody sees, the first almost full of anna's job."""
    stub = Nvml(
        Device(used=79_500_000_000, compute=[(4242, 79 * GIGA)]), Device(uuid="GPU-bb11", used=0)
    )
    stub.install(monkeypatch)
    monkeypatch.setattr(gpus, "whose", lambda pid: (OWNER, ""))
    monkeypatch.setattr(gpus, "WATCH", GpuWatch())
    monkeypatch.setattr("workbench.recipe.memory.GPU_PROCESS_BYTES", 24 * GIGA)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    return stub


async def open_review(app: WorkbenchApp, pilot: Pilot[None], paths: Paths) -> str:
    """Open the review of a recipe; the text about its device, once there is one."""
    await until(pilot, lambda: app.focused)
    app.actions.review(paths.recipes / "small.yaml", "second")
    await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
    await until(pilot, lambda: not app.screen.query_one("#yes", Button).disabled)
    await until(pilot, lambda: app.screen.use is not None)
    return str(app.screen.query_one("#device", Static).visual)


async def test_a_full_device_is_told_with_its_owner(
    make_app: MakeApp, paths: Paths, nvml: Nvml, launcher: FakeLauncher
) -> None:
    (paths.recipes / "flat.yaml").unlink()
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        assert (await open_review(app, pilot, paths)).splitlines() == [
            "! cuda:0: 80 of 80 GB used by anna (pid 4242, 79 GB)",
        ]
        problems = " ".join(str(app.screen.query_one("#problems", Static).visual).split())
        assert "will not fit: " in problems
        assert "cuda:0 has 0.5 GB free" in problems
        device = app.screen.query_one("#device").region
        assert device.height == 1
        buttons = app.screen.query_one("#yes").region
        assert device.bottom < buttons.y < 23
        await pilot.press("enter")
        await until(pilot, lambda: launcher.calls)
        (run,) = list_runs(paths)
        assert read_record(run).device == "cuda:0"


async def test_the_next_free_device_is_the_one_that_is_told(
    make_app: MakeApp, paths: Paths, nvml: Nvml
) -> None:
    make_run(paths, device="cuda:0")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.rows)
        assert await open_review(app, pilot, paths) == ""
        assert not app.screen.query_one("#device").display
        assert "nvmlInit" in nvml.calls


async def test_hostile_owners_are_inert(
    make_app: MakeApp, paths: Paths, nvml: Nvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "whose", lambda pid: (HOSTILE, ""))
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        said = await open_review(app, pilot, paths)
        assert "[@click=app.quit]" in said
        assert "\x1b" not in said


async def test_a_gpu_without_data_is_a_quiet_line(
    make_app: MakeApp, paths: Paths, nvml: Nvml
) -> None:
    def fault(name: str) -> None:
        raise OSError("Driver/library version mismatch")

    nvml.fault = fault
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        said = await open_review(app, pilot, paths)
        assert said == "cuda:0: no GPU data (Driver/library version mismatch)"


async def test_a_machine_without_a_gpu_says_nothing(
    make_app: MakeApp, paths: Paths, nvml: Nvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        assert await open_review(app, pilot, paths) == ""
        assert not app.screen.query_one("#device").display
        assert nvml.calls == []


async def test_everything_fits_with_many_problems(
    make_app: MakeApp, paths: Paths, nvml: Nvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = [Problem(f"a setting is odd {n}", "", "Look.", "warning") for n in range(12)]
    monkeypatch.setattr("workbench.recipe.checks.check", lambda *_, **__: problems)
    nvml.devices[0].compute = [(pid, 20 * GIGA) for pid in range(1, 6)]
    nvml.devices = nvml.devices[:1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    make_run(paths)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.rows)
        await open_review(app, pilot, paths)
        await pilot.pause()
        for name in ("#summary", "#device", "#name", "#busy", "#queue"):
            region = app.screen.query_one(name).region
            assert 1 < region.y <= region.bottom < 23, name
        assert app.screen.query_one("#device").region.height == 2
