"""Blind votes by keys, with an answering process that the test controls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static
from tui_fakes import FakeAnswers, make_run
from tui_waiting import until
from vote_helpers import HOSTILE, keep_answers, prompts, ready_sitting, vote

from workbench.base.paths import Paths
from workbench.judge.answers import Sampling
from workbench.judge.comparisons import Asked, save_comparison
from workbench.judge.prompts import save_prompts
from workbench.judge.sittings import Sitting, list_sittings, new_sitting
from workbench.judge.votes import load_votes
from workbench.run.directory import RunDirectory
from workbench.run.sides import Side
from workbench.tui.app import WorkbenchApp
from workbench.tui.conversation import Seat
from workbench.tui.dialogs.line import LineDialog
from workbench.tui.dialogs.name import NameDialog
from workbench.tui.dialogs.pick import PickDialog
from workbench.tui.dialogs.review import ReviewDialog
from workbench.tui.screens.compare import CompareScreen
from workbench.tui.screens.vote import VoteScreen
from workbench.tui.screens.vote_result import VoteResultScreen
from workbench.tui.widgets.vote_pane import VotePane

MakeApp = Callable[..., WorkbenchApp]
LIVE = "20270115-080000-small-a1b2"


@pytest.fixture(autouse=True)
def _voter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.judge.votes.getpass.getuser", lambda: "ada")


@pytest.fixture
def run(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A finished run whose weights are there."""
    side = Side("tuned", "tuned (dpo)")
    monkeypatch.setattr("workbench.run.sides.find_side", lambda run, spec: side)
    sides = [Side("base", "base"), Side("dpo", "dpo")]
    monkeypatch.setattr("workbench.run.sides.list_sides", lambda run: sides)
    return make_run(paths, state="finished")


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)


def pane(app: WorkbenchApp, where: str) -> tuple[str, str]:
    found = app.screen.query_one(f"#{where}", VotePane)
    return str(found.border_title), str(found.query_one(Static).visual)


async def picking(app: WorkbenchApp, pilot: Pilot[Any], what: str) -> None:
    await until(
        pilot,
        lambda: isinstance(app.screen, PickDialog) and what in str(app.screen._title),
        f"the choice {what}",
    )


async def go_to_vote(app: WorkbenchApp, pilot: Pilot[Any]) -> None:
    await until(
        pilot, lambda: isinstance(app.screen, CompareScreen) and isinstance(app.focused, Input)
    )
    await pilot.press("f6")
    await picking(app, pilot, "on what")


async def sit_down(app: WorkbenchApp, pilot: Pilot[Any]) -> VoteScreen:
    """Go on with the first sitting of the list."""
    await go_to_vote(app, pilot)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, VoteScreen) and app.screen.booth)
    assert isinstance(app.screen, VoteScreen)
    return app.screen


def key_for(sitting: Sitting, side: str, place: int, voter: str = "ada") -> str:
    return "left" if sitting.plan(voter)[place].left == side else "right"


async def test_nothing_on_the_screen_tells_whose_answer_it_is(
    make_app: MakeApp, run: RunDirectory
) -> None:
    sitting = ready_sitting(run, 3)
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await sit_down(app, pilot)
        await until(pilot, lambda: pane(app, "left")[1])
        first = sitting.plan("ada")[0]
        assert f"Question {first.item}?" in text_of(app, "#question > Static")
        assert "1 of 3" in text_of(app, "#head")
        texts = {"base": "It depends on many things, as ever.", "tuned": "Yes."}
        assert pane(app, "left") == ("left", texts[first.left])
        assert pane(app, "right") == ("right", texts[first.right])
        shown = [str(widget.visual) for widget in app.screen.query(Static)]
        assert not any(word in " ".join(shown) for word in ("tuned", "base", "token"))
        left, right = (app.screen.query_one(f"#{where}", VotePane) for where in ("left", "right"))
        assert left.styles.border_top == right.styles.border_top
        assert left.styles.border_title_color == right.styles.border_title_color


