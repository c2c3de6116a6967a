"""Choosing, marking, tagging and importing runs in the list."""

from __future__ import annotations

import json
from collections.abc import Callable

from foreign_states import dpo_state, write_output
from textual.widgets import Input, Static, TextArea
from tui_fakes import HOSTILE, NOW, FakeLauncher, make_run, write_record
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.run.notes import change_notes, read_notes
from workbench.run.query import parse_key
from workbench.tui.app import WorkbenchApp
from workbench.tui.dialogs.line import LineDialog
from workbench.tui.dialogs.notes import NotesDialog
from workbench.tui.dialogs.notice import NoticeDialog
from workbench.tui.history import companions, heading
from workbench.tui.screens.overlay import OverlayScreen
from workbench.tui.screens.runs import RunsScreen
from workbench.tui.widgets.row_table import RowTable

MakeApp = Callable[..., WorkbenchApp]
NAMES = ("one", "two", "three")


def make_three(paths: Paths) -> None:
    for number, name in enumerate(NAMES):
        state = "failed" if name == "three" else "finished"
        run = make_run(
            paths, f"20270115-07000{number}-{name}", state=state, name=name, step=40 * (number + 1),
            finished=NOW - 60,
        )  # fmt: skip
        run.path.chmod(0o700)
        run.record.chmod(0o600)
    change_notes(run, add=["baseline"])


def shown(app: WorkbenchApp) -> list[str]:
    """The names of the listed runs, in their order."""
    table = app.screen.query_one(RowTable)
    if not table.display:
        return []
    return [row.key.rpartition("-")[2] for row in table._rows]


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)


def lines_of(app: WorkbenchApp) -> str:
    return "\n".join(line.plain for line in app.screen.query_one(RowTable)._shown)


async def test_the_list_is_filtered_and_sorted_as_one_types(
    make_app: MakeApp, paths: Paths
) -> None:
    make_three(paths)
    app = make_app(screen="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        assert shown(app) == ["three", "two", "one"]
        await pilot.press("slash")
        app.screen.query_one("#filter", Input).value = "state:fin sort:loss"
        await until(pilot, lambda: shown(app) == ["two", "one"])
        assert "2 of 3 runs, by loss" in text_of(app, "#said")
        heading_line = text_of(app, "#heading")
        assert heading_line.split()[-1] == "loss"
        app.screen.query_one("#filter", Input).value = "beta=0.1 -tag:baseline sort:-best:eval_loss"
        await until(pilot, lambda: "best:eval_loss" in text_of(app, "#said"))
        assert shown(app) == ["one", "two"]
        await pilot.press("enter")
        assert isinstance(app.focused, type(app.screen.query_one(RowTable).rows))
        await pilot.press("escape")
        await until(pilot, lambda: len(shown(app)) == 3)
        assert not app.screen.query_one("#said").display


async def test_a_query_that_cannot_be_read_says_so_and_the_list_stays(
    make_app: MakeApp, paths: Paths
) -> None:
    make_three(paths)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("slash", *"one")
        await until(pilot, lambda: shown(app) == ["one"])
        app.screen.query_one("#filter", Input).value = "one beta>"
        await until(pilot, lambda: "has no value" in text_of(app, "#said"))
        assert shown(app) == ["one"]
        app.screen.query_one("#filter", Input).value = f"{HOSTILE}<1"
        await until(pilot, lambda: "no value" not in text_of(app, "#said"))
        assert "\x1b" not in text_of(app, "#said")
        app.screen.query_one("#filter", Input).value = "nobody"
        await until(pilot, lambda: shown(app) == [])
        assert "No run fulfils this" in text_of(app, "#none")
        await pilot.press("escape")
        await until(pilot, lambda: len(shown(app)) == 3)


async def test_the_query_holds_when_a_run_changes(make_app: MakeApp, paths: Paths) -> None:
    make_three(paths)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("slash")
        app.screen.query_one("#filter", Input).value = "state:failed"
        await until(pilot, lambda: shown(app) == ["three"])
        one = app.actions.directory(next(row.id for row in app.rows if row.name == "one"))
        write_record(one, state="failed")
        app.read_runs()
        await until(pilot, lambda: shown(app) == ["three", "one"])


async def test_tags_and_a_note_are_written_in_a_dialog(make_app: MakeApp, paths: Paths) -> None:
    make_three(paths)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, NotesDialog))
        tags = app.screen.query_one("#tags", Input)
        assert tags.value == "baseline"
        tags.value = "baseline two=words"
        await pilot.press("enter")
        await until(pilot, lambda: "`two=words` is no tag" in text_of(app, "#complaint"))
        tags.value = "sweep, #new"
        app.screen.query_one(TextArea).text = "Why it failed.\nTwice."
        # Somebody else writes meanwhile.
        run = app.actions.directory(app.rows[0].id)
        change_notes(run, add=["others"])
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await until(pilot, lambda: "#sweep #new" in text_of(app, "#story"))
        notes = read_notes(run)
        assert notes.tags == ("others", "sweep", "new")
        assert notes.text == "Why it failed.\nTwice."
        assert "#others #swe" in lines_of(app)
        assert "Why it failed." in text_of(app, "#story")


