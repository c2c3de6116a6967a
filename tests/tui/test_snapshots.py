"""A few pictures of the whole, at the two sizes that every screen is made for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from tui_fakes import NOW, FakeAnswers, make_run
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.tui.app import WorkbenchApp
from workbench.tui.dialogs.help import HelpDialog
from workbench.tui.dialogs.review import ReviewDialog
from workbench.tui.screens.editor import EditorScreen
from workbench.tui.widgets.plot_panel import PlotPanel

MakeApp = Callable[..., WorkbenchApp]
Compare = Callable[..., bool]
NARROW, WIDE = (80, 24), (120, 40)
FAILED = {
    "what": "The GPU ran out of memory (tried to allocate 2.0 GiB)",
    "where": "train.log",
    "next_step": "Halve per_device_train_batch_size, double gradient_accumulation_steps.",
}


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Paths and lists that are the same on every machine."""
    empty = tmp_path / "shipped"
    empty.mkdir()
    monkeypatch.setattr("workbench.recipe.catalog.SHIPPED", empty)
    monkeypatch.setenv("HOME", str(tmp_path))


def fill(paths: Paths) -> None:
    """One run of each kind."""
    make_run(paths, "20270115-070000-small-0001", state="finished", name="first-try", step=400,
             created=NOW - 9000, started=NOW - 8990, finished=NOW - 8000)  # fmt: skip
    make_run(paths, "20270115-071000-small-0002", state="failed", name="too-large", step=3,
             created=NOW - 5000, started=NOW - 4990, finished=NOW - 4900, error=FAILED)  # fmt: skip
    log = "".join(f"step {step}: a line of the log\n" for step in range(1, 40))
    make_run(paths, log=log)


async def recipes_read(pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: pilot.app.screen.entry is not None)
    await pilot.press("j")


@pytest.mark.parametrize("size", [NARROW, WIDE])
def test_recipes(make_app: MakeApp, snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=recipes_read)


@pytest.mark.parametrize("size", [NARROW, WIDE])
def test_editor(make_app: MakeApp, snap_compare: Compare, size: tuple[int, int]) -> None:
    async def edit(pilot: Pilot[Any]) -> None:
        await recipes_read(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        await until(pilot, lambda: pilot.app.focused)
        await pilot.press("pagedown", "down", "enter", "ctrl+u", "4", "enter")
        await until(pilot, lambda: "0.17 %" in str(pilot.app.screen.query_one("#totals").visual))

    assert snap_compare(make_app(), terminal_size=size, run_before=edit)


def test_review(make_app: MakeApp, snap_compare: Compare) -> None:
    async def review(pilot: Pilot[Any]) -> None:
        await recipes_read(pilot)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, ReviewDialog))
        await until(pilot, lambda: not pilot.app.screen.query_one("#yes").disabled)
        seen = pilot.app.screen.query_one("#summary")
        await until(pilot, lambda: "11 pairs, 4 findings" in str(seen.visual))

    assert snap_compare(make_app(), terminal_size=NARROW, run_before=review)


def shown(count: int) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Waits until that many charts are on the screen."""

    async def wait(pilot: Pilot[Any]) -> None:
        def drawn() -> bool:
            panels = [panel for panel in pilot.app.screen.query(PlotPanel) if panel.display]
            chosen = panels[:1] == [pilot.app.focused] and "┏" in panels[0].text
            return chosen and len(panels) == count and all(panel.text for panel in panels)

        await until(pilot, drawn)

    return wait


def test_runs(make_app: MakeApp, paths: Paths, snap_compare: Compare) -> None:
    fill(paths)

    async def go_down(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: len(pilot.app.rows) == 3 and pilot.app.focused)
        await pilot.press("down")

    assert snap_compare(make_app(screen="runs"), terminal_size=NARROW, run_before=go_down)


@pytest.mark.parametrize(("size", "count"), [(NARROW, 2), (WIDE, 4)])
def test_monitor(
    make_app: MakeApp, paths: Paths, snap_compare: Compare, size: tuple[int, int], count: int
) -> None:
    fill(paths)
    app = make_app(screen="monitor")
    assert snap_compare(app, terminal_size=size, run_before=shown(count))


def test_monitor_closely(make_app: MakeApp, paths: Paths, snap_compare: Compare) -> None:
    """Zoomed, smoothed, filtered, with a cursor."""
    fill(paths)

    async def look(pilot: Pilot[Any]) -> None:
        await shown(4)(pilot)
        await pilot.press("slash", *"rewards", "enter", "plus", "s", "space", "left")
        panel = pilot.app.screen.query_one("#plot-2", PlotPanel)
        await until(pilot, lambda: "step 119" in panel.text)

    assert snap_compare(make_app(screen="monitor"), terminal_size=WIDE, run_before=look)


def test_failure(make_app: MakeApp, paths: Paths, snap_compare: Compare) -> None:
    fill(paths)
    app = make_app(open_run="20270115-071000-small-0002")
    assert snap_compare(app, terminal_size=NARROW, run_before=shown(2))


def test_compare(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers], snap_compare: Compare
) -> None:
    make_run(paths, state="finished", step=400, finished=NOW - 8000)

    async def ask(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: pilot.app.focused and pilot.app.focused.id == "prompt")
        await pilot.press("up", "enter")
        await until(pilot, lambda: answers and answers[0].requests)
        base = "The sky is a complex matter that many people have thought about. " * 5
        answers[0].answer(1, base, "Air scatters blue light more than red light.")
        await until(pilot, lambda: "done" in str(pilot.app.screen.query_one("#head").visual))

    assert snap_compare(make_app(screen="compare"), terminal_size=NARROW, run_before=ask)


def test_help(make_app: MakeApp, snap_compare: Compare) -> None:
    async def help_of_runs(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: pilot.app.current_mode == "runs")
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpDialog))

    assert snap_compare(make_app(screen="runs"), terminal_size=NARROW, run_before=help_of_runs)