async def test_votes_by_keys_undo_and_the_result(make_app: MakeApp, run: RunDirectory) -> None:
    sitting = ready_sitting(run, 5)
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await sit_down(app, pilot)
        await until(pilot, lambda: pane(app, "left")[1])
        keys = [key_for(sitting, "tuned", 0), "t", "b", "s"]
        for number, key in enumerate(keys, start=2):
            await pilot.press(key)
            await until(pilot, lambda n=number: f"{n} of 5" in text_of(app, "#head"))
        assert [one.outcome for one in load_votes(run)] == ["tuned", "tie", "both_bad", "skip"]
        await pilot.press("backspace")
        await until(pilot, lambda: "4 of 5" in text_of(app, "#head"))
        await pilot.press("2" if key_for(sitting, "base", 3) == "right" else "1")
        await until(pilot, lambda: "5 of 5" in text_of(app, "#head"))
        await pilot.press("0")
        await until(pilot, lambda: isinstance(app.screen, VoteResultScreen))
        await until(pilot, lambda: "win rate" in text_of(app, "#results > Static"))
        shown = text_of(app, "#results > Static")
        assert "tuned against base: win rate 50 %" in shown
        assert "kind 0" in shown
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        assert "Everything here is voted on" in text_of(app, "#note")
        await pilot.press("left")
        assert len(load_votes(run)) == 5
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))


async def test_another_day_goes_on_and_another_voter_begins_anew(
    make_app: MakeApp, run: RunDirectory
) -> None:
    sitting = ready_sitting(run, 4)
    for place in sitting.plan("ada")[:2]:
        vote(run, sitting, place.item, "tie")
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await sit_down(app, pilot)
        await until(pilot, lambda: "3 of 4" in text_of(app, "#head"))
        third = sitting.plan("ada")[2]
        assert f"Question {third.item}?" in text_of(app, "#question > Static")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, LineDialog))
        await pilot.press("ctrl+u", *"bob", "enter")
        await until(pilot, lambda: "voter bob" in text_of(app, "#head"))
        assert "1 of 4" in text_of(app, "#head")
        await pilot.press("t")
        await until(pilot, lambda: [one.voter for one in load_votes(run)][-1] == "bob")


async def test_reveal_after_each_vote(make_app: MakeApp, run: RunDirectory) -> None:
    sitting = ready_sitting(run, 2)
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await sit_down(app, pilot)
        await until(pilot, lambda: pane(app, "left")[1])
        place = sitting.plan("ada")[0]
        await pilot.press("r", "left")
        await until(pilot, lambda: pane(app, "left")[0] == f"left: {place.left}")
        assert pane(app, "right")[0] == f"right: {place.right}"
        assert "Your vote: left." in text_of(app, "#note")
        await pilot.press("right")
        assert len(load_votes(run)) == 1
        await pilot.press("enter")
        await until(pilot, lambda: pane(app, "left")[0] == "left")
        assert f"Question {sitting.plan('ada')[1].item}?" in text_of(app, "#question > Static")
        await pilot.press("s")
        await until(pilot, lambda: "skipped" in text_of(app, "#note"))
        await pilot.press("u")
        await until(pilot, lambda: pane(app, "left")[0] == "left")
        assert len(load_votes(run)) == 1


async def test_voting_begins_with_the_first_answers(
    make_app: MakeApp, run: RunDirectory, paths: Paths, answers: list[FakeAnswers]
) -> None:
    save_prompts(paths, "mine", prompts(6))
    app = make_app(screen="compare")

    def reply(request: int, *numbers: int) -> None:
        for number in numbers:
            for side in ("base", "tuned"):
                event = {"event": "answer", "id": request, "side": side, "prompt": number}
                answers[-1].emit({**event, "text": f"{side} {number}", "tokens": 2})

    async with app.run_test(size=(80, 24)) as pilot:
        await go_to_vote(app, pilot)
        await pilot.press("down", "enter")
        await picking(app, pilot, "two sides")
        await pilot.press("enter")
        await until(pilot, lambda: answers and len(answers[-1].requests) == 1)
        (sitting,) = list_sittings(run)
        assert (sitting.prompt_set, sitting.sides) == ("mine", ("base", "tuned"))
        answers[-1].emit({"event": "loading", "message": "loading \x1b[31mweights"})
        await until(pilot, lambda: "loading weights" in text_of(app, "#note"))
        await pilot.press("left")
        assert load_votes(run) == []
        reply(1, 0)
        await until(pilot, lambda: pane(app, "left")[1].endswith("0"))
        answers[-1].emit({"event": "done", "id": 1})
        await until(pilot, lambda: len(answers[-1].requests) == 5)
        asked = [messages[-1]["content"] for messages, _ in answers[-1].requests]
        assert asked == [sitting.items[p.item].text for p in sitting.plan("ada")[:5]]
        await pilot.press("t")
        await until(pilot, lambda: "2 of 6" in text_of(app, "#head"))
        assert pane(app, "left")[1] == "..."
        answers[-1].emit({"event": "error", "id": 5, "what": HOSTILE, "next_step": "Wait."})
        await until(pilot, lambda: "Enter tries again" in text_of(app, "#failure"))
        assert "\x1b" not in text_of(app, "#failure")
        await pilot.press("enter")
        await until(pilot, lambda: len(answers) == 2 and answers[-1].requests)
        assert answers[0].closed
        await pilot.press("escape")
        await until(pilot, lambda: answers[-1].closed)


