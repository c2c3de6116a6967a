"""The data screen: what it shows, asks for, keeps and writes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_fakes import RULES, FakeData
from textual.pilot import Pilot
from textual.widgets import Button, Input, Static
from tui_fakes import FakeLauncher, make_run
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.tui.app import WorkbenchApp
from workbench.tui.data_pages import PAGE_ROWS
from workbench.tui.dialogs.checklist import ChecklistDialog
from workbench.tui.dialogs.line import LineDialog
from workbench.tui.dialogs.notice import NoticeDialog
from workbench.tui.dialogs.read import ReadDialog
from workbench.tui.dialogs.review import ReviewDialog
from workbench.tui.screens.data import DataScreen
from workbench.tui.screens.data_row import DataRowScreen
from workbench.tui.screens.data_rows import DataRowsScreen
from workbench.tui.screens.data_xray import XrayScreen
from workbench.tui.screens.editor import EditorScreen
from workbench.tui.screens.recipes import RecipesScreen
from workbench.tui.widgets.row_table import RowTable
from workbench.tui.widgets.row_window import RowWindow

MakeApp = Callable[..., WorkbenchApp]


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)


def pane(app: WorkbenchApp, name: str) -> str:
    return text_of(app, f"#{name} > Static")


def notices(app: WorkbenchApp) -> list[str]:
    return [notice.message for notice in app._notifications]


async def listed(app: WorkbenchApp, pilot: Pilot[Any], name: str = "small") -> None:
    await until(pilot, lambda: isinstance(app.screen, RecipesScreen) and app.screen.entry)
    while app.screen.entry.name != name:
        await pilot.press("j")


async def on(app: WorkbenchApp, pilot: Pilot[Any], kind: type) -> None:
    await until(pilot, lambda: isinstance(app.screen, kind), kind.__name__)


async def opened(app: WorkbenchApp, pilot: Pilot[Any]) -> None:
    """The data of the recipe `small`, read and measured."""
    await listed(app, pilot)
    await pilot.press("d")
    await on(app, pilot, DataScreen)
    await until(pilot, lambda: "kept" in text_of(app, "#lengths"), "the lengths")


async def browsing(app: WorkbenchApp, pilot: Pilot[Any], key: str = "r") -> None:
    await opened(app, pilot)
    await pilot.press(key)
    await on(app, pilot, DataRowsScreen)
    window = app.screen.query_one(RowWindow)
    await until(pilot, lambda: window._pages.total is not None and window._pages.at(0))


def lines_of(app: WorkbenchApp) -> list[str]:
    """The rows in sight."""
    window = app.screen.query_one(RowWindow)
    return [window.render_line(y).text for y in range(window.size.height)]


async def test_the_last_stage_of_a_recipe_is_read_judged_and_measured(
    make_app: MakeApp, paths: Paths, looks: list[FakeData]
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        job = looks[0].job
        assert (job.stage, job.files) == ("dpo", (paths.recipes / "data" / "prefs.jsonl",))
        assert "dpo data" in text_of(app, "#head")
        assert "mapped: prompt <- question" in text_of(app, "#shape")
        assert "96% sure" in text_of(app, "#shape")
        assert "12 rows → 11 pairs" in text_of(app, "#counts")
        assert "1 unusable" in text_of(app, "#counts")
        assert "chosen is longer in 55%" in text_of(app, "#counts")
        lengths = text_of(app, "#lengths")
        assert "10 kept" in lengths
        assert "1 dropped" in lengths
        assert "max_length 512" in lengths
        assert "84 steps" in lengths
        assert "23%" in lengths
        assert "│" in lengths


async def test_findings_stand_with_the_worst_first(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        table = app.screen.query_one(RowTable)
        assert [row.key for row in table._rows] == [
            "identical_answers", "control_characters", "answer_truncated", "duplicate_prompt"
        ]  # fmt: skip
        assert [str(row.cells[0]) for row in table._rows] == ["✗", "!", "!", "·"]
        assert "gradient is zero" in text_of(app, "#why")
        await pilot.press("down")
        await until(pilot, lambda: "learns to write" in text_of(app, "#why"))


async def test_a_set_without_findings_says_so(make_app: MakeApp) -> None:
    app = make_app(data={"rules": {}, "hold": ["tokens"]})
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app, pilot)
        await pilot.press("d")
        await on(app, pilot, DataScreen)
        await until(pilot, lambda: "No findings" in text_of(app, "#none"))
        await pilot.press("enter")
        await on(app, pilot, DataRowsScreen)


async def test_while_it_is_read_progress_is_told_and_the_first_rows_are_there(
    make_app: MakeApp, looks: list[FakeData]
) -> None:
    app = make_app(data={"hold": ["scan", "rows"], "rows": 900})
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app, pilot)
        await pilot.press("d")
        await on(app, pilot, DataScreen)
        await until(pilot, lambda: looks and looks[0].asked("scan"))
        await pilot.press("r", "t", "f")
        assert isinstance(app.screen, DataScreen)
        assert len(notices(app)) == 3
        data = looks[0]
        words = {"message": "reading the rows", "done": 30, "of": 120, "rows": 12345}
        data.emit({"event": "progress", "id": 1, **words})
        await until(pilot, lambda: "25%" in text_of(app, "#counts"))
        assert "12,345 rows" in text_of(app, "#counts")
        first = [data.short(number) for number in range(1, 51)]
        data.emit({"event": "first", "id": 1, "rows": first})
        await pilot.press("r")
        await on(app, pilot, DataRowsScreen)
        await until(pilot, lambda: "(1) Why" in lines_of(app)[0])
        await pilot.press("escape", "escape")
        await on(app, pilot, RecipesScreen)


async def test_coming_back_reads_nothing_twice(make_app: MakeApp, looks: list[FakeData]) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("escape")
        await on(app, pilot, RecipesScreen)
        await opened(app, pilot)
        assert len(looks) == 1
        assert len(looks[0].asked("scan")) == 1
        await pilot.press("ctrl+r")
        await until(pilot, lambda: len(looks) == 2 and looks[0].closed)
    assert looks[1].ended.wait(10)


async def test_changed_files_are_read_anew(
    make_app: MakeApp, paths: Paths, looks: list[FakeData]
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("escape")
        await on(app, pilot, RecipesScreen)
        with (paths.recipes / "data" / "prefs.jsonl").open("a") as file:
            file.write("{}\n")
        await opened(app, pilot)
        assert len(looks) == 2


async def test_s_shows_the_other_stage_and_comes_back_to_what_was_read(
    make_app: MakeApp, looks: list[FakeData]
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("s")
        await until(pilot, lambda: "sft data" in text_of(app, "#head"))
        assert [look.job.stage for look in looks] == ["dpo", "sft"]
        await pilot.press("s")
        await until(pilot, lambda: "dpo data" in text_of(app, "#head"))
        assert len(looks) == 2


async def test_many_pairs_are_measured_in_part_and_only_when_asked(
    make_app: MakeApp, looks: list[FakeData]
) -> None:
    app = make_app(data={"rows": 20_000})
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app, pilot)
        await pilot.press("d")
        await on(app, pilot, DataScreen)
        await until(pilot, lambda: "20,000 rows" in text_of(app, "#counts"))
        assert not looks[0].asked("tokens")
        await pilot.press("t")
        await until(pilot, lambda: "5,000 pairs measured" in text_of(app, "#lengths"))
        await pilot.press("t")
        await until(pilot, lambda: "84 steps" in text_of(app, "#lengths"))
        assert looks[0].asked("tokens") == [5000, 0]


async def test_a_finding_leads_to_its_rows_and_escape_back_to_all(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await browsing(app, pilot, "enter")
        await until(pilot, lambda: "3 of 12 rows" in text_of(app, "#head"))
        assert RULES["identical_answers"]["title"] in text_of(app, "#head")
        assert [line.split()[0] for line in lines_of(app)[:3]] == ["3", "7", "12"]
        assert lines_of(app)[0].split()[1] == "✗"
        await pilot.press("down", "enter")
        await on(app, pilot, DataRowScreen)
        await until(pilot, lambda: "row 7 " in text_of(app, "#head"))
        assert "2 of 3" in text_of(app, "#head")
        await pilot.press("n")
        await until(pilot, lambda: "row 12 " in text_of(app, "#head"))
        await pilot.press("right")
        assert "last row" in notices(app)[-1]
        await pilot.press("escape")
        await on(app, pilot, DataRowsScreen)
        assert app.screen.query_one(RowWindow).cursor == 2
        await pilot.press("escape")
        await until(pilot, lambda: "12 rows" in text_of(app, "#head"))
        assert isinstance(app.screen, DataRowsScreen)
        await pilot.press("escape")
        await on(app, pilot, DataScreen)


async def test_pages_come_as_one_scrolls(make_app: MakeApp, looks: list[FakeData]) -> None:
    app = make_app(data={"rows": 100_000})
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app, pilot)
        await pilot.press("d")
        await on(app, pilot, DataScreen)
        await until(pilot, lambda: "100,000" in text_of(app, "#counts"))
        await pilot.press("r")
        await on(app, pilot, DataRowsScreen)
        await until(pilot, lambda: "(1)" in lines_of(app)[0])
        await pilot.press("G")
        await until(pilot, lambda: lines_of(app)[-1].split()[0] == "100000", "the last row")
        asked = [start for start, _, rule, _ in looks[0].asked("rows") if not rule]
        assert max(asked) == 100_000 - PAGE_ROWS
        assert len(asked) <= 4
        await pilot.press("pageup", "home", "j", "k", "g")
        await until(pilot, lambda: "(1)" in lines_of(app)[0])


async def test_search_shows_the_rows_with_these_words(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await browsing(app, pilot)
        await pilot.press("slash")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press(*"(1", "enter")
        await until(pilot, lambda: "4 of 12 rows" in text_of(app, "#head"))
        assert "with (1" in text_of(app, "#head")
        await pilot.press("slash", "ctrl+u", *"nowhere", "enter")
        await until(pilot, lambda: "No such row" in text_of(app, "#none"))
        await pilot.press("escape")
        await until(pilot, lambda: "12 rows" in text_of(app, "#head"))


async def test_a_row_marks_what_differs_and_says_what_was_found(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await browsing(app, pilot, "enter")
        await pilot.press("enter")
        await on(app, pilot, DataRowScreen)
        await until(pilot, lambda: "sky blue" in pane(app, "prompt"))
        await until(pilot, lambda: "scatters" in pane(app, "chosen"))
        assert "chosen and rejected are the same: twice" in text_of(app, "#findings")
        content = app.screen.query_one("#chosen > Static", Static).visual
        marked = [str(content)[s.start : s.end] for s in content.spans if "underline" in str(s)]
        assert "far" in marked
        left, right = app.screen.query_one("#chosen"), app.screen.query_one("#rejected")
        assert left.region.y == right.region.y
        await pilot.press("m")
        await until(pilot, lambda: "m marks" in str(right.border_subtitle))
        await pilot.press("v")
        await on(app, pilot, ReadDialog)


async def test_without_colour_differences_have_signs(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await browsing(app, pilot)
        await pilot.press("enter")
        await on(app, pilot, DataRowScreen)
        await until(pilot, lambda: "{+far+}" in pane(app, "chosen"))
        assert "[-because-]" in pane(app, "rejected")
        await pilot.press("x")
        await on(app, pilot, XrayScreen)
        await until(pilot, lambda: ">> far" in pane(app, "chosen"))
        assert "-- cut here: 9 tokens are lost --" in pane(app, "rejected")
        assert "{<|im_end|>}|" in pane(app, "chosen")


async def test_answers_stand_below_each_other_where_it_is_narrow(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(66, 24)) as pilot:
        await browsing(app, pilot)
        await pilot.press("enter")
        await on(app, pilot, DataRowScreen)
        left, right = app.screen.query_one("#chosen"), app.screen.query_one("#rejected")
        await until(pilot, lambda: left.region.height and left.region.y < right.region.y)
        assert left.region.x == right.region.x


async def test_tokens_of_a_pair(make_app: MakeApp, looks: list[FakeData]) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await browsing(app, pilot)
        await pilot.press("x")
        await on(app, pilot, XrayScreen)
        await until(pilot, lambda: "im_end" in pane(app, "chosen"))
        assert "rejected loses 9" in text_of(app, "#verdict")
        assert "differ from token 5" in text_of(app, "#verdict")
        assert "not scored" in str(app.screen.query_one("#prompt").border_title)
        assert "18 tokens, scored" in str(app.screen.query_one("#chosen").border_title)
        assert "▶ far│" in pane(app, "chosen")
        await pilot.press("i")
        await until(pilot, lambda: "Air:7│" in pane(app, "chosen"))
        await pilot.press("right")
        await until(pilot, lambda: "row 2" in text_of(app, "#head"))
        await until(pilot, lambda: "im_end" in pane(app, "chosen"))
        assert looks[0].asked("xray") == [(1, 0), (2, 0)]


async def test_an_xray_that_fails_says_so_and_the_next_row_is_asked_for(
    make_app: MakeApp, looks: list[FakeData]
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await browsing(app, pilot)
        looks[0].refuse["xray"] = {"what": "no tokenizer is known", "next_step": "Name a recipe."}
        await pilot.press("x")
        await on(app, pilot, XrayScreen)
        await until(pilot, lambda: "no tokenizer is known" in text_of(app, "#verdict"))
        assert len(looks[0].asked("xray")) == 1
        del looks[0].refuse["xray"]
        await pilot.press("right")
        await until(pilot, lambda: "im_end" in pane(app, "chosen"))


async def test_a_row_is_shown_by_its_beginning_while_the_process_is_busy(
    make_app: MakeApp, looks: list[FakeData]
) -> None:
    app = make_app(data={"hold": ["row"]})
    async with app.run_test(size=(80, 24)) as pilot:
        await browsing(app, pilot)
        await pilot.press("enter")
        await on(app, pilot, DataRowScreen)
        await until(pilot, lambda: "scatters" in pane(app, "chosen"))
        assert "Reading the row" in text_of(app, "#findings")
        await until(pilot, lambda: looks[0].asked("row"))
        looks[0].answer("row")
        await until(
            pilot, lambda: "letters" in str(app.screen.query_one("#chosen").border_subtitle)
        )


async def test_a_cleaned_copy_is_written_by_rule_and_never_over_a_file(
    make_app: MakeApp, paths: Paths, looks: list[FakeData]
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("f")
        await on(app, pilot, ChecklistDialog)
        shown = str(app.screen.query_one("Rows").get_option_at_index(0).prompt)
        assert "leaves 3 rows out" in shown
        await pilot.press("down", "space", "enter")
        await on(app, pilot, LineDialog)
        field = app.screen.query_one(Input)
        assert field.value.endswith("prefs.clean.jsonl")
        await pilot.press("ctrl+u", *str(paths.recipes / "data" / "prefs.jsonl"), "enter")
        await until(pilot, lambda: "nothing is overwritten" in text_of(app, "#complaint"))
        out = paths.recipes / "clean.jsonl"
        await pilot.press("ctrl+u", *str(out), "enter")
        await on(app, pilot, DataScreen)
        await until(pilot, lambda: "9 rows kept, 3 left out" in text_of(app, "#result"))
        assert looks[0].asked("fix") == [(out, ["identical_answers"])]


async def test_a_copy_that_cannot_be_written_is_said(
    make_app: MakeApp, looks: list[FakeData]
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        looks[0].refuse["fix"] = {"what": "the disk is full", "next_step": "Free some space."}
        await pilot.press("f", "enter")
        await on(app, pilot, LineDialog)
        await pilot.press("enter")
        await on(app, pilot, NoticeDialog)


async def test_a_file_is_opened_from_the_palette(
    make_app: MakeApp, tmp_path: Path, looks: list[FakeData]
) -> None:
    (tmp_path / "mine.jsonl").write_text("{}\n", encoding="utf-8")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app, pilot)
        found = {command.title: command.callback for command in app.get_system_commands(app.screen)}
        found["Data: look at a file ..."]()
        await on(app, pilot, LineDialog)
        await pilot.press(*"no.jsonl", "enter")
        await until(pilot, lambda: "no such file" in text_of(app, "#complaint"))
        await pilot.press("ctrl+u", *"mine.jsonl", "enter")
        await on(app, pilot, DataScreen)
        await until(pilot, lambda: "12 rows" in text_of(app, "#counts"))
        assert looks[0].job.files == (tmp_path / "mine.jsonl",)
        assert "tokenizer" in text_of(app, "#lengths")
        await pilot.press("t", "s")
        assert not looks[0].asked("tokens")
        await pilot.press("r")
        await on(app, pilot, DataRowsScreen)
        await until(pilot, lambda: "(1)" in lines_of(app)[0])
        await pilot.press("x")
        assert isinstance(app.screen, DataRowsScreen)


async def test_the_editor_opens_the_data_too(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app, pilot)
        await pilot.press("enter")
        await on(app, pilot, EditorScreen)
        await pilot.press("f6")
        await on(app, pilot, DataScreen)
        await pilot.press("escape")
        await on(app, pilot, EditorScreen)


async def test_a_recipe_whose_data_are_not_there_says_so(make_app: MakeApp, paths: Paths) -> None:
    (paths.recipes / "data" / "prefs.jsonl").unlink()
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app, pilot)
        await pilot.press("d")
        await on(app, pilot, NoticeDialog)


async def test_data_that_cannot_be_read_are_a_sentence_and_asked_for_again(
    make_app: MakeApp, looks: list[FakeData]
) -> None:
    app = make_app(data={"hold": ["scan"]})
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app, pilot)
        await pilot.press("d")
        await on(app, pilot, DataScreen)
        await until(pilot, lambda: looks and looks[0].asked("scan"))
        looks[0].emit({"event": "error", "id": 1, "what": "it is a picture", "next_step": "Name"})
        await until(pilot, lambda: "it is a picture" in text_of(app, "#counts"))
        await pilot.press("escape")
        await on(app, pilot, RecipesScreen)
        await pilot.press("d")
        await until(pilot, lambda: len(looks) == 2, "it is read again")


async def test_a_process_that_has_died_reads_again_before_it_is_asked(
    make_app: MakeApp, looks: list[FakeData]
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await browsing(app, pilot)
        looks[0].alive = False
        await pilot.press("enter")
        await on(app, pilot, DataRowScreen)
        left = app.screen.query_one("#chosen")
        await until(pilot, lambda: "letters" in str(left.border_subtitle))
        names = [name for name, _ in looks[0].requests]
        assert names.count("scan") == 2
        assert names.index("row") > names.index("scan", 1)


async def test_lines_that_are_no_rows_are_listed(make_app: MakeApp, looks: list[FakeData]) -> None:
    broken = {"title": "lines that are no rows", "severity": "error", "count": 2, "rows": []}
    app = make_app(data={"rules": {"broken_line": broken}, "hold": ["scan"]})
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app, pilot)
        await pilot.press("d")
        await on(app, pilot, DataScreen)
        await until(pilot, lambda: looks and looks[0].asked("scan"))
        looks[0].about_all += [
            {"rule": "broken_line", "line": line, "detail": "it is not JSON"} for line in (7, 9)
        ]
        looks[0].answer("scan")
        await until(pilot, lambda: "line 7: it is not JSON" in text_of(app, "#why"))
        await pilot.press("enter")
        await on(app, pilot, ReadDialog)
        shown = "\n".join(str(static.visual) for static in app.screen.query(Static))
        assert "line 9: it is not JSON" in shown


async def test_a_process_that_cannot_be_started_is_a_sentence(make_app: MakeApp) -> None:
    def fail(job: Any, on_event: Any) -> FakeData:
        raise OSError("no such program")

    app = make_app(data_looks=fail)
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app, pilot)
        await pilot.press("d")
        await on(app, pilot, DataScreen)
        await until(pilot, lambda: "no such program" in text_of(app, "#counts"))


async def test_nothing_is_asked_on_the_event_loop(make_app: MakeApp, looks: list[FakeData]) -> None:
    threads: list[str] = []

    def make(job: Any, on_event: Any) -> FakeData:
        threads.append(threading.current_thread().name)
        looks.append(FakeData(job, on_event))
        return looks[-1]

    app = make_app(data_looks=make)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        assert threads != [threading.main_thread().name]


async def test_the_start_of_a_run_lets_processes_go_whose_data_nobody_sees(
    make_app: MakeApp, paths: Paths, looks: list[FakeData]
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        app.looking.rest()
        assert not looks[0].closed
        await pilot.press("escape")
        await on(app, pilot, RecipesScreen)
        app.looking.rest()
        await until(pilot, lambda: looks[0].closed)


async def reviewed(app: WorkbenchApp, pilot: Pilot[Any]) -> None:
    await pilot.press("r")
    await on(app, pilot, ReviewDialog)
    await until(pilot, lambda: "data" in text_of(app, "#summary"))


async def test_the_launch_dialog_tells_of_the_data_and_shows_them(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app, pilot)
        await reviewed(app, pilot)
        words = "sft 64 rows · dpo 11 pairs, 4 findings (1 error)"
        await until(pilot, lambda: words in text_of(app, "#summary"))
        await until(pilot, lambda: isinstance(app.focused, Button))
        await pilot.press("d")
        await on(app, pilot, DataScreen)
        await until(pilot, lambda: "kept" in text_of(app, "#lengths"))
        await pilot.press("escape")
        await on(app, pilot, ReviewDialog)
        await until(pilot, lambda: words in text_of(app, "#summary"))


async def test_no_model_is_fetched_to_count_tokens(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.tui.data_subjects.model_is_here", lambda *_: False)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app, pilot)
        await reviewed(app, pilot)
        await until(pilot, lambda: "dpo 11 pairs" in text_of(app, "#summary"))
        look = app.screen.look
        assert look is not None
        assert not look.measuring
        assert not look.tokens


async def test_a_launch_that_would_train_nothing_is_refused_with_the_reason(
    make_app: MakeApp, launcher: FakeLauncher
) -> None:
    app = make_app(data={"rows": 2})
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app, pilot)
        await reviewed(app, pilot)
        await until(pilot, lambda: "zero steps" in text_of(app, "#problems"))
        assert app.screen.query_one("#yes", Button).disabled
        app.screen.query_one(Input).focus()
        await pilot.press("enter")
        assert isinstance(app.screen, ReviewDialog)
        assert not launcher.calls


async def test_a_resize_keeps_everything_in_sight(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths, state="finished")
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await pilot.resize_terminal(80, 24)
        lengths = app.screen.query_one("#lengths", Static)
        await until(pilot, lambda: lengths.region.bottom <= 23 and lengths.region.height > 5)
        assert all(len(line) <= 78 for line in text_of(app, "#lengths").split("\n"))
