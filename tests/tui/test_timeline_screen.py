"""The checkpoints of a run, one prompt and one checkpoint at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static
from tui_fakes import HOSTILE, FakeAnswers, make_run
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.judge.timeline import Mark, Timeline
from workbench.run.directory import RunDirectory
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.compare import CompareScreen
from workbench.tui.screens.timeline import TimelineScreen
from workbench.tui.timeline import slider, visible
from workbench.tui.widgets.answer_panes import AnswerPanes

MakeApp = Callable[..., WorkbenchApp]


def answer(run: RunDirectory, step: int, prompt: str, text: str, **more: Any) -> None:
    side = "dpo" if step else "base"
    row = {"time": 2e9 + step, "stage": "dpo", "step": step, "side": side, "prompt": prompt}
    with run.samples.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**row, "answer": text, "tokens": 4, **more}) + "\n")


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)


async def opened(app: WorkbenchApp, pilot: Pilot[Any], key: str = "f7") -> None:
    await until(pilot, lambda: app.runs_known and app.rows)
    await until(pilot, lambda: not isinstance(app.screen, CompareScreen) or app.screen._run_id)
    await pilot.press(key)
    await until(
        pilot,
        lambda: isinstance(app.screen, TimelineScreen) and app.screen._timeline is not None,
        "the timeline is read",
    )


async def asking(app: WorkbenchApp, pilot: Pilot[Any]) -> None:
    await until(
        pilot,
        lambda: (
            isinstance(app.screen, CompareScreen)
            and isinstance(app.focused, Input)
            and not app.asked_sides
        ),
        "the prompt line",
    )


def titles(app: WorkbenchApp) -> list[str]:
    """Who answers in each pane."""
    return [str(pane.border_title) for pane in app.screen.query_one(AnswerPanes).used]


@pytest.fixture
def run(paths: Paths) -> RunDirectory:
    """A run at step 120 whose checkpoints at 40 and 80 have answered."""
    run = make_run(paths)
    answer(run, 0, "Why?", "It depends on many things.")
    answer(run, 40, "Why?", "It depends on you.", checkpoint=True)
    answer(run, 80, "Why?", "It is you.", checkpoint=True, cut=True)
    answer(run, 0, "Who?", "Me.")
    answer(run, 80, "Who?", "You.", checkpoint=True)
    return run


async def test_keys_go_through_checkpoints_and_prompts(
    make_app: MakeApp, run: RunDirectory
) -> None:
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        assert "[80*]" in text_of(app, "#slider")
        assert text_of(app, "#text") == "It is you."
        assert "cut" in str(app.screen.query_one("#answer").border_subtitle)
        await pilot.press("g")
        assert text_of(app, "#text") == "It depends on is you."
        await pilot.press("left")
        assert text_of(app, "#text") == "It depends on many things. you."
        assert "dpo step 40" in str(app.screen.query_one("#answer").border_title)
        await pilot.press("left", "left", "left")
        assert "[base]" in text_of(app, "#slider")
        await pilot.press("down", "right")
        assert "Who?" in text_of(app, "#question")
        assert "was not asked" in text_of(app, "#text")
        await pilot.press("b")
        assert "[80*]" in text_of(app, "#slider")
        assert "0.62" in text_of(app, "#slider") or "margin" in text_of(app, "#slider")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))


async def test_a_live_run_is_followed_by_who_looks_at_its_end(
    make_app: MakeApp, run: RunDirectory
) -> None:
    app = make_app(screen="monitor")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, "T")
        answer(run, 120, "Why?", "Because.", checkpoint=True)
        await until(pilot, lambda: "[120" in text_of(app, "#slider"), "the new checkpoint")
        await pilot.press("home")
        answer(run, 160, "Why?", "Because so.", checkpoint=True)
        await until(pilot, lambda: "160" in text_of(app, "#slider"), "the newest checkpoint")
        assert "[base]" in text_of(app, "#slider")


async def test_hostile_answers_and_prompts_are_inert(make_app: MakeApp, run: RunDirectory) -> None:
    answer(run, 120, HOSTILE, f"{HOSTILE} new {HOSTILE}", checkpoint=True)
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("end", "up")
        assert "[/INST]" in text_of(app, "#text")
        for selector in ("#text", "#question", "#slider"):
            assert "\x1b" not in text_of(app, selector)
            assert "\u202e" not in text_of(app, selector)


async def test_changes_are_marked_without_colour(
    make_app: MakeApp, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        assert text_of(app, "#text") == "It {+is+} you."
        await pilot.press("g")
        assert text_of(app, "#text") == "It [-depends on-] {+is+} you."


async def test_a_run_without_answers_says_what_would_come(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths)
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        assert "probe_prompts" in text_of(app, "#none")
        await pilot.press("left", "down", "b", "g", "enter")


async def test_enter_lets_base_and_the_checkpoint_answer(
    make_app: MakeApp, run: RunDirectory, answers: list[FakeAnswers]
) -> None:
    for step in (40, 80):
        (run.output("dpo") / f"checkpoint-{step}").mkdir(parents=True)
    app = make_app(screen="monitor")
    async with app.run_test(size=(160, 40)) as pilot:
        await opened(app, pilot, "T")
        await pilot.press("left", "enter")
        await asking(app, pilot)
        assert titles(app) == ["base", "dpo step 40"]
        await pilot.press(*"Why?", "enter")
        await until(pilot, lambda: answers and answers[-1].requests, "the request")
        assert answers[-1].sides == [("base", "dpo:40")]
        # While they answer nothing changes.
        await pilot.press("f7")
        await until(pilot, lambda: isinstance(app.screen, TimelineScreen))
        await until(pilot, lambda: "[80" in text_of(app, "#slider"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and not app.asked_sides)
        assert titles(app) == ["base", "dpo step 40"]
        answers[-1].answer(1, "Well.", "Because.", sides=("base", "dpo:40"))
        await until(pilot, lambda: "done" in text_of(app, "#head"))
        await pilot.press("f7")
        await until(pilot, lambda: isinstance(app.screen, TimelineScreen))
        await until(pilot, lambda: "[80" in text_of(app, "#slider"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and not app.asked_sides)
        assert titles(app) == ["base", "dpo step 80"]


async def test_at_its_end_the_stage_answers_and_the_base_model_changes_no_side(
    make_app: MakeApp, run: RunDirectory
) -> None:
    answer(run, 120, "Why?", "Because.")
    (run.output("dpo")).mkdir(exist_ok=True)
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("end", "enter")
        await asking(app, pilot)
        assert titles(app) == ["base", "dpo"]
        app.show_timeline(run.id)
        await until(pilot, lambda: isinstance(app.screen, TimelineScreen) and app.screen._timeline)
        await pilot.press("home", "enter")
        await asking(app, pilot)
        assert titles(app) == ["base", "dpo"]


async def test_deleted_weights_are_not_compared(make_app: MakeApp, run: RunDirectory) -> None:
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("enter")
        await until(pilot, lambda: app._notifications)
        assert "save_total_limit" in next(iter(app._notifications)).message
        assert isinstance(app.screen, TimelineScreen)


def test_the_slider_fits_and_keeps_the_chosen_place_in_sight() -> None:
    marks = tuple(Mark("dpo", step, f"dpo:{step}") for step in range(10, 1010, 10))
    for width in (40, 76, 200):
        for place in (0, 1, 50, 99):
            assert place in visible(len(marks), place, width)
            drawn = slider(Timeline(marks), place, width).plain.split("\n")
            assert len(drawn) == 5
            assert all(len(line) <= width + 2 for line in drawn)
            assert f"[{marks[place].step}]" in drawn[1]
