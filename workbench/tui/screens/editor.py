"""The editor: a recipe as a form, checked while one types."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, OptionList, Static

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.yaml_edit import REMOVE, edit
from workbench.recipe.yaml_file import Path as KeyPath
from workbench.tui.checking import Checked, check_text, totals_lines
from workbench.tui.draft import difference, value_at
from workbench.tui.form import SHARED, Setting, added_set, settings
from workbench.tui.messages import DeepLooked, Failed, RecipeChecked
from workbench.tui.picking import pick
from workbench.tui.render import join, lines, next_line, path_text, plain, problem_line
from workbench.tui.screens.draft_screen import After, DraftScreen
from workbench.tui.screens.editor_keys import KEYS
from workbench.tui.setting_help import choice_lines, setting_help
from workbench.tui.typed import from_text
from workbench.tui.widgets.setting_list import CellInput, SettingList, typed_now
from workbench.tui.widgets.steady_input import SteadyInput

DEBOUNCE_SECONDS = 0.3
OPENING_SECONDS = 0.1
NEEDS_FORM = (
    *("edit", "type", "turn", "step", "reset", "restore", "search", "next_problem", "info"),
    *("save_as", "run", "save", "deep"),
)
LETTERS = ("search", "undo")
"""Actions whose keys are letters, which go into an input instead."""
NEEDS_TEXT = ("undo", "redo", "diff", "raw")


class EditorScreen(DraftScreen):
    """Edits one recipe."""

    MODE = "recipes"
    CSS_PATH = "editor.tcss"
    HELP_TITLE = "Editor"
    HELP_TEXT = (
        "Every value is one of TRL's own settings; where it says default, the file says nothing. "
        "Comments and order of the file stay as they are. Page up and page down go from section "
        "to section. • marks what differs from the file, ! what has a problem."
    )
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(self, path: Path, origin: str) -> None:
        super().__init__(path, origin)
        self._number = 0
        self._timer: Timer | None = None
        self._checked: Checked | None = None
        self._rows: list[Setting] = []
        self._read_problems: tuple[Problem, ...] = ()
        self._end_look: Callable[[], None] | None = None

    def compose_body(self) -> ComposeResult:
        """Name, form and help, totals, problems. What the keys do depends on the file."""
        # One picture of the whole instead of one for each part that comes to its place.
        self.app.delay_update(OPENING_SECONDS)
        self._read_problems = self.open_file()
        recipe = self._draft.now.recipe if self._draft else None
        yield Static("", id="name", markup=False)
        yield SteadyInput(id="search", placeholder="words of a setting's name or help")
        with Horizontal(id="middle"):
            with Vertical(id="left"):
                yield SettingList()
                yield Static("", id="unreadable", markup=False)
            with VerticalScroll(id="help", can_focus=False):
                yield Static("", id="help-text", markup=False)
        with VerticalScroll(id="verdict", can_focus=False):
            # As high as what the check will say where nothing is wrong, so that nothing moves then.
            stages = [
                plain(stage, style="bold $accent") for stage in (recipe.stages if recipe else ())
            ]
            yield Static(lines(*stages), id="totals", markup=False)
            yield Static("Checking ...", id="problems", markup=False)

    def on_mount(self) -> None:
        """Show what the file holds."""
        if self._read_problems:
            self._show_unreadable(self._read_problems)
        else:
            self.show_draft()

    @property
    def unsaved(self) -> bool:
        """Whether there are edits that no file holds, be it a value that is being typed."""
        return super().unsaved or (self._draft is not None and self.form.half_typed)

    @property
    def form(self) -> SettingList:
        """The settings."""
        return self.query_one(SettingList)

    def show_draft(self) -> None:
        """Show the draft as it is now, and check it."""
        now = self.draft.now
        self._show_name()
        self.set_class(now.recipe is None, "-unreadable")
        if now.recipe is None:
            self._show_unreadable(now.problems)
            self._check_soon(now.text, at_once=True)
            return
        self._rows = settings(now.recipe)
        changed = [row.path for row in self._rows if self.draft.is_changed(row.path)]
        self.form.show(self._rows, changed)
        if self.focused is None:
            self.set_focus(self.form.lines)
        self._show_help()
        self._check_soon(now.text, at_once=True)

    def _show_unreadable(self, problems: tuple[Problem, ...]) -> None:
        self.add_class("-unreadable")
        self._show_name()
        step = "Press y to mend it here, or mend it in a text editor and open it again."
        if self._draft is None:
            step = "Press escape, and open it again once that is mended."
        self.query_one("#unreadable", Static).update(
            lines(
                plain("This file cannot be shown as a form; what is wrong with it stands below.\n"),
                join(("file  ", "$muted"), path_text(self._path)),
                next_line(step),
            )
        )
        self._show_checked(Checked(None, problems, ()))

    def _show_name(self) -> None:
        count = self.draft.unsaved_count if self.unsaved else 0
        note = "shipped: saving makes a copy of your own" if self._origin == "shipped" else ""
        state = f"{count} unsaved change{'s' if count > 1 else ''}" if count else note
        style = "$accent" if count else "$muted"
        self.query_one("#name", Static).update(
            join(plain(self._path.stem, style="bold"), ("   " + state, style))
        )

    @on(OptionList.OptionHighlighted)
    def _show_help(self) -> None:
        row = self.form.current
        self.query_one("#help-text", Static).update(setting_help(row) if row else "")
        self.query_one("#help").scroll_home(animate=False)

    @on(OptionList.OptionSelected)
    def _clicked(self) -> None:
        self.action_edit()

    def change(self, changes: Mapping[KeyPath, Any], about: KeyPath) -> None:
        """Write values into the draft; one that is the default anyway leaves it."""
        try:
            changed = self.draft.edit(self._settled(changes), about)
        except ProblemError as error:
            self.app.post_message(Failed("The value could not be written", error.problems))
            return
        if changed:
            self.show_draft()

    def _settled(self, changes: Mapping[KeyPath, Any]) -> dict[KeyPath, Any]:
        """The changes, without values that say no more than silence where the file is silent."""
        rows = {row.path: row for row in self._rows}
        result = dict(changes)
        for path, value in changes.items():
            row = rows.get(path)
            silent = value_at(self.draft.saved.recipe, path) is None
            if row and row.kind in ("switch", "choice") and silent and value == row.fallback:
                result[path] = REMOVE
        return result

    def action_edit(self) -> None:
        """Turn a switch, choose from a list, or type."""
        row = self.form.current
        if row is None:
            return
        if row.kind == "switch":
            self.action_turn()
        elif not pick(self, row):
            self.form.edit()

    def action_type(self) -> None:
        """Type the value, whatever it is."""
        if (row := self.form.current) is not None and row.kind != "long":
            self.form.edit()
        else:
            self.action_edit()

    def action_turn(self) -> None:
        """Turn a switch over; anything else is edited."""
        row = self.form.current
        if row is not None and row.kind == "switch":
            self.change({row.path: not row.effective}, row.path)
        else:
            self.action_edit()

    def action_step(self, by: int) -> None:
        """Take the next or previous of a setting's choices."""
        row = self.form.current
        if row is not None and row.kind == "choice":
            index = row.choices.index(row.effective) if row.effective in row.choices else -by
            value = row.choices[(index + by) % len(row.choices)]
            self.change({row.path: value}, row.path)
        elif row is not None and row.kind == "switch":
            self.action_turn()

    def action_reset(self) -> None:
        """Take the value out of the recipe; the first field of a data set takes the whole set."""
        row = self.form.current
        if row is None or (row.value is None and not row.in_set):
            return
        whole = row.in_set and row.key == "path"
        path = row.path[:-1] if whole else row.path
        alone = whole and len(value_at(self.draft.now.recipe, path[:-1])) == 1
        self.change({path[:-1] if alone else path: REMOVE}, row.path)

    def action_restore(self) -> None:
        """Give the setting the value that the file has."""
        row = self.form.current
        if row is not None and self.draft.is_changed(row.path):
            value = value_at(self.draft.saved.recipe, row.path)
            self.change({row.path: REMOVE if value is None else value}, row.path)

    @on(CellInput.Finished)
    def _typed(self, event: CellInput.Finished) -> None:
        self._end_typing(taken=event.taken)
        for _ in range(abs(event.move)):
            if event.move > 0:
                self.form.lines.action_cursor_down()
            else:
                self.form.lines.action_cursor_up()

    def _end_typing(self, *, taken: bool = True) -> None:
        row, text = self.form.edited, self.form.cell.value
        if row is None:
            return
        self.form.end_edit()
        if taken and text != typed_now(row):
            self.change(self._changes(row, text), row.path)
        self._check_soon(self.draft.now.text)

    def save(self, then: After = None) -> None:
        """Save, a value that is being typed included."""
        self._end_typing()
        super().save(then)

    def action_save_as(self) -> None:
        """Save under a new name, a value that is being typed included."""
        self._end_typing()
        super().action_save_as()

    def _changes(self, row: Setting, text: str) -> dict[KeyPath, Any]:
        value = from_text(row.type_name, text)
        if value is REMOVE and row.value is None:
            return {}
        recipe = self.draft.now.recipe
        return added_set(recipe, row.path, value) if row.kind == "add" else {row.path: value}

    @on(Input.Changed, "CellInput")
    def _typing(self, event: Input.Changed) -> None:
        """Check the recipe as it would be with the half-typed value."""
        row = self.form.edited
        if row is not None:
            self._check_soon(self.draft.now.text, self._changes(row, event.value))

    def action_search(self) -> None:
        """Ask for words."""
        self.add_class("-searching")
        self.set_focus(self.query_one("#search", Input))

    @on(Input.Changed, "#search")
    def _search_typed(self, event: Input.Changed) -> None:
        self.form.search(event.value)
        self._show_help()

    @on(Input.Submitted, "#search")
    def _search_done(self) -> None:
        self.set_focus(self.form.lines)

    def _end_search(self) -> None:
        row = self.form.current
        self.query_one("#search", Input).value = ""
        self.form.search("")
        self.remove_class("-searching")
        self.set_focus(self.form.lines)
        if row is not None:
            self.form.lines.go_to(row.path)

    def action_leave(self) -> None:
        """End the search, or go back to the list."""
        if self.has_class("-searching"):
            self._end_search()
        else:
            super().action_leave()

    def action_undo(self) -> None:
        """Take the last edit back."""
        self._travel(self.draft.undo(), "There is nothing to undo.")

    def action_redo(self) -> None:
        """Make the undone edit again."""
        self._travel(self.draft.redo(), "There is nothing to redo.")

    def _travel(self, about: KeyPath | None, nothing: str) -> None:
        if about is None:
            self.bench.say(nothing)
            return
        self.show_draft()
        self.form.lines.go_to(about)

    def action_diff(self) -> None:
        """Show what differs from the file."""
        from workbench.tui.dialogs.read import ReadDialog, diff_text

        changed = difference(self.draft.saved.text, self.draft.now.text)
        if changed:
            self.app.push_screen(ReadDialog("- the file   + unsaved", diff_text(changed)))
        else:
            self.bench.say("Nothing differs from the file.")

    def action_info(self) -> None:
        """Show all that is known of the setting under the cursor."""
        from workbench.tui.dialogs.read import ReadDialog

        if (row := self.form.current) is not None:
            text = lines(setting_help(row), *choice_lines(row))
            self.app.push_screen(ReadDialog(plain(row.label), text))

    def action_problems(self) -> None:
        """Show all problems; the screen has room for a few."""
        from workbench.tui.dialogs.read import ReadDialog

        problems = self._checked.problems if self._checked else ()
        if problems:
            text = lines(*map(problem_line, problems))
            self.app.push_screen(ReadDialog(f"Problems of {self._path.name}", text))
        else:
            self.bench.say("There are no problems.")

    def action_raw(self) -> None:
        """Edit the recipe as text."""
        from workbench.recipe.yaml_file import parse
        from workbench.tui.dialogs.text import TextDialog, shown_text

        now, row = self.draft.now, self.form.current
        mark = now.recipe.document.marks.get(row.path) if now.recipe and row else None
        dialog = TextDialog(
            self._path.name,
            # What nobody sees in a broken file may be what breaks it.
            now.text if now.recipe else shown_text(now.text),
            check=lambda text: tuple(parse(text, self._path.name).problems),
            line=mark.line if mark else 1,
            numbered=True,
        )
        self.app.push_screen(dialog, self._take_text)

    def _take_text(self, text: str | None) -> None:
        if text is not None and self.draft.rewrite(text):
            self.show_draft()
            self.refresh_bindings()

    def action_deep(self) -> None:
        """Ask model, tokenizer and data about the recipe, in a process of its own."""
        if self._end_look is not None:
            self.bench.say("The deeper look is not over yet.")
            return
        self.bench.say("Asking the model, its tokenizer and the data; this takes some seconds.")
        text = self.draft.now.text
        self.run_worker(
            lambda: self._look_deeper(text), thread=True, exit_on_error=False, group="deep"
        )

    def _look_deeper(self, text: str) -> None:
        from workbench.recipe.recipe import load_recipe
        from workbench.run.deep import deep_check

        recipe = load_recipe(self._path, text=text)
        report = deep_check(recipe, self.bench.services.paths, begun=self._look_begun)
        self.post_message(DeepLooked(report))

    def _look_begun(self, end: Callable[[], None]) -> None:
        self._end_look = end

    def on_unmount(self) -> None:
        """Nobody waits for a look any more."""
        if self._end_look is not None:
            self._end_look()

    @on(DeepLooked)
    def _deep_looked(self, event: DeepLooked) -> None:
        from workbench.run.deep_lines import deep_lines
        from workbench.tui.dialogs.read import ReadDialog

        event.stop()
        self._end_look = None
        problems = event.report.problems
        if self.is_current:
            told = [*map(problem_line, problems), *map(plain, deep_lines(event.report))]
            self.app.push_screen(ReadDialog(f"Deep check of {self._path.name}", lines(*told)))
        else:
            self.bench.say(f"Deep check of {self._path.name}: {len(problems)} problems.")

    def action_next_problem(self) -> None:
        """Go to the next setting that a problem names."""
        problems = self._checked.problems if self._checked else ()
        faulty = [row.path for row in self._rows if any(_concerns(p, row) for p in problems)]
        if not faulty:
            self.bench.say("No setting has a problem.")
            return
        order = [row.path for row in self._rows]
        here = order.index(self.form.current.path) if self.form.current else -1
        later = [path for path in faulty if order.index(path) > here]
        self.form.lines.go_to((later or faulty)[0])

    def action_run(self) -> None:
        """Save what is unsaved, then look the recipe over."""
        if self.unsaved:
            self.save(then=self._review)
        else:
            self._review()

    def _review(self) -> None:
        self.bench.actions.review(self._path, self._path.stem)

    def _check_soon(
        self, text: str, changes: Mapping[KeyPath, Any] | None = None, *, at_once: bool = False
    ) -> None:
        self._number += 1
        if self._timer is not None:
            self._timer.stop()
        number = self._number
        delay = 0.001 if at_once else DEBOUNCE_SECONDS
        self._timer = self.set_timer(delay, lambda: self._check(number, text, changes or {}))

    def _check(self, number: int, text: str, changes: Mapping[KeyPath, Any]) -> None:
        self.run_worker(
            lambda: self._check_in_thread(number, text, changes),
            thread=True,
            exclusive=True,
            exit_on_error=False,
            group="check",
        )

    def _check_in_thread(self, number: int, text: str, changes: Mapping[KeyPath, Any]) -> None:
        try:
            text = edit(text, changes) if changes else text
        except ProblemError as error:
            checked = Checked(None, error.problems, ())
        else:
            checked = check_text(self._path, text, self.bench.services.paths)
        self.post_message(RecipeChecked(number, checked))

    @on(RecipeChecked)
    def _recipe_checked(self, event: RecipeChecked) -> None:
        event.stop()
        if event.number == self._number:
            self._show_checked(event.checked)

    def _show_checked(self, checked: Checked) -> None:
        self._checked = checked
        self.query_one("#totals", Static).update(lines(*totals_lines(checked)))
        problems = [problem_line(problem) for problem in checked.problems]
        good = Content.styled("✓ no problems", "$success")
        self.query_one("#problems", Static).update(lines(*problems) if problems else good)
        self.set_class(bool(checked.problems), "-faulty")
        self.form.mark_faulty(
            [row.path for row in self._rows if any(_concerns(p, row) for p in checked.errors)]
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A file that does not read can only be mended as text, or left."""
        if action in LETTERS and isinstance(self.focused, Input):
            return False
        if action in NEEDS_TEXT:
            return None if self._draft is None else True
        readable = self._draft is not None and self._draft.now.recipe is not None
        return None if action in NEEDS_FORM and not readable else True


def _concerns(problem: Problem, setting: Setting) -> bool:
    """Whether a problem names a setting (`beta` or `dpo.beta`); of a data set's, by its place."""
    if setting.kind == "add":
        return False
    if setting.in_set:
        line = setting.origin.removeprefix("line ")
        return bool(line) and f":{line}:" in problem.where and setting.key in problem.what
    found = re.search(rf"(?:\b(sft|dpo)\.)?\b{re.escape(setting.key)}\b", problem.what)
    if found is None:
        return False
    return found[1] is None or setting.stage in (found[1], SHARED)
