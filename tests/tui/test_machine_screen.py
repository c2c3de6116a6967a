"""The machine on a screen: looks that the test supplies, at both sizes, with and without GPUs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.widgets import Static
from tui_fakes import HOSTILE, make_run
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.run.gpus import Gpu, GpuProcess, GpuView
from workbench.run.machine.energy import Energy
from workbench.run.machine.host import Capacity, Host, WorkerUse
from workbench.run.machine.view import CURVE_BINS, MachineView
from workbench.run.rank_states import RankState
from workbench.tui.app import WorkbenchApp
from workbench.tui.machine import (
    ASCII,
    BLOCKS,
    bar,
    machine_blocks,
    machine_line,
    show_machine,
    sparkline,
)
from workbench.tui.screens.machine import MachineScreen

MakeApp = Callable[..., WorkbenchApp]
GIGA = 10**9
RUN = "20270115-080000-small-a1b2"
NARROW, WIDE = (80, 24), (120, 40)
HOST = Host(
    "box",
    16.0,
    42.4,
    (3.5, 2.25, 1.0),
    Capacity(128 * GIGA, 97 * GIGA),
    None,
    Capacity(2000 * GIGA, 512 * GIGA),
    "/home/me/runs",
)


def gpu(index: int = 0, **changes: Any) -> Gpu:
    facts: dict[str, Any] = {
        "name": "NVIDIA H100 80GB HBM3",
        "total_bytes": 80 * GIGA,
        "used_bytes": 18 * GIGA,
        "load_percent": 61,
        "processes": (GpuProcess(4711, "me", 12 * GIGA, RUN), GpuProcess(42, "anna", 6 * GIGA)),
        "celsius": 64.0,
        "watts": 310.4,
        "limit_watts": 700.0,
    }
    return Gpu(index, **{**facts, **changes})


def view(*gpus: Gpu, **changes: Any) -> MachineView:
    facts: dict[str, Any] = {
        "time": 1.8e9,
        "host": HOST,
        "gpus": GpuView(gpus, reason="" if gpus else "nvidia-ml-py is not installed"),
        "worker": WorkerUse(4711, 193.4, 2_100_000_000, 3),
        "run": RUN,
        "devices": tuple(one.key for one in gpus[:1]),
        "curves": {"cpu": (None,) * (CURVE_BINS - 3) + (0.0, 50.0, 100.0)},
    }
    return MachineView(**{**facts, **changes})


class Looks:
    """Gives what the test has set, and counts how often it was asked."""

    def __init__(self, *views: MachineView) -> None:
        self.views = list(views)
        self.count = 0

    def __call__(self) -> MachineView:
        self.count += 1
        return self.views.pop(0) if len(self.views) > 1 else self.views[0]


async def opened(app: WorkbenchApp, pilot: Pilot[Any], looks: Callable[[], MachineView]) -> None:
    await pilot.pause()
    app.push_screen(MachineScreen(RUN, looks))
    await until(pilot, lambda: isinstance(app.screen, MachineScreen) and app.screen._shown)
    await pilot.pause()


def blocks(app: WorkbenchApp) -> list[Static]:
    return list(app.screen.query_one("#blocks").query(Static))


def drawn(app: WorkbenchApp) -> str:
    return "\n".join(str(block.visual) for block in blocks(app))


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_each_of_several_processes_has_a_row(
    make_app: MakeApp, size: tuple[int, int]
) -> None:
    known = (1240.0, 2.5, 1.5, 0.25, 0.3, 1.0)
    ranks = (
        RankState(0, "box", 24, 3.2, *known),
        RankState(1, f"{HOSTILE}-a-very-long-name-of-a-host", 24, None),
    )
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot, Looks(view(gpu(), ranks=ranks)))
        table = str(app.screen._shown["ranks"][0].visual).splitlines()
        assert table[0].split() == [
            *("rank", "host", "step", "tok/s", "computes", "waits", "hidden", "last", "sign")
        ]
        assert table[1].split()[:4] == ["0", "box", "24", "1240"]
        assert table[1].endswith("75 %      25 %   5 %     3 s ago")
        assert table[2].endswith("ended")
        assert len(table) == 3
        assert all(len(line) <= size[0] - 5 for line in table)


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_everything_is_there_at_both_sizes(make_app: MakeApp, size: tuple[int, int]) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot, Looks(view(gpu(), energy=Energy(12.34, None, 60))))
        text = drawn(app)
        for words in (
            "host    box",
            "load 3.5 2.2 1.0",
            "42 % of 16 cores",
            "31 of 128 GB used",
            "512 of 2000 GB free, /home/me/runs",
            f"{RUN} on cuda:0",
            "12.3 Wh (GPU)",
            "pid 4711, CPU 193 % of one core, 2.1 GB, 3 processes",
            "cuda:0  NVIDIA H100 80GB HBM3   this run's",
            "64 °C   310 of 700 W",
            "61 %",
            "18 of 80 GB: ours 12, others 6.0, free 62",
            "me, pid 4711, 12 GB, this run",
            "anna, pid 42, 6.0 GB",
        ):
            assert words in text
        pane = app.screen.query_one("#blocks", VerticalScroll)
        assert pane.max_scroll_y == 0
        assert all(len(line) <= size[0] - 5 for line in text.splitlines())


async def test_eight_gpus_scroll(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        await opened(app, pilot, Looks(view(*(gpu(index) for index in range(8)))))
        assert drawn(app).count("NVIDIA H100") == 8
        pane = app.screen.query_one("#blocks", VerticalScroll)
        await until(pilot, lambda: pane.max_scroll_y > 20)
        for keys, place in (
            (("down", "j"), 2),
            (("up",), 1),
            (("pagedown",), pane.size.height),
            (("end",), pane.max_scroll_y),
            (("pageup",), pane.max_scroll_y - pane.size.height + 1),
            (("home", "k"), 0),
        ):
            await pilot.press(*keys)
            await until(pilot, lambda place=place: pane.scroll_y == place, f"{keys} to {place}")


async def test_no_gpu_is_a_calm_answer(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        await opened(app, pilot, Looks(view()))
        assert "no GPU data: nvidia-ml-py is not installed" in drawn(app)
        assert f"{RUN} on the CPU" in drawn(app)


async def test_what_is_the_same_is_not_drawn_again(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.tui.screens.machine.LOOK_SECONDS", 0.02)
    busier = replace(HOST, cpu_percent=43.0)
    same = view(gpu(), gpu(1))
    looks = Looks(same, replace(same, time=2e9), same)
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        await opened(app, pilot, looks)
        updated: list[Static] = []
        update = Static.update

        def note(widget: Static, *arguments: Any, **options: Any) -> None:
            if widget in known:
                updated.append(widget)
            update(widget, *arguments, **options)

        known = blocks(app)
        monkeypatch.setattr(Static, "update", note)
        before = looks.count
        await until(pilot, lambda: looks.count > before + 5)
        assert updated == []
        looks.views = [replace(same, host=busier)]
        await until(pilot, lambda: "43 % of 16 cores" in drawn(app))
        assert updated == [known[0]]


async def test_a_gpu_that_comes_and_goes(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.tui.screens.machine.LOOK_SECONDS", 0.02)
    looks = Looks(view(gpu()))
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        await opened(app, pilot, looks)
        looks.views = [view()]
        await until(pilot, lambda: "no GPU data" in drawn(app) and "H100" not in drawn(app))
        looks.views = [view(gpu(), gpu(1))]
        await until(pilot, lambda: drawn(app).count("H100") == 2)
        assert "no GPU data" not in drawn(app)


async def test_nothing_is_asked_while_another_screen_is_shown(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.tui.screens.machine.LOOK_SECONDS", 0.02)
    looks = Looks(view(gpu()))
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        await opened(app, pilot, looks)
        screen = app.screen
        await pilot.press("2")
        await until(pilot, lambda: app.screen is not screen and not screen._looking)
        before = looks.count
        for _ in range(10):
            await pilot.pause(0.02)
        assert looks.count == before
        await pilot.press("1")
        await until(pilot, lambda: looks.count > before)


async def test_a_driver_that_hangs_leaves_the_app_free(make_app: MakeApp) -> None:
    release = threading.Event()

    def hang() -> MachineView:
        release.wait(20)
        return view(gpu())

    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        app.push_screen(MachineScreen(RUN, hang))
        await until(pilot, lambda: isinstance(app.screen, MachineScreen) and app.screen._looking)
        assert str(app.screen.query_one("#none", Static).visual) == "Looking ..."
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, MachineScreen))
        release.set()


@pytest.mark.parametrize("ascii_only", [False, True])
async def test_names_of_others_are_inert(
    make_app: MakeApp, ascii_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = GpuProcess(5, HOSTILE, GIGA, HOSTILE)
    odd = gpu(name=HOSTILE, processes=(bad,) * 9)
    lost = Gpu(1, trouble=HOSTILE)
    host = replace(HOST, name=HOSTILE, folder=HOSTILE)
    look = view(odd, lost, host=host, run=HOSTILE, elsewhere=HOSTILE, devices=(HOSTILE,))
    look = replace(look, gpus=replace(look.gpus, reason=HOSTILE))
    if ascii_only:
        monkeypatch.setenv("NO_COLOR", "1")
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await opened(app, pilot, Looks(look))
        text = drawn(app)
        assert "[@click=app.quit]" in text
        assert "and 3 more" in text
        assert not any(letter in text for letter in "\x1b\x07\x9b\u202e")
        assert machine_line(look, 200).plain.isprintable()
        await pilot.press("y")


async def test_without_colour_signs_tell_whose_memory_it_is(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        await opened(app, pilot, Looks(view(gpu())))
        assert "memory  ###++..............." in drawn(app)
        assert drawn(app).isascii()


async def test_the_app_shows_it_for_a_run(
    make_app: MakeApp, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    run = make_run(paths)
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        await pilot.pause()
        show_machine(app, run.id)
        await until(pilot, lambda: isinstance(app.screen, MachineScreen) and app.screen._shown)
        assert run.id in drawn(app)
        assert "worker  pid " in drawn(app)
        await pilot.press("escape")
        show_machine(app)
        await until(pilot, lambda: isinstance(app.screen, MachineScreen) and app.screen._shown)
        assert "worker" not in drawn(app)


async def test_a_run_of_another_machine(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        await opened(app, pilot, Looks(view(gpu(processes=None), elsewhere="far", worker=None)))
        assert "host    far" in drawn(app)
        assert "on another machine; these are the last figures that it logged" in drawn(app)
        assert "18 of 80 GB, free 62" in drawn(app)


def test_bars_and_sparklines() -> None:
    for pens, expected in ((BLOCKS, "▁▅█"), (ASCII, ".+@")):
        assert sparkline((None, 0.0, 50.0, 100.0), pens) == f" {expected}"
    assert bar([(0.001, "#", ""), (0.5, "+", "")], 10, ".").plain == "#+++++...."
    assert bar([(0.9, "#", ""), (0.9, "+", "")], 10, ".").plain == "#########+"
    assert bar([(0.0, "#", "")], 4, ".").plain == "...."


@pytest.mark.parametrize(
    ("width", "said"),
    [
        (80, "cuda:0 61 % 18/80 GB 64 °C 310 W"),
        (31, "cuda:0 61 % 18/80 GB 64 °C"),
        (12, "cuda:0 61 %"),
        (3, ""),
    ],
)
def test_the_monitors_line_gives_up_what_does_not_fit(width: int, said: str) -> None:
    assert machine_line(view(gpu()), width).plain == said


def test_the_monitors_line_without_a_gpu() -> None:
    assert machine_line(view(), 60).plain == "CPU 42 % of 16 cores, RAM 31/128 GB"


def test_a_machine_of_which_nothing_is_known() -> None:
    bare = MachineView(0.0, Host(), GpuView((Gpu(0),), reason=""))
    found = machine_blocks(bare, 75, ascii_only=False)
    assert [content.plain for content in found.values()] == [
        "host    this machine",
        "cuda:0  unknown\nmemory  memory not known",
    ]


@pytest.mark.parametrize("size", [NARROW, WIDE])
def test_picture(make_app: MakeApp, snap_compare: Any, size: tuple[int, int]) -> None:
    looks = Looks(view(gpu(), gpu(1, processes=(), used_bytes=0), energy=Energy(12.34, None, 60)))

    async def show(pilot: Pilot[Any]) -> None:
        await opened(pilot.app, pilot, looks)  # type: ignore[arg-type]

    assert snap_compare(make_app(), terminal_size=size, run_before=show)
