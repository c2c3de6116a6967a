"""The editor, by keyboard alone."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from editor_helpers import MakeApp, editor, go_to, line_of, row_of, text_of, type_value
from textual.widgets import Static, TextArea
from tui_fakes import RECIPE, FakeLauncher
from tui_waiting import until

from workbench.base.paths import Paths
from workbench.base.problems import Problem
from workbench.recipe.recipe import Recipe
from workbench.run.deep import DeepReport
from workbench.tui.dialogs.checklist import ChecklistDialog
from workbench.tui.dialogs.confirm import ConfirmDialog
from workbench.tui.dialogs.name import NameDialog
from workbench.tui.dialogs.pick import PickDialog
from workbench.tui.dialogs.read import ReadDialog
from workbench.tui.dialogs.review import ReviewDialog
from workbench.tui.dialogs.text import TextDialog
from workbench.tui.screens.editor import EditorScreen
from workbench.tui.screens.recipes import RecipesScreen


async def test_an_edit_is_marked_checked_added_up_and_saved(
    make_app: MakeApp, paths: Paths
) -> None:
    file = paths.recipes / "small.yaml"
    async with editor(make_app, file) as (app, pilot):
        assert "40 steps" in text_of(app, "#totals")
        await type_value(app, pilot, "80", "dpo", "max_steps")
        assert "1 unsaved change" in text_of(app, "#name")
        assert line_of(app, "dpo", "max_steps").startswith("•")
        await until(pilot, lambda: "80 steps" in text_of(app, "#totals"))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not app.screen.unsaved)
        assert file.read_text(encoding="utf-8") == RECIPE.replace("40", "80")


async def test_a_value_that_is_being_typed_is_saved_too(make_app: MakeApp, paths: Paths) -> None:
    file = paths.recipes / "small.yaml"
    async with editor(make_app, file) as (app, pilot):
        go_to(app, "dpo", "max_steps")
        await pilot.press("enter", "ctrl+u", *"80")
        assert app.screen.unsaved
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not app.screen.unsaved)
        assert file.read_text(encoding="utf-8") == RECIPE.replace("40", "80")


async def test_a_wrong_value_is_reported_with_its_place(make_app: MakeApp, paths: Paths) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        await type_value(app, pilot, "much", "dpo", "beta")
        await until(pilot, lambda: "small.yaml:" in text_of(app, "#problems"))
        assert "beta" in text_of(app, "#problems")
        await until(pilot, lambda: line_of(app, "dpo", "beta").startswith("!"))
        go_to(app, "title")
        await pilot.press("n")
        assert app.screen.form.current.path == ("dpo", "beta")


async def test_a_value_is_checked_while_it_is_typed_and_escape_forgets_it(
    make_app: MakeApp, paths: Paths
) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        go_to(app, "dpo", "max_steps")
        await pilot.press("enter", "ctrl+u", *"77")
        await until(pilot, lambda: "77 steps" in text_of(app, "#totals"))
        await pilot.press("escape")
        await until(pilot, lambda: "40 steps" in text_of(app, "#totals"))
        assert not app.screen.unsaved


async def test_help_of_the_focused_setting_is_trls_own(make_app: MakeApp, paths: Paths) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        go_to(app, "lora_dropout")
        await until(pilot, lambda: text_of(app, "#help-text").startswith("lora_dropout"))
        assert "default 0.05" in text_of(app, "#help-text")
        go_to(app, "lora_r")
        await until(pilot, lambda: "here from line 7" in text_of(app, "#help-text"))


async def test_switches_and_choices_work_by_keyboard(make_app: MakeApp, paths: Paths) -> None:
    file = paths.recipes / "small.yaml"
    async with editor(make_app, file) as (app, pilot):
        go_to(app, "use_rslora")
        await pilot.press("space")
        go_to(app, "dtype")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PickDialog))
        await pilot.press("up", "enter")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        go_to(app, "lr_scheduler_type")
        await pilot.press("right", "right", "left")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not app.screen.unsaved)
        text = file.read_text(encoding="utf-8")
        assert "use_rslora: true" in text
        assert "dtype: float16" in text
        assert "lr_scheduler_type: cosine\n" in text


async def test_turning_a_switch_back_is_no_change(make_app: MakeApp, paths: Paths) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        go_to(app, "use_rslora")
        await pilot.press("space")
        assert app.screen.unsaved
        await pilot.press("space")
        assert not app.screen.unsaved


async def test_undo_and_redo_go_to_the_setting(make_app: MakeApp, paths: Paths) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        await type_value(app, pilot, "64", "lora_r")
        await type_value(app, pilot, "0.3", "dpo", "beta")
        go_to(app, "title")
        await pilot.press("u", "ctrl+z")
        assert not app.screen.unsaved
        assert app.screen.form.current.path == ("lora_r",)
        await pilot.press("ctrl+y", "ctrl+r")
        assert row_of(app, "dpo", "beta").value == 0.3


async def test_one_setting_goes_back_to_the_file_or_the_default(
    make_app: MakeApp, paths: Paths
) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        await type_value(app, pilot, "64", "lora_r")
        await type_value(app, pilot, "32", "lora_alpha")
        go_to(app, "lora_r")
        await pilot.press("backspace")
        assert (row_of(app, "lora_r").value, row_of(app, "lora_alpha").value) == (8, 32)
        await pilot.press("delete")
        assert row_of(app, "lora_r").value is None
        assert "16  default" in line_of(app, "lora_r")


async def test_a_search_leaves_what_it_finds(make_app: MakeApp, paths: Paths) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        every = app.screen.form.found
        await pilot.press("slash", *"lora rank")
        await until(pilot, lambda: 0 < app.screen.form.found < every / 10)
        await pilot.press("enter")
        assert app.focused is app.screen.form.lines
        await pilot.press("slash", "ctrl+u", *"beta", "enter")
        await until(pilot, lambda: app.screen.form.current is row_of(app, "dpo", "beta"))
        assert "In the help of" in app.screen.form.lines.lines
        await pilot.press("escape")
        assert isinstance(app.screen, EditorScreen)
        assert app.screen.form.found == every


async def test_losses_are_chosen_with_their_weights(make_app: MakeApp, paths: Paths) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        go_to(app, "dpo", "loss_type")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChecklistDialog))
        await pilot.press("down", "down", "space", "left", "left", "enter")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert row_of(app, "dpo", "loss_type").value == ["sigmoid", "ipo"]
        assert row_of(app, "dpo", "loss_weights").value == [1.0, 0.8]
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChecklistDialog))
        await pilot.press("down", "down", "space", "enter")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert row_of(app, "dpo", "loss_type").value == ["sigmoid"]
        assert row_of(app, "dpo", "loss_weights").value is None


async def test_target_modules_are_those_of_the_model(make_app: MakeApp, paths: Paths) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        go_to(app, "lora_target_modules")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChecklistDialog))
        await pilot.press("down", "space", "enter")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert row_of(app, "lora_target_modules").value == ["q_proj", "v_proj", "k_proj"]
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChecklistDialog))
        await pilot.press("home", "space", "enter")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert row_of(app, "lora_target_modules").value == ["all-linear"]


async def test_a_checklist_without_a_choice_says_so(make_app: MakeApp, paths: Paths) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        go_to(app, "dpo", "loss_type")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChecklistDialog))
        await pilot.press("space", "enter")
        assert "Choose one" in text_of(app, "#complaint")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert not app.screen.unsaved


async def test_data_sets_are_added_edited_and_taken_out(make_app: MakeApp, paths: Paths) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        place = ("dpo", "datasets")
        await type_value(app, pilot, "data/more.jsonl", *place, 1)
        await type_value(app, pilot, "train[:5]", *place, 1, "split")
        added = {"path": "json", "data_files": "data/more.jsonl", "split": "train[:5]"}
        assert app.screen.draft.now.recipe.data["dpo"]["datasets"][1] == added
        go_to(app, *place, 0, "path")
        await pilot.press("delete")
        assert app.screen.draft.now.recipe.data["dpo"]["datasets"] == [added]
        go_to(app, *place, 0, "path")
        await pilot.press("delete")
        assert "datasets" not in app.screen.draft.now.recipe.data["dpo"]


async def test_what_is_longer_than_its_place_can_be_read_in_full(
    make_app: MakeApp, paths: Paths
) -> None:
    file = paths.recipes / "small.yaml"
    wrong = "".join(f"no_such_key_{number}: 1\n" for number in range(12))
    file.write_text(RECIPE + wrong, encoding="utf-8")
    async with editor(make_app, file, sign="no_such_key_11") as (app, pilot):
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, ReadDialog))
        assert "no_such_key_11" in text_of(app, "VerticalScroll Static")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        go_to(app, "dpo", "loss_type")
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, ReadDialog))
        assert "apo_zero" in text_of(app, "VerticalScroll Static")


async def test_the_deeper_check_is_asked_on_a_key_and_ended_with_the_screen(
    make_app: MakeApp, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ended = threading.Event()

    def look(recipe: Recipe, paths: Paths, *, begun: Callable[..., None]) -> DeepReport:
        asked.append(recipe.text)
        begun(ended.set)
        if len(asked) > 1:
            assert ended.wait(10)
        return DeepReport([Problem("the tokenizer has no token <zz>")], looked=True)

    monkeypatch.setattr("workbench.run.deep.deep_check", look)
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        await type_value(app, pilot, "2", "lora_r")
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, ReadDialog))
        assert "no token <zz>" in text_of(app, "VerticalScroll Static")
        assert "lora_r: 2" in asked[0]
        await pilot.press("escape", "c")
        await until(pilot, lambda: len(asked) == 2)
        await pilot.press("escape", "y")
        await until(pilot, ended.is_set)


async def test_the_raw_view_edits_the_same_text(make_app: MakeApp, paths: Paths) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        go_to(app, "lora_r")
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, TextDialog))
        area = app.screen.query_one(TextArea)
        assert area.cursor_location[0] == 6
        await pilot.press("end", "0", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert row_of(app, "lora_r").value == 80
        await pilot.press("u")
        assert not app.screen.unsaved


async def test_the_raw_view_takes_nothing_that_does_not_read(
    make_app: MakeApp, paths: Paths
) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, TextDialog))
        await pilot.press("[", "ctrl+s")
        assert "not valid YAML" in text_of(app, "#complaint")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert not app.screen.unsaved


async def test_prompts_are_edited_one_a_line(make_app: MakeApp, paths: Paths) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        go_to(app, "probe_prompts")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TextDialog))
        await pilot.press("end", "enter", *"Who", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert row_of(app, "probe_prompts").value == ["Why is the sky blue?", "Who"]


async def test_the_diff_shows_what_is_unsaved(make_app: MakeApp, paths: Paths) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        await type_value(app, pilot, "64", "lora_r")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, ReadDialog))
        shown = str(app.screen.query_one("VerticalScroll Static", Static).visual)
        assert "-lora_r: 8" in shown
        assert "+lora_r: 64" in shown


async def test_an_emptied_value_takes_the_default_again(make_app: MakeApp, paths: Paths) -> None:
    file = paths.recipes / "small.yaml"
    async with editor(make_app, file) as (app, pilot):
        await type_value(app, pilot, "", "lora_alpha")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not app.screen.unsaved)
        assert file.read_text(encoding="utf-8") == RECIPE.replace("lora_alpha: 16\n", "")


async def test_a_shipped_recipe_is_saved_as_a_copy(make_app: MakeApp, paths: Paths) -> None:
    from workbench.recipe.recipe import SHIPPED

    shipped = SHIPPED / "quickstart.yaml"
    before = shipped.read_text(encoding="utf-8")
    async with editor(make_app, shipped, "shipped") as (app, pilot):
        await type_value(app, pilot, "Mine", "title")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, NameDialog))
        await pilot.press("enter")
        copy = paths.recipes / "my-quickstart.yaml"
        await until(pilot, copy.exists)
        await until(pilot, lambda: isinstance(app.screen, EditorScreen) and not app.screen.unsaved)
        assert "title: Mine" in copy.read_text(encoding="utf-8")
        assert shipped.read_text(encoding="utf-8") == before
        await until(pilot, lambda: "no problems" in text_of(app, "#problems"))


async def test_leaving_with_edits_asks_and_no_is_the_default(
    make_app: MakeApp, paths: Paths
) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        await type_value(app, pilot, "x", "title")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert app.screen.unsaved
        await pilot.press("ctrl+q")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("n", "escape", "y")
        await until(pilot, lambda: isinstance(app.screen, RecipesScreen))


@pytest.mark.parametrize("theirs", [b"# theirs\n", "# caf\xe9\n".encode("latin-1")])
async def test_another_programs_change_is_not_overwritten_silently(
    make_app: MakeApp, paths: Paths, theirs: bytes
) -> None:
    """Row 10."""
    file = paths.recipes / "small.yaml"
    async with editor(make_app, file) as (app, pilot):
        file.write_bytes(RECIPE.encode() + theirs)
        await type_value(app, pilot, "x", "title")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, PickDialog))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert file.read_bytes().endswith(theirs)
        assert app.screen.unsaved


async def test_a_file_with_windows_line_ends_is_no_conflict(
    make_app: MakeApp, paths: Paths
) -> None:
    """Row 10."""
    file = paths.recipes / "small.yaml"
    file.write_bytes(RECIPE.replace("\n", "\r\n").encode())
    async with editor(make_app, file) as (app, pilot):
        await type_value(app, pilot, "x", "title")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not app.screen.unsaved)
        assert b"\r\n" in file.read_bytes()
        assert file.read_bytes().count(b"\r\n") == RECIPE.count("\n")


async def test_f5_saves_and_launches(
    make_app: MakeApp, paths: Paths, launcher: FakeLauncher
) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        await type_value(app, pilot, "4", "lora_r")
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, ReviewDialog))
        await until(pilot, lambda: not app.screen.query_one("#yes").disabled)
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "monitor")
        run = paths.runs / launcher.calls[0][1]
        assert "lora_r: 4" in (run / "recipe.yaml").read_text(encoding="utf-8")


async def test_a_conflict_can_be_looked_at_and_settled(make_app: MakeApp, paths: Paths) -> None:
    """Row 10."""
    file = paths.recipes / "small.yaml"
    async with editor(make_app, file) as (app, pilot):
        await type_value(app, pilot, "Mine", "title")
        file.write_text(RECIPE.replace("lora_r: 8", "lora_r: 2"), encoding="utf-8")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, PickDialog))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ReadDialog))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, PickDialog))
        await pilot.press("end", "enter")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert row_of(app, "lora_r").value == 2
        assert not app.screen.unsaved
        await pilot.press("u")
        assert row_of(app, "title").value == "Mine"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not app.screen.unsaved)
        assert "title: Mine" in file.read_text(encoding="utf-8")


async def test_arrows_and_pages_move_through_the_form(make_app: MakeApp, paths: Paths) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        assert app.screen.form.current is row_of(app, "title")
        await pilot.press("down")
        assert app.screen.form.current is row_of(app, "description")
        await pilot.press("pagedown")
        assert app.screen.form.current is row_of(app, "use_peft")
        await pilot.press("pageup")
        assert app.screen.form.current is row_of(app, "title")


async def test_tab_takes_a_value_and_goes_on(make_app: MakeApp, paths: Paths) -> None:
    async with editor(make_app, paths.recipes / "small.yaml") as (app, pilot):
        go_to(app, "lora_r")
        await pilot.press("enter", "ctrl+u", "4", "tab")
        await until(pilot, lambda: row_of(app, "lora_r").value == 4)
        assert app.screen.form.current is row_of(app, "lora_alpha")


async def test_a_recipe_that_does_not_read_can_be_mended_as_text(
    make_app: MakeApp, paths: Paths
) -> None:
    broken = paths.recipes / "broken.yaml"
    broken.write_text("beta: [0.1\n# \x1b[31m\n", encoding="utf-8")
    async with editor(make_app, broken, sign="not allowed in YAML") as (app, pilot):
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, TextDialog))
        await pilot.press("end", "]", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert row_of(app, "beta").value == [0.1]
