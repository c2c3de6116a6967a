"""Scoring from the app: in the background, one at a time, ended with the app."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from textual.widgets import Static
from tui_fakes import HOSTILE, NOW, make_run
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.judge.score_summary import summarise_pairs
from workbench.judge.scores import Score
from workbench.run.directory import RunDirectory
from workbench.tui.app import WorkbenchApp
from workbench.tui.dialogs.notice import NoticeDialog
from workbench.tui.dialogs.read import ReadDialog

MakeApp = Callable[..., WorkbenchApp]
LOGPS = {"base": [-10.0, -10.0], "tuned": [-20.0, -10.0], "reference": [-10.0, -10.0]}


def summary_of(run: RunDirectory) -> dict[str, Any]:
    pair = {"row": 0, "batch": 0, "prompt": HOSTILE, "slices": {}, "tokens": [9, 8], "logps": LOGPS}
    about = {"source": "the held-out split of dpo", "rows": 1, "used": 1, "dropped": 0}
    sides = ["base", "tuned"]
    return {
        "run": run.id,
        "time": NOW + 5,
        "sides": sides,
        "labels": {"base": "base", "tuned": "tuned (dpo)"},
        "weights": {side: {"folder": "", "sha256": ""} for side in sides},
        "reference": {"of": "dpo"},
        "beta": 0.1,
        "dtype": "float32",
        "device": "cpu",
        "data": about,
        **summarise_pairs([pair], sides, {"beta": 0.1}),
    }


@pytest.fixture
def run(paths: Paths) -> RunDirectory:
    found = make_run(paths, state="finished", finished=NOW, results={"dpo": {}})
    found.output("dpo").mkdir()
    (found.output("dpo") / "adapter_config.json").write_text("{}")
    return found


class Measuring:
    """In the place of `judge.scores.score`: waits until it is let go, or ended."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.calls = self.ended = 0
        self.failure: ProblemError | None = None

    def __call__(self, run: RunDirectory, sides: Any, wanted: Any, *, begun: Any) -> Score:
        self.calls += 1
        begun(self.end)
        self.go.wait(20)
        if self.ended or self.failure:
            raise self.failure or ProblemError(Problem("ended"))
        return Score(summary_of(run), [{"kind": "pair"}])

    def end(self) -> None:
        self.ended += 1
        self.go.set()


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Measuring:
    found = Measuring()
    monkeypatch.setattr("workbench.judge.scores.score", found)
    return found


def shown(app: WorkbenchApp) -> str:
    assert isinstance(app.screen, ReadDialog)
    return str(app.screen.query_one("VerticalScroll Static", Static).visual)


@pytest.mark.parametrize("screen", ["runs", "monitor"])
async def test_a_run_is_measured_once_and_shown(
    screen: str, make_app: MakeApp, run: RunDirectory, measuring: Measuring
) -> None:
    app = make_app(screen=screen)
    async with app.run_test() as pilot:
        await until(pilot, lambda: bool(app.rows))
        await until(pilot, lambda: app.screen.focused is not None)
        await pilot.press("e")
        await until(pilot, lambda: measuring.calls == 1)
        await pilot.press("e")
        measuring.go.set()
        await until(pilot, lambda: isinstance(app.screen, ReadDialog))
        text = shown(app)
        assert "Pairs that got worse from base to tuned" in text
        assert "\x1b" not in text
        assert (run.scores_folder / "base..tuned.json").is_file()
        await pilot.press("escape")
        # What was measured since the run ended is shown as it was kept.
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ReadDialog))
        assert measuring.calls == 1


async def test_an_older_or_damaged_score_is_not_shown(
    make_app: MakeApp, run: RunDirectory, measuring: Measuring
) -> None:
    run.scores_folder.mkdir()
    old = {**summary_of(run), "time": NOW - 5}
    broken = {"rewards": {"tuned": 3}, "sides": ["base", "tuned"], "time": NOW + 9, "labels": 1}
    (run.scores_folder / "a.json").write_text(json.dumps(old))
    (run.scores_folder / "b.json").write_text(json.dumps(broken))
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: bool(app.rows) and app.screen.focused is not None)
        await pilot.press("e")
        await until(pilot, lambda: measuring.calls == 1)


async def test_a_failure_is_told(
    make_app: MakeApp, run: RunDirectory, measuring: Measuring
) -> None:
    measuring.failure = ProblemError(Problem("the run has held out no pairs", "", "Give some."))
    measuring.go.set()
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: bool(app.rows) and app.screen.focused is not None)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, NoticeDialog))


async def test_closing_the_app_ends_the_measuring(
    make_app: MakeApp, run: RunDirectory, measuring: Measuring
) -> None:
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: bool(app.rows) and app.screen.focused is not None)
        await pilot.press("e")
        await until(pilot, lambda: measuring.calls == 1)
    assert measuring.ended == 1
