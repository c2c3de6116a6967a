"""The rows of a data set as a list: all of them, those of a finding, or those that hold words."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from workbench.tui.data_pages import RowPages, RowPlace
from workbench.tui.data_view import counted, progress_line, rules_of, thousands
from workbench.tui.looking import Look, LookEvent
from workbench.tui.render import join, plain
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.row_window import GAP, RowWindow
from workbench.tui.widgets.steady_input import SteadyInput


class DataRowsScreen(WorkbenchScreen):
    """A list of rows.

    Args:
        pages: The list to begin with.
    """

    MODE = "recipes"
    CSS_PATH = "data.tcss"
    HELP_TITLE = "Rows of the data"
    HELP_TEXT = (
        "Each line is a row as the trainer gets it, cut short. The signs behind its number are "
        "findings: ✗ an error, ! a warning, · a note. Escape first shows all rows again, then "
        "goes back."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Row", key_display="enter", id="data-rows.open",
                tooltip="Show the row under the cursor, side by side"),
        Binding("slash", "search", "Search", key_display="/", id="data-rows.search",
                tooltip="Show those of all rows whose texts hold some words"),
        Binding("n", "next(1)", "Next", show=False, id="data-rows.next",
                tooltip="The next row of the list"),
        Binding("p", "next(-1)", "Previous", show=False, id="data-rows.previous",
                tooltip="The row before"),
        Binding("x", "xray", "Tokens", id="data-rows.xray",
                tooltip="Show the tokens of the row under the cursor"),
        Binding("escape", "leave", "Back", key_display="esc", id="data-rows.leave",
                tooltip="Show all rows, or go back"),
        Binding("f1,question_mark", "app.help", "Help", key_display="?", id="data-rows.help"),
    ]  # fmt: skip

    def __init__(self, look: Look, pages: RowPages) -> None:
        super().__init__()
        self.look = look
        self._pages = pages
        self._place = RowPlace(pages)
        self._problem = ""

    def compose_body(self) -> ComposeResult:
        """Title, search line, rows."""
        yield Static("", id="head", markup=False)
        yield SteadyInput(placeholder="words; enter searches, escape goes back", id="search")
        yield Static("", id="heading", markup=False)
        yield RowWindow(signs=self.bench.ascii_only)
        yield Static("", id="none", classes="empty", markup=False)

    def on_mount(self) -> None:
        """Show what is there, ask for the rest."""
        self.query_one("#search").display = False
        self.bench.looking.heard.subscribe(self, self._heard)
        self.window.focus()
        self._show_list()

    @property
    def window(self) -> RowWindow:
        """The rows."""
        return self.query_one(RowWindow)

    def shown(self) -> None:
        """The row that was looked at last is under the cursor."""
        if self._place.pages is self._pages:
            self.window.go(self._place.index)

    def _heard(self, event: LookEvent) -> None:
        if event.look is not self.look:
            return
        kind = event.event.get("event")
        about = event.asked.about
        if event.asked.kind == "rows" and about and about[0] is self._pages:
            self._problem = str(event.event.get("what") or "") if kind == "error" else ""
        if kind in ("rows", "report", "tokens", "first"):
            self._show_list(self.window.cursor)
        elif kind in ("progress", "error"):
            self._show_head()

    def _show_list(self, cursor: int = 0) -> None:
        rules = {name: str(rule.get("severity")) for name, rule in rules_of(self.look).items()}
        self.window.show(self._pages, rules, self._columns, cursor)
        self._show_head()

    @property
    def _columns(self) -> tuple[str, ...]:
        single = self.look.report.get("stage") == "sft"
        return ("prompt", "chosen") if single else ("prompt", "chosen", "rejected")

    def on_resize(self, event: events.Resize) -> None:
        """The heading stands over other columns."""
        super().on_resize(event)
        self.call_after_refresh(self._show_head)

    def _show_head(self) -> None:
        pages, look = self._pages, self.look
        self.query_one("#head", Static).update(self._title())
        number, marks, *texts = self.window.widths
        names = ("prompt", "answer") if len(texts) == 2 else ("prompt", "chosen", "rejected")
        gap = " " * GAP
        titles = gap.join(f"{name:<{width}}" for name, width in zip(names, texts, strict=False))
        self.query_one("#heading", Static).update(
            f"{'row':>{number}}{gap}{'':<{marks}}{gap}{titles}"
        )
        nothing = self.query_one("#none", Static)
        empty = pages.known == 0
        nothing.display, self.window.display = empty, not empty
        if self._problem:
            nothing.update(plain(self._problem))
        elif pages.total == 0:
            nothing.update("No such row. Escape shows all rows.")
        elif look.progress:
            nothing.update(progress_line(look.progress, signs=self.bench.ascii_only))
        else:
            nothing.update("Looking for the rows ...")

    def _title(self) -> Content:
        pages, look = self._pages, self.look
        parts: list[str | Content | tuple[str, str]] = [
            plain(look.subject.title, style="bold"),
            "   ",
        ]
        if pages.rule:
            parts += [plain(pages.title or pages.rule, style="$accent"), "   "]
        if pages.search:
            parts += [("with ", "$muted"), plain(pages.search, style="$accent"), "   "]
        if pages.total is not None and look.report:
            whole = look.report.get("rows")
            of = f" of {thousands(whole)}" if pages.filtered else ""
            parts.append((f"{thousands(pages.total)}{of} rows", "$muted"))
        elif look.progress:
            parts.append(progress_line(look.progress, signs=self.bench.ascii_only))
        else:
            parts.append((f"{counted(pages.known, 'row')} so far", "$muted"))
        return join(*parts)

    def _set_pages(self, pages: RowPages) -> None:
        self._pages, self._problem = pages, ""
        self._place = RowPlace(pages)
        self.window.scroll_home(animate=False)
        self._show_list()
        pages.want(0, 1)

    def action_search(self) -> None:
        """Type words to search for."""
        field = self.query_one("#search", Input)
        field.display = True
        field.value = self._pages.search
        field.focus()

    @on(Input.Submitted, "#search")
    def _searched(self) -> None:
        field = self.query_one("#search", Input)
        words = field.value.strip()
        self._close_search()
        if words:
            # The process knows one kind of choice at a time.
            self._set_pages(self.look.rows(search=words))
        elif self._pages.search:
            self._set_pages(self.look.pages)

    def _close_search(self) -> None:
        self.query_one("#search").display = False
        self.window.display = True
        self.window.focus()

    def action_leave(self) -> None:
        """Close the search line, show all rows, or go back."""
        if self.query_one("#search").display:
            self._close_search()
            self._show_head()
        elif self._pages.filtered:
            self._set_pages(self.look.pages)
        else:
            self.dismiss()

    def action_next(self, by: int) -> None:
        """Go to the next row, or back."""
        self.window.go(self.window.cursor + by)

    @on(RowWindow.Chosen)
    def _clicked(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        """Show the row under the cursor."""
        from workbench.tui.screens.data_row import DataRowScreen

        if self._at_cursor():
            self.app.push_screen(DataRowScreen(self.look, self._place))

    def action_xray(self) -> None:
        """Show the tokens of the row under the cursor."""
        from workbench.tui.screens.data_xray import open_xray

        if self._at_cursor():
            open_xray(self, self.look, self._place)

    def _at_cursor(self) -> bool:
        self._place = RowPlace(self._pages, self.window.cursor)
        return bool(self._place.number)
