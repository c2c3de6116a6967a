"""One row of a data set: prompt above, chosen and rejected side by side with their differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from workbench.base.problems import Problem
from workbench.tui.data_pages import RowPlace
from workbench.tui.data_row_view import (
    Pair,
    answer_text,
    finding_lines,
    pair_of,
    prompt_text,
    row_title,
)
from workbench.tui.data_view import progress_line, rules_of, thousands
from workbench.tui.looking import Look, LookEvent, problem_of
from workbench.tui.render import join, lines, plain, problem_line
from workbench.tui.screens.base import WorkbenchScreen

BESIDE_COLUMNS = 76
"""From here on two answers stand side by side."""
Row = Mapping[str, Any]


@dataclass
class PairRead(Message):
    """A pair whose differences are known."""

    key: tuple[int, int]
    pair: Pair


class TextPane(VerticalScroll):
    """A text in a frame, to be scrolled."""

    def compose(self) -> ComposeResult:
        """The text."""
        yield Static("", markup=False)

    def show(self, text: Content) -> None:
        """Another text."""
        self.query_one(Static).update(text)


class OneRowScreen(WorkbenchScreen):
    """A screen about one row of a list.

    Args:
        place: Which row; shared with the screen that was before.
    """

    MODE = "recipes"
    CSS_PATH = "data.tcss"
    HORIZONTAL_BREAKPOINTS = [
        (0, "-tiny-width"), (60, "-narrow"), (BESIDE_COLUMNS, "-beside"), (100, "-wide")
    ]  # fmt: skip

    def __init__(self, look: Look, place: RowPlace) -> None:
        super().__init__()
        self.look = look
        self._place = place
        self._problem: Problem | None = None

    def compose_answers(self) -> ComposeResult:
        """Prompt above, answers below."""
        yield TextPane(id="prompt", classes="text")
        with Container(id="answers"):
            yield TextPane(id="chosen", classes="text")
            yield TextPane(id="rejected", classes="text")

    def on_mount(self) -> None:
        """Ask for the row."""
        self.bench.looking.heard.subscribe(self, self._heard)
        self.query_one("#chosen").focus()
        self._show()

    def shown(self) -> None:
        """Another row may have been gone to meanwhile."""
        self._show()

    @property
    def key(self) -> tuple[Any, ...]:
        """What the process is asked for."""
        raise NotImplementedError

    def _heard(self, event: LookEvent) -> None:
        if event.look is not self.look:
            return
        kind, about = event.event.get("event"), event.asked.about
        if kind == "error" and about == self.key:
            self._problem = problem_of(event.event)
        if kind in ("rows", "row", "xray", "tokens", "progress", "error"):
            self._show()

    def _show(self) -> None:
        raise NotImplementedError

    def _waiting(self) -> Content:
        """Why there is nothing yet."""
        if self._problem is not None:
            return problem_line(self._problem)
        look = self.look
        if look.progress:
            return progress_line(look.progress, signs=self.bench.ascii_only)
        return plain("Reading the row ...", style="$faint")

    @property
    def _where(self) -> str:
        pages = self._place.pages
        total = thousands(pages.total) if pages.total is not None else "?"
        return f"{self._place.index + 1:,} of {total}"

    def pane(self, name: str) -> TextPane:
        """A pane by its name."""
        return self.query_one(f"#{name}", TextPane)

    def action_step(self, by: int) -> None:
        """Go to another row of the list."""
        if not self._place.step(by):
            self.bench.say("This is the last row." if by > 0 else "This is the first row.")
            return
        self._turned()

    def action_part(self, by: int) -> None:
        """Go to another pair of the row."""
        count = self.parts
        if count < 2:
            self.bench.say("This row gives one pair.")
            return
        self._place.part = (self._place.part + by) % count
        self._turned()

    @property
    def parts(self) -> int:
        """How many pairs the row gives."""
        row = self._place.pages.at(self._place.index)
        return int(row.get("pairs") or 0) if row else 0

    def _turned(self) -> None:
        self._problem = None
        self._show()
        for pane in self.query(TextPane):
            pane.scroll_home(animate=False)

    def action_leave(self) -> None:
        """Back to where one came from."""
        self.dismiss()


def step_keys(name: str) -> list[BindingType]:
    """The keys by which one goes through rows and pairs."""
    return [
        Binding("right,n", "step(1)", "Next", key_display="→", id=f"{name}.next",
                tooltip="The next row of the list (n)"),
        Binding("left,p", "step(-1)", "Previous", key_display="←", id=f"{name}.previous",
                tooltip="The row before (p)"),
        Binding("right_square_bracket", "part(1)", "Next pair", show=False, key_display="]",
                id=f"{name}.next-pair", tooltip="The next pair of the row"),
        Binding("left_square_bracket", "part(-1)", "Pair before", show=False, key_display="[",
                id=f"{name}.previous-pair", tooltip="The pair before"),
    ]  # fmt: skip


class DataRowScreen(OneRowScreen):
    """One row, as texts."""

    HELP_TITLE = "A row of the data"
    HELP_TEXT = (
        "Words that only one of the answers has are underlined, without colour {+ +} in chosen and "
        "[- -] in rejected. Answers that have little in common are not marked unless m is pressed. "
        "Tab goes from text to text, up and down scroll it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        *step_keys("data-row"),
        Binding("x", "xray", "Tokens", id="data-row.xray", tooltip="Show the pair as tokens"),
        Binding("m", "marks", "Marks", id="data-row.marks",
                tooltip="Mark what differs, or not"),
        Binding("v", "source", "As in the file", id="data-row.source",
                tooltip="Show the row as it stands in the file"),
        Binding("escape", "leave", "Back", key_display="esc", id="data-row.leave",
                tooltip="Back to the list"),
        Binding("f1,question_mark", "app.help", "Help", key_display="?", id="data-row.help"),
    ]  # fmt: skip

    def __init__(self, look: Look, place: RowPlace) -> None:
        super().__init__(look, place)
        self._read: tuple[int, int] | None = None
        self._pair: Pair | None = None
        self._marks: bool | None = None

    def compose_body(self) -> ComposeResult:
        """Title, findings, texts."""
        yield Static("", id="head", markup=False)
        yield Static("", id="findings", markup=False)
        yield from self.compose_answers()

    @property
    def key(self) -> tuple[Any, ...]:
        """What the process is asked for."""
        return ("row", self._place.number)

    def _row(self) -> Row | None:
        number = self._place.number
        return self.look.row(number) if number and self._problem is None else None

    @property
    def parts(self) -> int:
        """How many pairs the row gives."""
        row = self._row()
        return len(row.get("pairs") or ()) if row else super().parts

    def _show(self) -> None:
        row = self._row()
        if row is None:
            self._show_beginning()
            return
        pairs = row.get("pairs") or []
        self._show_head(row, len(pairs))
        self._place.part = min(self._place.part, max(0, len(pairs) - 1))
        if not pairs:
            self._read = self._pair = None
            self._show_texts("No pair can be made of this row. v shows it as it stands.", "", "")
            return
        wanted = self._place.number, self._place.part
        if wanted == self._read:
            self._show_pair()
            return
        self._read = wanted
        raw = pairs[self._place.part]

        def work() -> None:
            self.post_message(PairRead(wanted, pair_of(raw)))

        self.run_worker(work, thread=True, exclusive=True, exit_on_error=False, group="pair")

    def _show_head(self, row: Row, pairs: int) -> None:
        part = f"   pair {self._place.part + 1} of {pairs}" if pairs > 1 else ""
        self.query_one("#head", Static).update(row_title(row, self._where + part))
        signs = self.bench.ascii_only
        found = finding_lines(row.get("findings") or (), rules_of(self.look), signs=signs)
        shown = self.query_one("#findings", Static)
        shown.display = bool(found.plain)
        shown.update(found)

    def _show_beginning(self) -> None:
        """The row's beginnings, while the process is at something else."""
        self._read = self._pair = None
        short = self._place.pages.at(self._place.index) or {}
        self.query_one("#head", Static).update(row_title(short, self._where) if short else "")
        found = self.query_one("#findings", Static)
        found.display = True
        found.update(self._waiting())
        texts = [str(short.get(name) or "") for name in ("prompt", "chosen", "rejected")]
        self._show_texts(*texts)

    def _show_texts(self, prompt: str, chosen: str, rejected: str) -> None:
        for name, text in (("prompt", prompt), ("chosen", chosen), ("rejected", rejected)):
            self.pane(name).show(plain(text, newlines=True))
            self.pane(name).border_title = name
            self.pane(name).border_subtitle = ""

    @on(PairRead)
    def _pair_read(self, event: PairRead) -> None:
        event.stop()
        if event.key == self._read:
            self._pair = event.pair
            self._show_pair()

    def _show_pair(self) -> None:
        pair = self._pair
        if pair is None:
            return
        marked = pair.alike if self._marks is None else self._marks
        signs = self.bench.ascii_only
        self.pane("prompt").show(prompt_text(pair))
        self.pane("prompt").border_title = "prompt"
        two = len(pair.answers) == 2
        self.pane("rejected").display = two
        for number, name in enumerate(("chosen", "rejected")[: len(pair.answers)]):
            pane = self.pane(name)
            pane.show(answer_text(pair, number, marked=marked, signs=signs))
            pane.border_title = name if two else "answer"
            pane.border_subtitle = f"{len(pair.answers[number]):,} letters"
        if two and not marked:
            words = f"{pair.share:.0%} in common (m marks)"
            self.pane("rejected").border_subtitle = words

    def action_marks(self) -> None:
        """Mark what differs, or not."""
        if self._pair is not None:
            marked = self._pair.alike if self._marks is None else self._marks
            self._marks = not marked
            self._show_pair()

    def action_source(self) -> None:
        """Show the row as it stands in the file."""
        import json

        from workbench.tui.dialogs.read import ReadDialog

        row = self._row()
        if row is None:
            return
        text = json.dumps(row.get("source"), ensure_ascii=False, indent=2, default=str)
        shown = lines(*(plain(line) for line in text[:100_000].split("\n")))
        self.app.push_screen(ReadDialog(join((f"row {row.get('number')}", "")), shown))

    def action_xray(self) -> None:
        """Show the pair as tokens."""
        from workbench.tui.screens.data_xray import open_xray

        open_xray(self, self.look, self._place)
