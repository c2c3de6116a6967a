"""What the editor does with the file: open, save, save as, conflicts, leaving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workbench.base.paths import safe_name
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import read_small
from workbench.tui.dialogs.confirm import ConfirmDialog
from workbench.tui.draft import Draft, difference
from workbench.tui.messages import Failed
from workbench.tui.render import join, path_text, plain
from workbench.tui.screens.base import WorkbenchScreen

After = Callable[[], None] | None
CONFLICT_CHOICES = (
    "Show what differs between the file and mine",
    "Overwrite the file with mine",
    "Save mine under another name",
    "Load the file, and lose mine (undo brings it back)",
)


class DraftScreen(WorkbenchScreen):
    """A screen that edits one recipe.

    Args:
        path: Its file.
        origin: `shipped`, `user` or `local`; a shipped one is saved as a copy.
    """

    def __init__(self, path: Path, origin: str) -> None:
        super().__init__()
        self._path = path
        self._origin = origin
        self._draft: Draft | None = None

    @property
    def draft(self) -> Draft:
        """The recipe's text; only where the file could be read."""
        assert self._draft is not None
        return self._draft

    @property
    def unsaved(self) -> bool:
        """Whether there are edits that no file holds."""
        return self._draft is not None and self._draft.unsaved

    def open_file(self) -> tuple[Problem, ...]:
        """Read the file; why that is not possible, if so."""
        from workbench.recipe.recipe import read_text

        try:
            text = read_text(self._path, "Choose another recipe from the list.")
        except ProblemError as error:
            return error.problems
        self._draft = Draft(self._path, text)
        return ()

    def show_draft(self) -> None:
        """Show the draft as it is now."""
        raise NotImplementedError

    def action_save(self) -> None:
        """Save in place, or under a new name where that is not possible."""
        self.save()

    def action_save_as(self) -> None:
        """Save under a new name among the user's recipes."""
        self._save_as(None)

    def save(self, then: After = None) -> None:
        """Save, with a question where the file is not the one that was opened.

        Args:
            then: What comes after it.
        """
        if self._origin == "shipped":
            self._save_as(then)
            return
        theirs = self._changed_on_disk()
        if not self.unsaved and self._path.exists() and theirs is None:
            self.bench.say("Nothing has changed since the last save.")
        elif theirs is not None:
            self._ask_about(theirs, then)
        else:
            self._write(None, then)

    def _changed_on_disk(self) -> str | None:
        """The file's text where another program changed it; "" for one that does not read."""
        try:
            text = read_small(self._path)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            return ""
        return text if text != self.draft.saved.text else None

    def _ask_about(self, theirs: str, then: After) -> None:
        from workbench.tui.dialogs.pick import PickDialog

        def chosen(index: int | None) -> None:
            if index == 0:
                self._show_conflict(theirs, then)
            elif index == 1:
                self._write(None, then)
            elif index == 2:
                self._save_as(then)
            elif index == 3:
                self._load(theirs)

        title = "Another program changed the file since you opened it"
        options = [plain(choice) for choice in CONFLICT_CHOICES[: 4 if theirs else 3]]
        self.app.push_screen(PickDialog(title, options), chosen)

    def _show_conflict(self, theirs: str, then: After) -> None:
        from workbench.tui.dialogs.read import ReadDialog, diff_text

        changed = difference(theirs, self.draft.now.text) or ["The two are the same."]
        dialog = ReadDialog("- the file   + mine", diff_text(changed))
        self.app.push_screen(dialog, lambda _: self._ask_about(theirs, then))

    def _load(self, theirs: str) -> None:
        self.draft.mark_saved(self._path, theirs)
        self.show_draft()

    def _save_as(self, then: After) -> None:
        from workbench.tui.dialogs.name import NameDialog

        prefix = "my-" if self._origin == "shipped" else ""
        suffix = "" if self._origin == "shipped" else "-2"
        name = safe_name(f"{prefix}{self._path.stem}{suffix}")
        text = join("It goes to ", path_text(self.bench.services.paths.recipes), ".")
        taken = self.bench.services.recipe_taken
        dialog = NameDialog("Save the recipe as", text, value=name, taken=taken)
        self.app.push_screen(dialog, lambda name: self._write(name, then) if name else None)

    def _write(self, name: str | None, then: After) -> None:
        """Write the text to its own file (no name) or to a new one."""
        from workbench.recipe.catalog import Catalog

        services = self.bench.services
        catalog = Catalog(services.paths, services.cwd)
        text = self.draft.now.text
        try:
            if name is None:
                catalog.save(self._path, text)
            else:
                self._path = catalog.save_as(text, name, source=self._path)
                self._origin = "user"
            text = read_small(self._path)
        except (ProblemError, OSError, UnicodeDecodeError) as error:
            problems = error.problems if isinstance(error, ProblemError) else (Problem(str(error)),)
            self.app.post_message(Failed("The recipe could not be saved", problems))
            return
        self.draft.mark_saved(self._path, text)
        self.show_draft()
        self.bench.say(f"Saved {self._path.name}.")
        if then is not None:
            then()

    def action_data(self) -> None:
        """Look at the data that the file names."""
        self.bench.looking.open_recipe(self._path)

    def action_leave(self) -> None:
        """Back to the list, not without a question when edits would be lost."""
        if not self.unsaved:
            self._leave()
            return
        count = self.draft.unsaved_count
        text = plain(f"{count} unsaved change{'s' if count > 1 else ''} would be lost.")
        dialog = ConfirmDialog("Leave without saving?", text, yes="Leave")
        self.app.push_screen(dialog, lambda yes: self._leave() if yes else None)

    def _leave(self) -> None:
        from workbench.tui.screens.recipes import RecipesScreen

        self._draft = None
        below = self.app.screen_stack[-2] if len(self.app.screen_stack) > 1 else None
        self.app.pop_screen()
        if isinstance(below, RecipesScreen):
            below.select(self._path)
