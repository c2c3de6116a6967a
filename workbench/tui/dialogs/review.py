"""The last look before a launch: what will be trained, with what effort, and what is wrong."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Static

from workbench.base.paths import safe_name
from workbench.tui.checking import Checked, check_text, totals_line
from workbench.tui.dialogs.base import Dialog
from workbench.tui.messages import RecipeChecked
from workbench.tui.render import join, lines, plain, problem_line
from workbench.tui.widgets.steady_input import SteadyInput


class ReviewDialog(Dialog[str]):
    """Answers with the new run's name, or None when nothing shall be started.

    Args:
        path: The recipe.
        name: Name that the run gets unless another is typed.
    """

    DEFAULT_CSS = """
    ReviewDialog > #frame { width: 76; }
    ReviewDialog #summary { height: auto; }
    ReviewDialog VerticalScroll { height: auto; max-height: 8; margin-top: 1; }
    ReviewDialog #naming { height: 1; margin-top: 1; }
    ReviewDialog #naming > Static { width: 6; color: $muted; }
    ReviewDialog #naming > Input { width: 1fr; }
    """

    def __init__(self, path: Path, name: str) -> None:
        super().__init__("Start this run?")
        self._path = path
        self._run_name = safe_name(name)
        self._may_start = False

    def compose_body(self) -> ComposeResult:
        """Summary, problems, name, buttons."""
        yield Static("Checking the recipe ...", id="summary", markup=False)
        with VerticalScroll(can_focus=False):
            yield Static("", id="problems", markup=False)
        with Horizontal(id="naming"):
            yield Static("name", markup=False)
            yield SteadyInput(self._run_name, id="name")
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="no", compact=True)
            yield Button("Start training", id="yes", compact=True, disabled=True)

    def on_mount(self) -> None:
        """Check in a thread; the dialog fills when it is done."""
        self.query_one("#no").focus()
        self.run_worker(partial(self._check), thread=True, exit_on_error=False)

    def _check(self) -> None:
        checked = check_text(self._path, None, self.bench.services.paths)
        self.post_message(RecipeChecked(0, checked))

    @on(RecipeChecked)
    def _checked(self, event: RecipeChecked) -> None:
        event.stop()
        checked = event.checked
        self.query_one("#summary", Static).update(_summary(checked))
        problems = [problem_line(problem) for problem in checked.problems]
        self.query_one("#problems", Static).update(lines(*problems))
        self.query_one(VerticalScroll).display = bool(problems)
        button = self.query_one("#yes", Button)
        if checked.errors:
            self.query_one("#frame").border_subtitle = "fix the errors first; escape goes back"
            return
        self._may_start = True
        button.disabled = False
        button.focus()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self._start()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "yes":
            self._start()
        else:
            self.dismiss(None)

    def _start(self) -> None:
        if self._may_start:
            self.dismiss(safe_name(self.query_one(Input).value.strip() or self._run_name))


def _summary(checked: Checked) -> Content:
    recipe = checked.recipe
    if recipe is None:
        return plain("This recipe cannot be read.", style="$error")
    rows = [
        plain(recipe.title, style="bold"),
        join(("model  ", "$muted"), plain(recipe.model or "none given")),
        *(totals_line(stage, totals) for stage, totals in checked.totals),
    ]
    return lines(*rows)
