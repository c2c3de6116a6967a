"""Base and tuned side by side, with an answering process that the test controls."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input, Static
from tui_fakes import HOSTILE, FakeAnswers, make_run
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.tui.app import WorkbenchApp
from workbench.tui.dialogs.pick import PickDialog
from workbench.tui.dialogs.prompts import PromptsDialog
from workbench.tui.dialogs.sampling import SamplingDialog
from workbench.tui.screens.compare import CompareScreen
from workbench.tui.widgets.answer_pane import AnswerPane

MakeApp = Callable[..., WorkbenchApp]
LIVE = "20270115-080000-small-a1b2"


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)


def pane(app: WorkbenchApp, side: str) -> str:
    number = {"base": 1, "middle": 2, "tuned": 3}[side]
    return app.screen.query_one(f"#pane-{number}", AnswerPane).shown


async def ready(app: WorkbenchApp, pilot: Pilot[Any]) -> None:
    await until(
        pilot,
        lambda: isinstance(app.screen, CompareScreen) and isinstance(app.focused, Input),
        "the prompt line has the focus",
    )


async def ask(
    app: WorkbenchApp, pilot: Pilot[Any], answers: list[FakeAnswers], text: str = "Why?"
) -> FakeAnswers:
    await ready(app, pilot)
    before = sum(len(process.requests) for process in answers)
    await pilot.press(*text, "enter")
    await until(
        pilot, lambda: sum(len(process.requests) for process in answers) > before, "the request"
    )
    return answers[-1]


async def test_both_panes_fill_at_once_and_the_comparison_is_kept(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    run = make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        process = await ask(app, pilot, answers)
        messages, sampling = process.requests[0]
        assert messages == [{"role": "user", "content": "Why?"}]
        assert sampling.temperature == 0
        process.emit({"event": "loading", "message": "loading weights"})
        await until(pilot, lambda: "loading weights" in text_of(app, "#head"))
        process.emit({"event": "text", "id": 1, "side": "base", "text": "Well, "})
        process.emit({"event": "text", "id": 1, "side": "tuned", "text": "Becau"})
        await until(pilot, lambda: pane(app, "base") == "Well, " and pane(app, "tuned") == "Becau")
        process.answer(1, "Well, it depends.", "Because.")
        await until(pilot, lambda: "done" in text_of(app, "#head"))
        assert pane(app, "tuned") == "Because."
        subtitle = str(app.screen.query_one("#pane-1").border_subtitle)
        assert "3 tokens" in subtitle
        assert "1.5 tok/s" in subtitle
        await until(pilot, run.comparisons.exists)
        record = json.loads(run.comparisons.read_text(encoding="utf-8"))
        assert record["answers"]["tuned"]["text"] == "Because."


async def test_hostile_answers_are_inert_even_in_two_pieces(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, state="finished", name=HOSTILE)
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        process = await ask(app, pilot, answers)
        for piece in ("\x1b]52;c;cm", "0gLXJm\x07 [/INST] ", "[@click=app.quit]x[/]"):
            process.emit({"event": "text", "id": 1, "side": "base", "text": piece})
        await until(pilot, lambda: "click" in pane(app, "base"))
        assert pane(app, "base") == " [/INST] [@click=app.quit]x[/]"
        process.emit({"event": "error", "id": 1, "what": HOSTILE, "next_step": HOSTILE})
        await until(pilot, lambda: "[/INST]" in text_of(app, "#failure"))
        assert "\x1b" not in text_of(app, "#failure") + text_of(app, "#head")


async def test_escape_cancels_and_the_part_stays(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        process = await ask(app, pilot, answers)
        process.emit({"event": "text", "id": 1, "side": "base", "text": "Well"})
        await until(pilot, lambda: pane(app, "base") == "Well")
        await pilot.press("escape")
        await until(pilot, lambda: process.cancelled == [1])
        for side in ("base", "tuned"):
            process.emit(
                {
                    "event": "answer",
                    "id": 1,
                    "side": side,
                    "text": "Well",
                    "tokens": 1,
                    "seconds": 1.0,
                    "finish": "cancelled",
                }
            )
        process.emit({"event": "done", "id": 1})
        await until(pilot, lambda: "done" in text_of(app, "#head"))
        assert "cancelled" in str(app.screen.query_one("#pane-1").border_subtitle)


async def test_an_error_says_what_and_the_next_question_works(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        process = await ask(app, pilot, answers)
        process.emit({"event": "error", "id": 1, "what": "It died.", "next_step": "Ask again."})
        await until(pilot, lambda: app.screen.query_one("#failure").display)
        assert text_of(app, "#failure") == "It died.\nnext  Ask again."
        await ask(app, pilot, answers, "So?")
        assert not app.screen.query_one("#failure").display
        process.answer(2, "a", "b")
        await until(pilot, lambda: pane(app, "tuned") == "b")


async def test_late_events_of_an_earlier_request_are_ignored(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        process = await ask(app, pilot, answers)
        process.answer(1, "a", "b")
        await until(pilot, lambda: "done" in text_of(app, "#head"))
        await ask(app, pilot, answers, "Two?")
        process.emit({"event": "text", "id": 2, "side": "base", "text": "new"})
        process.emit({"event": "text", "id": 1, "side": "base", "text": "OLD"})
        process.answer(2, "newer", "newest")
        await until(pilot, lambda: pane(app, "tuned").endswith("newest"))
        assert pane(app, "base") == "you: Why?\na\n\nyou: Two?\nnewer"


async def test_arrows_bring_past_prompts_and_the_recipes_own(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        process = await ask(app, pilot, answers, "First?")
        process.answer(1, "a", "b")
        field = app.screen.query_one(Input)
        await until(pilot, lambda: len(app.screen._past) == 2)
        await pilot.press(*"dra", "up")
        assert field.value == "First?"
        await pilot.press("up")
        assert field.value == "Why is the sky blue?"
        await pilot.press("down", "down")
        assert field.value == "dra"


async def test_the_last_comparison_is_shown_on_reopening(make_app: MakeApp, paths: Paths) -> None:
    run = make_run(paths, state="finished")
    record = {
        "time": 1.0,
        "messages": [{"role": "user", "content": "Old?"}],
        "sampling": {},
        "seed": 1,
        "answers": {
            "base": {"text": "long", "tokens": 1, "seconds": 1},
            "tuned": {"text": "short", "tokens": 1, "seconds": 1},
        },
    }
    run.comparisons.write_text(json.dumps(record) + "\n{torn", encoding="utf-8")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        await until(
            pilot,
            lambda: isinstance(app.screen, CompareScreen) and pane(app, "tuned") == "short",
        )
        assert "Old?" in text_of(app, "#question")
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(app.screen, PromptsDialog))
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        assert app.screen.query_one(Input).value == "Why is the sky blue?"


async def test_sampling_settings_reach_the_process_and_retry_changes_the_seed(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        await ready(app, pilot)
        await pilot.press("f2")
        await until(pilot, lambda: isinstance(app.screen, SamplingDialog))
        await pilot.press("ctrl+u", *"9", "enter")
        await pilot.pause()
        assert "from 0 to 5" in text_of(app, "#complaint")
        await pilot.press("ctrl+u", *"0.7", "enter")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        assert "temperature 0.7" in text_of(app, "#head")
        process = await ask(app, pilot, answers)
        process.answer(1, "a", "b")
        await until(pilot, lambda: "done" in text_of(app, "#head"))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: len(process.requests) == 2)
        first, second = process.requests
        assert first[0] == second[0]
        assert first[1].temperature == 0.7
        assert first[1].seed != second[1].seed


async def test_another_run_gets_a_process_of_its_own(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, "20270115-070000-old-0001", state="finished", name="old")
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        first = await ask(app, pilot, answers)
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(app.screen, PickDialog))
        await pilot.press("down", "enter")
        await until(pilot, lambda: "old" in text_of(app.screen.app, "#head"))
        await until(pilot, lambda: first.closed)
        first.emit({"event": "text", "id": 1, "side": "base", "text": "WRONG RUN"})
        second = await ask(app, pilot, answers)
        assert second is not first
        assert second.run.id == "20270115-070000-old-0001"
        assert "WRONG" not in pane(app, "base")


async def test_leaving_the_screen_loses_nothing_and_leaving_the_app_closes_the_process(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        process = await ask(app, pilot, answers)
        await pilot.press("escape", "escape")
        app.action_show("runs")
        process.answer(1, "kept", "kept too")
        app.action_show("compare")
        await until(pilot, lambda: pane(app, "tuned") == "kept too")
        assert not process.closed
    for _ in range(1000):
        if process.closed:
            break
    assert process.closed


async def test_panes_scroll_together(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        process = await ask(app, pilot, answers)
        process.answer(1, "line\n" * 80, "line\n" * 60)
        await until(pilot, lambda: "done" in text_of(app, "#head"))
        base = app.screen.query_one("#pane-1", AnswerPane)
        tuned = app.screen.query_one("#pane-3", AnswerPane)
        await until(pilot, lambda: base.scroll_y == 0 and base.max_scroll_y > 20)
        base.focus()
        await pilot.press("pagedown")
        await until(pilot, lambda: base.scroll_y > 0 and tuned.scroll_y == base.scroll_y)


async def test_answers_that_the_run_kept_are_there_without_a_model(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    run = make_run(paths, state="finished")
    prompt = "Why is the sky blue?"
    rows = [("base", "It is a long story."), ("sft", "Light."), ("dpo", f"Scattered. {HOSTILE}")]
    text = "".join(
        json.dumps({"time": 1.0, "side": side, "prompt": prompt, "answer": answer, "tokens": 3})
        + "\n"
        for side, answer in rows
    )
    run.samples.write_text(text + "{torn", encoding="utf-8")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        await ready(app, pilot)
        await until(pilot, lambda: pane(app, "tuned").startswith("Scattered."))
        assert pane(app, "base") == "It is a long story."
        assert "\x1b" not in pane(app, "tuned")
        assert "kept while training" in text_of(app, "#head")
        assert answers == []
