"""The editor: a recipe as a form, checked while one types."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from workbench.base.paths import safe_name
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import read_small
from workbench.tui.checking import Checked, check_text, totals_line
from workbench.tui.dialogs.confirm import ConfirmDialog
from workbench.tui.form import SHARED, KeyPath, Setting, settings, to_text
from workbench.tui.messages import Failed, RecipeChecked
from workbench.tui.render import join, lines, next_line, path_text, plain, problem_line
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.setting_form import SettingForm
from workbench.tui.widgets.setting_row import SettingRow

DEBOUNCE_SECONDS = 0.3
NEEDS_FORM = ("save", "save_as", "run", "undo")


class EditorScreen(WorkbenchScreen):
    """Edits one recipe.

    Args:
        path: Its file.
        origin: `shipped`, `user` or `local`; a shipped one is saved as a copy.
    """

    MODE = "recipes"
    CSS_PATH = "editor.tcss"
    HELP_TITLE = "Editor"
    HELP_TEXT = (
        "Every value is one of TRL's own settings; an empty one takes TRL's default. Comments and "
        "order of the file stay as they are. Up and down move, page up and page down go from "
        "section to section, left, right or enter change a choice, space turns a switch."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", id="editor.save", tooltip="Save the recipe"),
        Binding("f2", "save_as", "Save as", id="editor.save-as", tooltip="Save under a new name"),
        Binding(
            "f5,r",
            "run",
            "Run",
            key_display="f5",
            id="editor.run",
            tooltip="Save, look the recipe over and start training",
        ),
        Binding(
            "ctrl+z",
            "undo",
            "Undo value",
            id="editor.undo",
            tooltip="Give this setting its saved value again",
        ),
        Binding(
            "escape,q",
            "leave",
            "Back",
            key_display="esc",
            id="editor.leave",
            tooltip="Back to the list; asks when there are unsaved changes",
        ),
        Binding("f1,question_mark", "app.help", "Help", key_display="f1", id="editor.help"),
    ]

    def __init__(self, path: Path, origin: str) -> None:
        super().__init__()
        self._path = path
        self._origin = origin
        self._text = ""
        self._changes: dict[KeyPath, Any] = {}
        self._number = 0
        self._timer: Timer | None = None
        self._checked: Checked | None = None
        self._loaded = False

    @property
    def unsaved(self) -> bool:
        """Whether there are edits that no file holds."""
        return bool(self._changes)

    def compose_body(self) -> ComposeResult:
        """Name, form and help, totals, problems."""
        yield Static("", id="name", markup=False)
        with Horizontal(id="middle"), VerticalScroll(id="help", can_focus=False):
            yield Static("", id="help-text", markup=False)
        with VerticalScroll(id="verdict", can_focus=False):
            yield Static("Checking ...", id="totals", markup=False)
            yield Static("", id="problems", markup=False)

    def on_mount(self) -> None:
        """Read the file and build the form of it."""
        self._show_name()
        self.call_next(self._load)

    async def _load(self) -> None:
        from workbench.recipe.recipe import load_recipe

        try:
            recipe = load_recipe(self._path)
        except ProblemError as error:
            self._show_checked(Checked(None, error.problems, ()))
            await self.query_one("#middle").mount(
                Static(_unreadable(self._path), id="unreadable"), before=0
            )
            self.refresh_bindings()
            return
        self._text = recipe.text
        self._loaded = True
        form = SettingForm(settings(recipe))
        await self.query_one("#middle").mount(form, before=0)
        first = next((row for row in form.rows if not row.setting.fixed), None)
        if first is not None:
            first.children[1].focus()
        self._check_soon(at_once=True)

    def _show_name(self) -> None:
        count = len(self._changes)
        note = "shipped: saving makes a copy of your own" if self._origin == "shipped" else ""
        state = f"{count} unsaved change{'s' if count > 1 else ''}" if count else note
        style = "$accent" if count else "$muted"
        self.query_one("#name", Static).update(
            join(plain(self._path.stem, style="bold"), ("   " + state, style))
        )

    @on(events.DescendantFocus)
    def _focus_moved(self) -> None:
        form = self.query(SettingForm)
        row = form.first().current if form else None
        if row is not None:
            self.query_one("#help-text", Static).update(_help(row.setting))
            self.query_one("#help").scroll_home(animate=False)

    @on(SettingRow.Changed)
    def _setting_changed(self, event: SettingRow.Changed) -> None:
        setting = event.row.setting
        if event.value is setting.value or _same(event.value, setting):
            self._changes.pop(setting.path, None)
        else:
            self._changes[setting.path] = event.value
        event.row.mark(changed=setting.path in self._changes)
        self._show_name()
        self._check_soon()

    def _check_soon(self, *, at_once: bool = False) -> None:
        self._number += 1
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(0.001 if at_once else DEBOUNCE_SECONDS, self._check)

    def _check(self) -> None:
        number, changes = self._number, dict(self._changes)
        self.run_worker(
            lambda: self._check_in_thread(number, changes),
            thread=True,
            exclusive=True,
            exit_on_error=False,
            group="check",
        )

    def _check_in_thread(self, number: int, changes: dict[KeyPath, Any]) -> None:
        from workbench.recipe.yaml_edit import edit

        try:
            text = edit(self._text, changes)
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
        rows = [totals_line(stage, totals) for stage, totals in checked.totals]
        self.query_one("#totals", Static).update(lines(*rows))
        problems = [problem_line(problem) for problem in checked.problems]
        good = Content.styled("✓ no problems", "$success")
        self.query_one("#problems", Static).update(lines(*problems) if problems else good)
        self.set_class(bool(checked.problems), "-faulty")
        for row in self.query(SettingRow):
            row.mark(faulty=any(_concerns(problem, row.setting) for problem in checked.errors))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A file that does not read can only be left."""
        return None if action in NEEDS_FORM and not self._loaded else True

    def action_undo(self) -> None:
        """Give the setting under the cursor its saved value again."""
        form = self.query(SettingForm)
        row = form.first().current if form else None
        if row is not None:
            row.undo()

    def action_save(self) -> None:
        """Save in place, or under a new name where that is not possible."""
        self._save()

    def action_save_as(self) -> None:
        """Save under a new name among the user's recipes."""
        self._save_as()

    def action_run(self) -> None:
        """Save what is unsaved, then look the recipe over."""
        if self.unsaved:
            self._save(then=self._review)
        else:
            self._review()

    def _review(self) -> None:
        self.bench.actions.review(self._path, self._path.stem)

    def _save(self, then: Callable[[], None] | None = None) -> None:
        if self._origin == "shipped":
            self._save_as(then)
            return
        if not self.unsaved and self._path.exists():
            self.bench.say("Nothing has changed since the last save.")
        elif self._changed_on_disk():
            text = plain("Another program changed the file since you opened it.")
            dialog = ConfirmDialog("Overwrite it?", text, yes="Overwrite")
            self.app.push_screen(dialog, lambda yes: self._write(None, then) if yes else None)
        else:
            self._write(None, then)

    def _changed_on_disk(self) -> bool:
        try:
            return read_small(self._path) != self._text
        except FileNotFoundError:
            return False
        except (OSError, UnicodeDecodeError):
            return True

    def _save_as(self, then: Callable[[], None] | None = None) -> None:
        from workbench.tui.dialogs.name import NameDialog

        prefix = "my-" if self._origin == "shipped" else ""
        suffix = "" if self._origin == "shipped" else "-2"
        name = safe_name(f"{prefix}{self._path.stem}{suffix}")
        text = join("It goes to ", path_text(self.bench.services.paths.recipes), ".")
        taken = self.bench.services.recipe_taken
        dialog = NameDialog("Save the recipe as", text, value=name, taken=taken)
        self.app.push_screen(dialog, lambda name: self._write(name, then) if name else None)

    def _write(self, name: str | None, then: Callable[[], None] | None) -> None:
        """Write the edited text to its own file (no name) or to a new one."""
        from workbench.recipe.catalog import Catalog
        from workbench.recipe.yaml_edit import edit

        services = self.bench.services
        catalog = Catalog(services.paths, services.cwd)
        try:
            text = edit(self._text, self._changes)
            if name is None:
                catalog.save(self._path, text)
            else:
                self._path = catalog.save_as(text, name, source=self._path)
                self._origin = "user"
        except ProblemError as error:
            self.app.post_message(Failed("The recipe could not be saved", error.problems))
            return
        self._saved()
        self.bench.say(f"Saved {self._path.name}.")
        if then is not None:
            then()

    def _saved(self) -> None:
        """What is in the file now is what later edits are compared with."""
        from workbench.recipe.recipe import load_recipe

        self._changes.clear()
        try:
            recipe = load_recipe(self._path)
        except ProblemError as error:
            self._show_checked(Checked(None, error.problems, ()))
            return
        self._text = recipe.text
        known = {setting.path: setting for setting in settings(recipe)}
        for row in self.query(SettingRow):
            row.setting = known.get(row.setting.path, row.setting)
            row.mark(changed=False)
        self._show_name()
        self._check_soon(at_once=True)

    def action_leave(self) -> None:
        """Back to the list, not without a question when edits would be lost."""
        if not self.unsaved:
            self._leave()
            return
        text = plain(f"{len(self._changes)} unsaved changes would be lost.")
        dialog = ConfirmDialog("Leave without saving?", text, yes="Leave")
        self.app.push_screen(dialog, lambda yes: self._leave() if yes else None)

    def _leave(self) -> None:
        from workbench.tui.screens.recipes import RecipesScreen

        self._changes.clear()
        below = self.app.screen_stack[-2] if len(self.app.screen_stack) > 1 else None
        self.app.pop_screen()
        if isinstance(below, RecipesScreen):
            below.select(self._path)


