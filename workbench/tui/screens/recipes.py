"""The first screen: which recipes there are, and what each of them does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from workbench.base.paths import safe_name
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import open_regular, read_small
from workbench.tui.messages import Failed, RecipesRead
from workbench.tui.render import join, lines, path_text, plain, stage_mark, yaml_text
from workbench.tui.screens.filter_screen import FilterScreen
from workbench.tui.widgets.row_table import Column, Row, RowTable
from workbench.tui.widgets.steady_input import SteadyInput

if TYPE_CHECKING:
    from workbench.recipe.catalog import Entry

TEXT_LIMIT_CHARACTERS = 20_000
ORDER = ("user", "local", "shipped")


class RecipesScreen(FilterScreen):
    """List of recipes with a preview."""

    MODE = "recipes"
    CSS_PATH = "recipes.tcss"
    HELP_TITLE = "Recipes"
    HELP_TEXT = (
        "A recipe is one YAML file that says what to train, on what, and how. "
        "Pick one, change it if you like, run it. The shipped ones are never overwritten."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "edit",
            "Edit",
            key_display="enter",
            id="recipes.edit",
            tooltip="Open the recipe in the editor",
        ),
        Binding(
            "r,f5",
            "run",
            "Run",
            key_display="r",
            id="recipes.run",
            tooltip="Look the recipe over and start training",
        ),
        Binding(
            "n", "copy", "Save as new", id="recipes.copy", tooltip="Copy the recipe to your own"
        ),
        Binding("d", "data", "Data", id="recipes.data", tooltip="Look at the recipe's data"),
        Binding(
            "slash",
            "filter",
            "Filter",
            key_display="/",
            id="recipes.filter",
            tooltip="Show the recipes that hold some words",
        ),
        Binding(
            "ctrl+r",
            "read",
            "Read again",
            show=False,
            id="recipes.read",
            tooltip="Look for recipes again",
        ),
        Binding("escape", "clear_filter", "Clear", show=False, id="recipes.clear"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._entries: tuple[Entry, ...] = ()
        self._texts: dict[str, str] = {}
        self._wanted = ""

    def compose_body(self) -> ComposeResult:
        """Filter, table, preview."""
        with Vertical(id="body"):
            with Vertical(id="chooser"):
                yield SteadyInput(
                    placeholder="type to filter, enter or escape to go back", id="filter"
                )
                yield RowTable(
                    Column("recipe"),
                    Column("stages", 9),
                    Column("model", 22, from_width=96),
                    Column("needs", 24),
                    Column("from", 7),
                    id="table",
                )
                yield Static("Looking for recipes ...", id="none", classes="empty", markup=False)
            with VerticalScroll(id="preview"):
                yield Static("", id="head", markup=False)
                yield Static("", id="yaml", markup=False)

    def on_mount(self) -> None:
        """Read the recipes once the first frame is out."""
        self.query_one("#filter").display = False
        self.query_one("#table").display = False
        self.call_after_refresh(self.action_read)

    def shown(self) -> None:
        """Files may have changed meanwhile."""
        if self._entries:
            self.action_read()

    def action_read(self) -> None:
        """Look for recipes in a thread."""
        self.run_worker(self._read, thread=True, exclusive=True, exit_on_error=False, group="read")

    def _read(self) -> None:
        from workbench.recipe.catalog import Catalog

        services = self.bench.services
        found = Catalog(services.paths, services.cwd).entries()
        # Who comes for the first time finds the quickstart at the top of the shipped ones.
        found.sort(key=lambda entry: (ORDER.index(entry.origin), entry.name != "quickstart"))
        entries = tuple(found)
        texts = {str(entry.path): _text_of(entry.path) for entry in entries}
        self.post_message(RecipesRead(entries, texts))

    @on(RecipesRead)
    def _recipes_read(self, event: RecipesRead) -> None:
        self._entries, self._texts = event.entries, event.texts
        self._show()

    def select(self, path: Path) -> None:
        """Put the cursor on a recipe as soon as it is listed."""
        self._wanted = str(path)
        self.action_read()

    def _show(self) -> None:
        words = self.query_one("#filter", Input).value.lower().split()
        chosen = [entry for entry in self._entries if _matches(entry, words)]
        table = self.query_one(RowTable)
        had_focus = self.focused is None
        table.display = bool(chosen)
        nothing = self.query_one("#none", Static)
        nothing.display = not chosen
        nothing.update(
            "No recipe holds these words. Escape clears the filter."
            if words
            else "No recipes here.\nPut one into ./recipes and press ctrl+r."
        )
        titles = Counter(entry.title for entry in self._entries)
        table.set_rows(
            [Row(str(entry.path), _cells(entry, titles[entry.title] > 1)) for entry in chosen]
        )
        if self._wanted:
            table.highlight(self._wanted)
            self._wanted = ""
        if had_focus and chosen:
            table.rows.focus()
        self._show_preview(table.key if chosen else "")

    @property
    def entry(self) -> Entry | None:
        """The recipe under the cursor."""
        key = self.query_one(RowTable).key if self.query_one(RowTable).display else ""
        return next((entry for entry in self._entries if str(entry.path) == key), None)

    @on(RowTable.Highlighted)
    def _highlighted(self, event: RowTable.Highlighted) -> None:
        self._show_preview(event.key)

    @on(RowTable.Selected)
    def _selected(self) -> None:
        self.action_edit()

    def _show_preview(self, key: str) -> None:
        entry = next((entry for entry in self._entries if str(entry.path) == key), None)
        self.query_one("#head", Static).update(_heading(entry) if entry else "")
        self.query_one("#yaml", Static).update(yaml_text(self._texts[key]) if entry else "")
        self.query_one("#preview").scroll_home(animate=False)

    def action_clear_filter(self) -> None:
        """Show all recipes again."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.display = False
        self.query_one(RowTable).rows.focus()

    def action_edit(self) -> None:
        """Open the recipe under the cursor in the editor."""
        from workbench.tui.screens.editor import EditorScreen

        if self.entry is not None:
            self.app.push_screen(EditorScreen(self.entry.path, self.entry.origin))

    def action_run(self) -> None:
        """Look the recipe over, then launch."""
        if self.entry is not None:
            self.bench.actions.review(self.entry.path, self.entry.name)

    def action_data(self) -> None:
        """Look at the data of the recipe under the cursor."""
        if self.entry is not None:
            self.bench.looking.open_recipe(self.entry.path)

    def action_copy(self) -> None:
        """Copy the recipe under a new name among the user's."""
        from workbench.tui.dialogs.name import NameDialog

        entry = self.entry
        if entry is None:
            return
        text = join("The copy goes to ", path_text(self.bench.services.paths.recipes), ".")
        dialog = NameDialog(
            "Save a copy as",
            text,
            value=safe_name(f"my-{entry.name}"),
            taken=self.bench.services.recipe_taken,
        )
        self.app.push_screen(dialog, lambda name: self._copy(entry, name) if name else None)

    def _copy(self, entry: Entry, name: str) -> None:
        from workbench.recipe.catalog import Catalog

        services = self.bench.services
        try:
            text = read_small(entry.path)
            path = Catalog(services.paths, services.cwd).save_as(text, name, source=entry.path)
        except ProblemError as error:
            self.app.post_message(Failed("The copy could not be saved", error.problems))
        except (OSError, UnicodeDecodeError) as error:
            problem = Problem(str(error), str(entry.path))
            self.app.post_message(Failed("The copy could not be saved", (problem,)))
        else:
            self.bench.say(f"Saved as {path.name} among your recipes.")
            self.select(path)


