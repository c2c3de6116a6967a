"""Conversations, sides, views and prompts of the compare screen, with a made-up process."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea
from tui_fakes import HOSTILE, FakeAnswers, make_run
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.tui.app import WorkbenchApp
from workbench.tui.conversation import Seat
from workbench.tui.dialogs.pick import PickDialog
from workbench.tui.dialogs.prompt_form import ImportDialog, PromptForm
from workbench.tui.dialogs.prompts import PromptsDialog
from workbench.tui.dialogs.text import TextDialog
from workbench.tui.screens.compare import CompareScreen
from workbench.tui.shading import PLAIN
from workbench.tui.widgets.answer_pane import AnswerPane
from workbench.tui.widgets.answer_panes import AnswerPanes

MakeApp = Callable[..., WorkbenchApp]
SEATS = (Seat("base", "base"), Seat("sft", "sft"), Seat("tuned", "tuned (dpo)"))


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)


def pane(app: WorkbenchApp, number: int) -> AnswerPane:
    return app.screen.query_one(f"#pane-{number}", AnswerPane)


async def ask(
    app: WorkbenchApp, pilot: Pilot[Any], answers: list[FakeAnswers], text: str
) -> FakeAnswers:
    await until(
        pilot,
        lambda: isinstance(app.screen, CompareScreen) and isinstance(app.focused, Input),
        "the prompt line has the focus",
    )
    before = sum(len(process.requests) for process in answers)
    app.screen.query_one(Input).value = text
    await pilot.press("enter")
    await until(
        pilot, lambda: sum(len(process.requests) for process in answers) > before, "the request"
    )
    return answers[-1]


def reply(process: FakeAnswers, sides: Sequence[str] = ("base", "tuned"), count: int = 1) -> None:
    """Every side answers `SIDE INDEX words`, with an analysis."""
    number = len(process.requests)
    for index in range(count):
        for side in sides:
            place = {"id": number, "side": side, "index": index, "prompt": 0}
            pieces = [[side, 0.0], [f" {index}", -0.7], [" words", 2.5]]
            text = "".join(piece for piece, _ in pieces)
            answer = {"text": text, "tokens": 3, "seconds": 1.0, "finish": "eos"}
            process.emit({"event": "answer", **place, **answer})
            process.emit({"event": "analysis", **place, "pieces": pieces, "first_difference": 0})
    process.emit({"event": "done", "id": number})


async def done(app: WorkbenchApp, pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: "done" in text_of(app, "#head"), "done")


async def test_the_next_question_goes_on_with_each_side_s_own_answer(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    run = make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        process = await ask(app, pilot, answers, "One?")
        reply(process)
        await done(app, pilot)
        await ask(app, pilot, answers, "Two?")
        request = process.requests[1][0]
        assert [message["content"] for message in request["tuned"]] == [
            "One?", "tuned 0 words", "Two?",
        ]  # fmt: skip
        assert request["base"][1]["content"] == "base 0 words"
        reply(process)
        await done(app, pilot)
        assert pane(app, 1).shown.startswith("you: One?\nbase 0 words")
        await until(pilot, lambda: run.comparisons.read_text(encoding="utf-8").count("\n") == 2)
        await pilot.press("ctrl+n")
        assert "ask something" in pane(app, 1).shown
        await ask(app, pilot, answers, "Three?")
        assert process.requests[2][0] == [{"role": "user", "content": "Three?"}]


async def test_several_answers_are_paged_and_the_shown_one_goes_on(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press("f2")
        await until(pilot, lambda: app.screen.query("#answers"))
        app.screen.query_one("#answers", Input).value = "3"
        await pilot.press("enter")
        await until(pilot, lambda: "3 answers" in text_of(app, "#head"))
        process = await ask(app, pilot, answers, "One?")
        assert process.counts == [3]
        process.emit(
            {"event": "text", "id": 1, "side": "base", "index": 1, "text": "second so far"}
        )
        process.emit({"event": "text", "id": 1, "side": "base", "index": 0, "text": "first so far"})
        await until(pilot, lambda: pane(app, 1).shown == "first so far")
        await pilot.press("tab", "right_square_bracket")
        await until(pilot, lambda: pane(app, 1).shown == "second so far")
        reply(process, count=3)
        await done(app, pilot)
        assert pane(app, 1).shown == "base 1 words"
        assert "[2 of 3]" in text_of(app, "#question")
        await pilot.press("left_square_bracket", "left_square_bracket")
        assert pane(app, 3).shown == "tuned 2 words"
        await pilot.press("enter")
        await ask(app, pilot, answers, "Two?")
        assert process.requests[1][0]["base"][1]["content"] == "base 2 words"


async def test_views_show_what_tuning_changed_and_the_token_under_the_cursor(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        process = await ask(app, pilot, answers, "One?")
        reply(process)
        await done(app, pilot)
        assert text_of(app, "#legend") == (
            "first difference: token 1 · 67% of tokens changed · mean |log-ratio| 1.07"
        )
        await pilot.press("f9")
        assert "words of this answer alone" in text_of(app, "#legend")
        assert pane(app, 3)._rows.rows[0] == (("tuned", "turn"), (" 0 words", ""))
        await pilot.press("f9")
        assert "likelier  for tuned than base" in text_of(app, "#legend")
        assert pane(app, 3)._rows.rows[0] == (
            ("tuned", "turn-shaded"), (" 0", "down-2"), (" words", "up-3"),
        )  # fmt: skip
        await pilot.press("escape", "tab", "right", "right", "right")
        await until(pilot, lambda: "token 3" in text_of(app, "#legend"))
        assert text_of(app, "#legend") == (
            'token 3 " words"  log-ratio +2.50, 12.2 times as likely'
        )
        assert "+2.50 · 12.2 times" in str(pane(app, 3).border_subtitle)
        await pilot.press("v")
        assert pane(app, 3).shown == "tuned 0 words\n^    -- +++"
        assert "3 tokens" in str(pane(app, 3).border_subtitle)
        await pilot.press("v")
        assert app.screen.query_one(AnswerPanes).view == PLAIN


async def test_without_colour_signs_take_the_place_of_shades(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        process = await ask(app, pilot, answers, "One?")
        reply(process)
        await done(app, pilot)
        await pilot.press("f9", "f9")
        assert "+++" in pane(app, 3).shown
        await pilot.press("f9")
        assert app.screen.query_one(AnswerPanes).view == PLAIN


async def test_the_header_says_which_weights_answer_and_warns_of_equal_ones(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        process = await ask(app, pilot, answers, "One?")
        facts: dict[str, dict[str, Any]] = {
            "base": {"label": "base", "sha256": "", "same_as": ""},
            "tuned": {"label": HOSTILE, "sha256": "3fa9c1d2e0ab", "same_as": ""},
        }
        weights = {"event": "weights", "id": 1, "sides": facts}
        process.emit({**weights, "max_delta_logit": {"base": 0.0, "tuned": 4.2}})
        await until(pilot, lambda: "3fa9c1d2" in text_of(app, "#weights"))
        assert "max |delta logit| 4.2" in text_of(app, "#weights")
        assert "\x1b" not in text_of(app, "#weights")
        facts["tuned"]["same_as"] = "base"
        process.emit({**weights, "max_delta_logit": {"base": 0.0, "tuned": 0.0}})
        await until(pilot, lambda: "tuned equals base" in text_of(app, "#weights"))


async def test_answers_are_paused_and_go_on(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        process = await ask(app, pilot, answers, "One?")
        process.emit({"event": "text", "id": 1, "side": "base", "index": 0, "text": "We"})
        await until(pilot, lambda: pane(app, 1).shown == "We")
        await pilot.press("f8")
        await until(pilot, lambda: process.paused == [1])
        assert "paused: f8 goes on" in text_of(app, "#head")
        await pilot.press("f8")
        await until(pilot, lambda: process.paused == [])
        assert "answering" in text_of(app, "#head")


async def test_a_wide_terminal_has_a_third_pane_and_any_side_fits_into_a_pane(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.tui.screens.talk.default_seats", lambda run: SEATS)
    other = Seat("dpo:8", "dpo step 8")
    seats = [*SEATS, other]
    monkeypatch.setattr("workbench.tui.comparing.all_seats", lambda run, others: seats)
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: pane(app, 2).display)
        process = await ask(app, pilot, answers, "One?")
        assert process.sides == [("base", "sft", "tuned")]
        reply(process, ("base", "sft", "tuned"))
        await done(app, pilot)
        assert pane(app, 2).shown == "sft 0 words"
        await pilot.press("tab", "tab", "s")
        await until(pilot, lambda: isinstance(app.screen, PickDialog))
        await pilot.press("end", "enter")
        await until(pilot, lambda: str(pane(app, 2).border_title) == "dpo step 8")
        assert app.screen.query_one(Input).value == "One?"
        await pilot.press("t")
        process = await ask(app, pilot, answers, "Two?")
        await pilot.press("escape")
    assert process.sides[1] == ("base", "dpo:8", "tuned")


async def test_a_narrow_terminal_asks_two_sides(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.tui.screens.talk.default_seats", lambda run: SEATS)
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        await until(pilot, lambda: str(pane(app, 3).border_title) == "tuned (dpo)")
        process = await ask(app, pilot, answers, "One?")
        assert process.sides == [("base", "tuned")]
        assert not pane(app, 2).display


async def test_a_system_prompt_goes_first_and_the_comparison_becomes_a_file(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers], tmp_path: Path
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press("ctrl+t")
        await until(pilot, lambda: isinstance(app.screen, TextDialog))
        app.screen.query_one(TextArea).text = "Be brief."
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "system prompt" in text_of(app.screen.app, "#head"))
        process = await ask(app, pilot, answers, "One?")
        assert process.requests[0][0][0] == {"role": "system", "content": "Be brief."}
        reply(process)
        await done(app, pilot)
        await pilot.press("ctrl+s")
        saved = tmp_path / "comparison-small-1.md"
        await until(pilot, saved.exists)
        assert "tuned 0 words" in saved.read_text(encoding="utf-8")
        await until(pilot, lambda: any(saved.name in n.message for n in app._notifications))


async def test_zoom_and_scrolling_apart(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        process = await ask(app, pilot, answers, "One?")
        process.answer(1, "line\n" * 80, "line\n" * 60)
        await done(app, pilot)
        await until(pilot, lambda: pane(app, 1).max_scroll_y > 20)
        await pilot.press("tab", "l", "pagedown")
        await until(pilot, lambda: pane(app, 1).scroll_y > 0)
        assert pane(app, 3).scroll_y == 0
        await pilot.press("z")
        assert not pane(app, 3).display
        await pilot.press("z")
        assert pane(app, 3).display


async def open_prompts(app: WorkbenchApp, pilot: Pilot[Any]) -> PromptsDialog:
    await until(pilot, lambda: isinstance(app.focused, Input))
    await pilot.press("f3")
    await until(pilot, lambda: isinstance(app.screen, PromptsDialog))
    screen = app.screen
    assert isinstance(screen, PromptsDialog)
    await until(pilot, lambda: len(screen._sections) > 1, "the library")
    return screen


async def test_prompts_are_written_changed_found_and_deleted(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers]
) -> None:
    make_run(paths, state="finished")
    own = paths.config / "prompts" / "mine.jsonl"
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        dialog = await open_prompts(app, pilot)
        await pilot.press("tab", "f4")
        await until(pilot, lambda: isinstance(app.screen, PromptForm))
        app.screen.query_one(TextArea).text = "What is\na zebra?"
        app.screen.query_one("#category", Input).value = "animals"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: own.exists() and dialog._section.name == "mine")
        await pilot.press(*"zeb", "f2")
        await until(pilot, lambda: isinstance(app.screen, PromptForm))
        app.screen.query_one("#category", Input).value = HOSTILE
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "INST" in own.read_text(encoding="utf-8"))
        await until(pilot, lambda: app.screen is dialog and "INST" in dialog._entries[0].words)
        assert "\x1b" not in dialog._entries[0].line.plain
        await pilot.press("enter")
        process = await ask_as_it_is(app, pilot, answers)
        assert process.requests[0][0] == [{"role": "user", "content": "What is\na zebra?"}]
        process.answer(1, "a", "b")
        await done(app, pilot)
        dialog = await open_prompts(app, pilot)
        while dialog._section.name != "mine":
            await pilot.press("tab")
        await pilot.press("f8")
        await until(pilot, lambda: not own.exists())


async def ask_as_it_is(
    app: WorkbenchApp, pilot: Pilot[Any], answers: list[FakeAnswers]
) -> FakeAnswers:
    await until(pilot, lambda: isinstance(app.screen, CompareScreen))
    await pilot.press("enter")
    await until(pilot, lambda: answers and answers[-1].requests)
    return answers[-1]


async def test_a_file_is_imported_and_its_turns_are_asked_one_after_the_other(
    make_app: MakeApp, paths: Paths, answers: list[FakeAnswers], tmp_path: Path
) -> None:
    make_run(paths, state="finished")
    row = {"question_id": 81, "category": "writing", "turns": ["First?", "Then?"]}
    (tmp_path / "bench.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    app = make_app(screen="compare")
    async with app.run_test() as pilot:
        dialog = await open_prompts(app, pilot)
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, ImportDialog))
        await pilot.press(*"nothing", "enter")
        await until(pilot, lambda: "no such file" in text_of(app, "#complaint"))
        app.screen.query_one(Input).value = "bench.jsonl"
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is dialog and dialog._section.name == "bench")
        await pilot.press("enter")
        process = await ask_as_it_is(app, pilot, answers)
        reply(process)
        await done(app, pilot)
        assert app.screen.query_one(Input).value == "Then?"
        await pilot.press("enter")
        await until(pilot, lambda: len(process.requests) == 2)
        assert process.requests[1][0]["tuned"][-1]["content"] == "Then?"
        reply(process)
        await done(app, pilot)
    record = json.loads(
        (paths.runs / "20270115-080000-small-a1b2" / "comparisons.jsonl")
        .read_text(encoding="utf-8")
        .splitlines()[0]
    )
    assert (record["category"], record["set"], record["prompt_id"]) == ("writing", "bench", "81")