def _same(value: Any, setting: Setting) -> bool:
    """Whether a new value is what the file says, or TRL's default where the file is silent."""
    if setting.value is None and value is not None:
        return setting.kind != "text" and bool(value == setting.default)
    return type(value) is type(setting.value) and bool(value == setting.value)


def _unreadable(path: Path) -> Content:
    step = "Mend it in a text editor, then press escape and enter to open it again."
    return lines(
        plain("This file cannot be shown as a form; what is wrong with it stands below.\n"),
        join(("file  ", "$muted"), path_text(path)),
        next_line(step),
    )


def _concerns(problem: Problem, setting: Setting) -> bool:
    """Whether a problem names a setting (`beta` or `dpo.beta`)."""
    found = re.search(rf"(?:\b(sft|dpo)\.)?\b{re.escape(setting.key)}\b", problem.what)
    if found is None:
        return False
    return found[1] is None or setting.stage in (found[1], SHARED)


def _help(setting: Setting) -> Content:
    default = to_text(setting.default) or "none"
    own = setting.path[-1] in ("title", "description", "probe_prompts")
    facts = "" if own else f"  {setting.type_name}, default {default}"
    where = "" if setting.stage == SHARED else f", {setting.stage} only"
    head = join(plain(setting.key, style="bold $primary"), (facts + where, "$muted"))
    choices = f" One of: {', '.join(setting.choices)}." if setting.choices else ""
    return lines(head, plain(" ".join(setting.help.split()) + choices))