async def test_hostile_tags_and_notes_are_inert(make_app: MakeApp, paths: Paths) -> None:
    run = make_run(paths, state="finished")
    run.notes.write_text(json.dumps({"tags": [HOSTILE, "[@click=app.quit]x[/]"], "note": HOSTILE}))
    app = make_app(screen="runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "[/INST]" in text_of(app, "#story"))
        assert "[@click" in lines_of(app)
        assert "\x1b" not in lines_of(app) + text_of(app, "#story")
        run.path.chmod(0o700)
        run.record.chmod(0o600)
        app.read_runs()
        await until(pilot, lambda: not app.rows[0].distrust)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, NotesDialog))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_runs_of_others_get_no_dialog(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths, state="finished").path.chmod(0o777)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("t")
        await pilot.pause()
        assert isinstance(app.screen, RunsScreen)


async def test_marks_are_signs_in_the_rows_and_go_with_their_runs(
    make_app: MakeApp, paths: Paths
) -> None:
    make_three(paths)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("space", "space")
        assert [line[12:14] for line in lines_of(app).split("\n")] == ["* ", "* ", "  "]
        await pilot.press("up", "up", "space")
        assert [line[12:14] for line in lines_of(app).split("\n")] == ["  ", "* ", "  "]
        await pilot.press("escape")
        assert "*" not in lines_of(app)
        await pilot.press("home", "space", "space", "o")
        await until(pilot, lambda: isinstance(app.screen, OverlayScreen))


async def test_overlay_without_marks_takes_the_newest_of_its_kind(
    make_app: MakeApp, paths: Paths
) -> None:
    make_three(paths)
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        first, second, _ = app.rows
        assert companions(first, app.rows) == (first.id, second.id)
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, OverlayScreen))


async def test_overlay_of_one_run_alone_says_what_to_do(make_app: MakeApp, paths: Paths) -> None:
    make_run(paths, state="finished")
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.rows and app.focused)
        await pilot.press("o")
        await pilot.pause()
        assert isinstance(app.screen, RunsScreen)


async def test_an_imported_run_is_listed_and_has_no_weights(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    write_output(paths.data / "out", dpo_state(15))
    app = make_app(screen="runs")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.runs_known)
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, LineDialog))
        app.screen.query_one(Input).value = str(paths.data / "nothing")
        await pilot.press("enter")
        await until(pilot, lambda: "no such file" in text_of(app, "#complaint"))
        app.screen.query_one(Input).value = str(paths.data / "out")
        await pilot.press("enter")
        await until(pilot, lambda: app.rows and app.focused)
        await until(pilot, lambda: "only its curves are here" in text_of(app, "#story"))
        assert "#imported" in lines_of(app)
        await pilot.press("R", "c", "e", "f", "Q", "b")
        await pilot.pause()
        assert isinstance(app.screen, RunsScreen)
        assert launcher.calls == []
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, LineDialog))
        app.screen.query_one(Input).value = str(paths.data / "out")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, NoticeDialog))


def test_a_long_key_keeps_its_end() -> None:
    assert heading(parse_key("eval_rewards/margins")) == "…wards/margins"
    assert heading(parse_key("beta")) == "beta"