def _text_of(path: Path) -> str:
    try:
        with open_regular(path) as file:
            return file.read(TEXT_LIMIT_CHARACTERS).decode("utf-8", "replace")
    except OSError as error:
        return f"# {error}"


def _matches(entry: Entry, words: list[str]) -> bool:
    text = f"{entry.name} {entry.title} {entry.model} {' '.join(entry.stages)} {entry.origin}"
    return all(word in text.lower() for word in words)


def _cells(entry: Entry, twins: bool) -> tuple[Content, ...]:
    """One row; recipes of one title, such as a copy and its source, are told apart by name."""
    model = plain(entry.model.rstrip("/").rpartition("/")[2] or "-", style="$muted")
    if entry.problem:
        title = join(("✗ ", "$error"), plain(entry.title or entry.name, style="$error"))
        return (title, plain("-"), model, plain("does not read", style="$error"), _origin(entry))
    needs = plain(entry.needs or "-", style="$muted")
    title = plain(f"{entry.name}: {entry.title}" if twins else entry.title)
    return (title, stage_mark(entry.stages), model, needs, _origin(entry))


def _origin(entry: Entry) -> Content:
    return plain({"user": "yours"}.get(entry.origin, entry.origin), style="$muted")


def _heading(entry: Entry) -> Content:
    parts = [plain(entry.title or entry.name, style="bold")]
    if entry.problem:
        parts.append(plain(entry.problem, style="$error"))
    if entry.description:
        parts.append(plain(" ".join(entry.description.split())))
    parts.append(
        join(
            ("model ", "$muted"),
            plain(entry.model or "-"),
            ("   needs ", "$muted"),
            plain(entry.needs or "-"),
        )
    )
    parts.append(join(("file  ", "$muted"), path_text(entry.path, style="$muted")))
    return lines(*parts)