async def test_equal_answers_become_a_tie_only_by_a_key(
    make_app: MakeApp, run: RunDirectory
) -> None:
    ready_sitting(run, 1, base="Same.", tuned="Same.")
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await sit_down(app, pilot)
        await until(pilot, lambda: "same text" in text_of(app, "#note"))
        assert load_votes(run) == []
        await pilot.press("t")
        await until(pilot, lambda: load_votes(run))


async def test_hostile_text_is_inert(make_app: MakeApp, run: RunDirectory) -> None:
    sitting = new_sitting(run, ("base", "tuned"), prompts(2, HOSTILE), prompt_set=HOSTILE)
    keep_answers(run, sitting, base=HOSTILE, tuned=HOSTILE + "\n[bold]x")
    vote(run, sitting, 0, "base", HOSTILE)
    vote(run, sitting, 0, "base", "bob")
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await sit_down(app, pilot)
        await until(pilot, lambda: "[/INST]" in pane(app, "left")[1])
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, VoteResultScreen))
        await until(pilot, lambda: "by [/INST]" in text_of(app, "#results > Static"))
        assert "\x1b" not in text_of(app, "#results > Static") + pane_texts(app)


def pane_texts(app: WorkbenchApp) -> str:
    return "".join(
        str(widget.visual) for screen in app.screen_stack for widget in screen.query(Static)
    )


async def test_both_answers_scroll_together(make_app: MakeApp, run: RunDirectory) -> None:
    ready_sitting(run, 1, base="line\n" * 60, tuned="row\n" * 50)
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await sit_down(app, pilot)
        await until(pilot, lambda: pane(app, "left")[1])
        panes = list(app.screen.query(VotePane))
        await pilot.press("down", "down", "pagedown")
        await until(pilot, lambda: panes[0].scroll_y > 10)
        assert panes[0].scroll_y == panes[1].scroll_y
        await pilot.press("pageup", "up", "up")
        await until(pilot, lambda: panes[0].scroll_y == panes[1].scroll_y == 0)


async def test_a_long_conversation_is_shown_from_its_end(
    make_app: MakeApp, run: RunDirectory
) -> None:
    system = {"role": "system", "content": "Be brief. \x1b[2J"}
    earlier = {"role": "assistant", "content": "and so on\n" * 9}
    ask = {"role": "user", "content": "Last question?"}
    both = {side: {"text": side, "finish": "eos"} for side in ("base", "tuned")}
    save_comparison(run, Asked([system, ask, earlier, ask], Sampling()), both)
    new_sitting(run, ("base", "tuned"), None)
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await sit_down(app, pilot)
        await until(pilot, lambda: "Be brief." in text_of(app, "#question > Static"))
        assert "\x1b" not in text_of(app, "#question > Static")
        question = app.screen.query_one("#question")
        await until(pilot, lambda: question.scroll_y == question.max_scroll_y > 0)
        assert question.size.height == 5
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: question.scroll_y == question.max_scroll_y - 1)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: question.scroll_y == question.max_scroll_y)


