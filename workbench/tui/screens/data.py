"""A data set before it is trained on: what it is, what is wrong with it, how long its rows are."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Static

from workbench.tui.data_view import (
    about_all,
    all_lines,
    counts_line,
    finding_rows,
    head,
    length_line,
    note_lines,
    progress_line,
    rules_of,
    shape_line,
    token_lines,
    why_lines,
)
from workbench.tui.looking import FEW_PAIRS, Look, LookEvent, Subject, problem_of
from workbench.tui.messages import Failed, Then
from workbench.tui.render import join, lines, plain, problem_line
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.row_table import Column, RowTable

NO_TOKENIZER = "Open the data from a recipe to see them in tokens: its model has the tokenizer."
NOTES_SHOWN = 2


class DataScreen(WorkbenchScreen):
    """The overview of one data set.

    Args:
        subject: What is looked at.
    """

    MODE = "recipes"
    CSS_PATH = "data.tcss"
    HELP_TITLE = "Data"
    HELP_TEXT = (
        "What the trainer will make of the data: the shape of the rows, what is wrong with which "
        "of them, their lengths in tokens and what max_length drops or cuts. ✗ is an error: the "
        "row is lost or the training stops; ! harms; · informs. Nothing is changed, a cleaned copy "
        "is a file of its own."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Rows of it", key_display="enter", id="data.open",
                tooltip="Show the rows of the finding under the cursor"),
        Binding("r", "rows", "All rows", id="data.rows", tooltip="Browse all rows"),
        Binding("t", "tokens", "Tokens", id="data.tokens",
                tooltip="Count tokens with the recipe's tokenizer; again: of all pairs"),
        Binding("f", "fix", "Cleaned copy", id="data.fix",
                tooltip="Write a copy without the rows that are broken or useless"),
        Binding("s", "stage", "Stage", id="data.stage",
                tooltip="Show the data of the recipe's other stage"),
        Binding("i", "info", "All of it", id="data.info",
                tooltip="All that is known of the files and of the findings"),
        Binding("ctrl+r", "again", "Read again", show=False, id="data.again",
                tooltip="Read the files anew"),
        Binding("escape", "leave", "Back", key_display="esc", id="data.leave", tooltip="Back"),
        Binding("f1,question_mark", "app.help", "Help", key_display="?", id="data.help"),
    ]  # fmt: skip

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self._subject = subject
        self._look: Look | None = None

    def compose_body(self) -> ComposeResult:
        """What it is, findings, tokens."""
        yield Static("", id="head", markup=False)
        yield Static("", id="shape", markup=False)
        yield Static("", id="counts", markup=False)
        yield Static("", id="notes", markup=False)
        with Vertical(id="findings"):
            yield RowTable(
                Column("", 1), Column("finding"), Column("count", 7, right=True), Column("rows", 14)
            )
            yield Static("", id="none", markup=False)
            yield Static("", id="why", markup=False)
        with VerticalScroll(id="tokens", can_focus=False):
            yield Static("", id="lengths", markup=False)
        yield Static("", id="result", markup=False)

    def on_mount(self) -> None:
        """Look, or see what an earlier look has found."""
        self._look = self.bench.looking.at(self._subject)
        self.bench.looking.heard.subscribe(self, self._heard)
        self.query_one(RowTable).rows.focus()
        self._show()

    @property
    def look(self) -> Look:
        """The look at the data; only after the screen has been mounted."""
        assert self._look is not None
        return self._look

    def _heard(self, event: LookEvent) -> None:
        if event.look is not self._look:
            return
        if event.event.get("event") == "error" and event.asked.kind == "fix":
            title = "The cleaned copy could not be written"
            self.bench.post_message(Failed(title, (problem_of(event.event),)))
        self._show()

    def on_resize(self, event: events.Resize) -> None:
        """The histograms are as wide as there is room."""
        super().on_resize(event)
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        look = self._look
        if look is None:
            return
        signs = self.bench.ascii_only
        self.query_one("#head", Static).update(head(look))
        shapes = [shape_line(source) for source in list(look.sources.values())[:NOTES_SHOWN]]
        unique = {shape.plain: shape for shape in shapes}
        self.query_one("#shape", Static).update(lines(*unique.values()))
        facts = [counts_line(look, signs=signs), length_line(look.report)]
        self.query_one("#counts", Static).update(lines(*(fact for fact in facts if fact.plain)))
        notes = note_lines(look)[:NOTES_SHOWN]
        shown = self.query_one("#notes", Static)
        shown.display = bool(notes)
        shown.update(lines(*notes))
        self._show_findings(look, signs=signs)
        self._show_tokens(look, signs=signs)
        self._show_result(look)

    def _show_findings(self, look: Look, *, signs: bool) -> None:
        rows = finding_rows(look, signs=signs)
        table, nothing = self.query_one(RowTable), self.query_one("#none", Static)
        table.display, nothing.display = bool(rows), not rows and bool(look.report)
        # Who has not gone down yet sees the worst, also where it is found last.
        untouched = not table.rows.highlighted
        table.set_rows(rows)
        if untouched and rows:
            table.highlight(rows[0].key)
        fit = bool(look.pairs)
        words = "No findings." if fit else "Nothing here can be trained on."
        shown = words, "$success" if fit else "$warning"
        nothing.update(join(shown, (" r shows the rows.", "$muted")))
        self._show_why()

    @on(RowTable.Highlighted)
    def _show_why(self) -> None:
        look, why = self._look, self.query_one("#why", Static)
        name = self.query_one(RowTable).key if look is not None else ""
        why.display = bool(name)
        if look is not None and name:
            why.update(why_lines(look, name))

    def _show_tokens(self, look: Look, *, signs: bool) -> None:
        shown = self.query_one("#lengths", Static)
        if look.measuring:
            words = look.progress or {"message": "counting tokens"}
            shown.update(progress_line(words, signs=signs))
        elif look.token_failure is not None:
            shown.update(problem_line(look.token_failure))
        elif look.tokens:
            room = self.size.width - 5
            shown.update(token_lines(look, room, self.size.height, signs=signs))
        elif look.subject.recipe is None:
            shown.update(plain(NO_TOKENIZER, style="$muted"))
        else:
            shown.update(plain("t counts tokens with the recipe's tokenizer.", style="$muted"))

    def _show_result(self, look: Look) -> None:
        result, fixed = self.query_one("#result", Static), look.fixed
        result.display = bool(fixed)
        if fixed:
            words = f"written {fixed.get('out')}: {fixed.get('kept')} rows kept, "
            words += f"{fixed.get('dropped')} left out, {fixed.get('mended')} mended"
            result.update(join(plain(words, style="$success")))

    def action_open(self) -> None:
        """Show the rows of the finding under the cursor, all rows where there is none."""
        rule = self.query_one(RowTable).key
        found = rules_of(self.look).get(rule)
        if found is None:
            self._browse()
        elif found.get("rows"):
            self._browse(rule, str(found.get("title") or rule))
        else:
            self._show_details(rule, str(found.get("title") or rule))

    def _show_details(self, rule: str, title: str) -> None:
        """What is said of lines that are no rows, or of the set as a whole."""
        from workbench.tui.dialogs.read import ReadDialog

        details = [plain(detail) for detail in about_all(self.look, rule)]
        self.app.push_screen(ReadDialog(plain(title), lines(*details, why_lines(self.look, rule))))

    @on(RowTable.Selected)
    def _selected(self) -> None:
        self.action_open()

    def action_rows(self) -> None:
        """Show all rows."""
        self._browse()

    def _browse(self, rule: str = "", title: str = "") -> None:
        from workbench.tui.screens.data_rows import DataRowsScreen

        look = self.look
        if not look.first and not look.report:
            self.bench.say("No row is read yet.")
            return
        pages = look.of_rule(rule, title) if rule else look.pages
        self.app.push_screen(DataRowsScreen(look, pages))

    def action_tokens(self) -> None:
        """Count tokens: of a few pairs at first where there are many, then of all."""
        look = self.look
        if look.subject.recipe is None:
            self.bench.say(NO_TOKENIZER)
        elif not look.report:
            self.bench.say("The rows are read first.")
        elif look.measuring:
            self.bench.say("They are being counted.")
        else:
            many = (look.pairs or 0) > FEW_PAIRS and not look.tokens
            look.measure(FEW_PAIRS if many else 0)
            self._show()

    def action_fix(self) -> None:
        """Write a cleaned copy, after questions."""
        from workbench.tui.data_fix import ask

        if not self.look.report:
            self.bench.say("The rows are read first.")
            return
        ask(self, self.look)

    def action_stage(self) -> None:
        """Show the data of the recipe's other stage."""
        subject = self._subject
        others = [stage for stage in subject.stages if stage != subject.job.stage]
        if subject.recipe is None or not others:
            self.bench.say("There is one stage only.")
            return
        recipe, paths = subject.recipe, self.bench.services.paths

        def work() -> Message:
            from workbench.tui.data_subjects import of_recipe

            found = of_recipe(recipe, paths, others[0])
            return Then(lambda: self._change(found) if self.is_attached else None)

        self.bench.actions.in_thread("That stage's data cannot be shown", work)

    def _change(self, subject: Subject) -> None:
        self._subject, self._look = subject, self.bench.looking.at(subject)
        self._show()

    def action_info(self) -> None:
        """Show all that is known."""
        from workbench.tui.dialogs.read import ReadDialog

        self.app.push_screen(ReadDialog(plain(self._subject.title), all_lines(self.look)))

    def action_again(self) -> None:
        """Read the files anew."""
        self._look = self.bench.looking.again(self.look)
        self._show()

    def action_leave(self) -> None:
        """Back to where one came from; what was found is kept."""
        self.dismiss()