async def test_export_and_train_from_the_result(
    make_app: MakeApp, run: RunDirectory, paths: Paths, tmp_path: Path
) -> None:
    sitting = ready_sitting(run, 3, base="Base {n}.", tuned="Tuned {n}.")
    for item in range(3):
        vote(run, sitting, item, "tuned")
    folder = run.output("dpo")
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text('{"r": 8}')
    (folder / "adapter_model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await sit_down(app, pilot)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, VoteResultScreen))
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, LineDialog))
        target = tmp_path / "pairs.jsonl"
        app.screen.query_one(Input).value = str(target)
        await pilot.press("enter")
        await until(pilot, target.exists)
        assert len(target.read_text().splitlines()) == 3
        await until(pilot, lambda: isinstance(app.screen, VoteResultScreen))
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, NameDialog))
        name = app.screen.query_one(Input).value
        assert name.endswith("-votes")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
        assert len((paths.recipes / f"{name}.jsonl").read_text().splitlines()) == 3
        assert "trained on votes" in (paths.recipes / f"{name}.yaml").read_text()
        await until(pilot, lambda: not app.screen.query_one("#yes").disabled)
        assert "starts from small's final adapter" in text_of(app, "#summary")
        await pilot.press("enter")
        await until(pilot, lambda: len(list(paths.runs.iterdir())) == 2)
        child = next(one for one in paths.runs.iterdir() if one.name != run.id)
        await until(pilot, lambda: json.loads((child / "run.json").read_text())["parent"] == run.id)


async def test_from_the_runs_and_a_file_of_prompts(
    make_app: MakeApp, run: RunDirectory, tmp_path: Path, answers: list[FakeAnswers]
) -> None:
    file = tmp_path / "own.txt"
    file.write_text("One\nTwo\n")
    app = make_app(screen="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.rows and getattr(app.screen, "row", None))
        await pilot.press("b")
        await picking(app, pilot, "on what")
        await pilot.press("end", "enter")
        await until(pilot, lambda: isinstance(app.screen, LineDialog))
        await pilot.press(*"nothing", "enter")
        await until(pilot, lambda: "no such file" in text_of(app, "#complaint"))
        app.screen.query_one(Input).value = str(file)
        await pilot.press("enter")
        await picking(app, pilot, "two sides")
        await pilot.press("down", "enter")
        await until(pilot, lambda: answers and answers[-1].requests)
        (sitting,) = list_sittings(run)
        assert (sitting.prompt_set, sitting.sides) == ("own", ("base", "dpo"))
        await until(pilot, lambda: isinstance(app.screen, VoteScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))


async def test_the_sides_of_the_panes_are_offered_first(
    make_app: MakeApp, run: RunDirectory
) -> None:
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.rows)
        app.compare_run(run.id, (Seat("dpo", "dpo"), Seat("base", "base")))
        await until(pilot, lambda: not app.asked_sides)
        await go_to_vote(app, pilot)
        await pilot.press("home", "enter")
        await picking(app, pilot, "two sides")
        assert isinstance(app.screen, PickDialog)
        words = [option.plain for option in app.screen._options]
        assert words == ["dpo and base", "base and tuned (dpo)"]


async def test_escape_from_the_first_choice_leaves(make_app: MakeApp, run: RunDirectory) -> None:
    app = make_app(screen="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await go_to_vote(app, pilot)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_how_it_looks(
    make_app: MakeApp, run: RunDirectory, snap_compare: Callable[..., bool], size: tuple[int, int]
) -> None:
    ready_sitting(run, 7, base="It depends on many things, as ever. " * 9, tuned="Yes {n}.")

    async def sit(pilot: Pilot[Any]) -> None:
        assert isinstance(pilot.app, WorkbenchApp)
        await sit_down(pilot.app, pilot)
        await until(pilot, lambda: pane(pilot.app, "left")[1])

    assert snap_compare(make_app(screen="compare"), terminal_size=size, run_before=sit)


def test_how_the_result_looks(
    make_app: MakeApp, run: RunDirectory, snap_compare: Callable[..., bool]
) -> None:
    sitting = ready_sitting(run, 9)
    for item in range(8):
        vote(run, sitting, item, "tuned" if item % 4 else "base")
        vote(run, sitting, item, ("tuned", "tie", "base")[item % 3], "bob")

    async def count(pilot: Pilot[Any]) -> None:
        assert isinstance(pilot.app, WorkbenchApp)
        await sit_down(pilot.app, pilot)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(pilot.app.screen, VoteResultScreen))
        await until(pilot, lambda: "win rate" in text_of(pilot.app, "#results > Static"))

    assert snap_compare(make_app(screen="compare"), terminal_size=(80, 24), run_before=count)
