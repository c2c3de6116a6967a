"""One side of a comparison: an answer that grows, what it cost, and what tuning changed in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from workbench.judge.log_ratios import Token, ratio
from workbench.tui.answer_rows import AnswerRows
from workbench.tui.render import join, plain
from workbench.tui.shading import Mark, token_words

MARGINS = "  "
FINISHES = {"eos": "", "length": "cut off", "cancelled": "cancelled"}
STYLES = (
    "you", "past", "faint", "word", "turn", "sign", "cursor",
    "turn-shaded", "sign-1", "sign-2", "sign-3",
    "up-1", "up-2", "up-3", "down-1", "down-2", "down-3",
)  # fmt: skip


class AnswerPane(ScrollView):
    """Shows one answer; paints only the rows that have changed.

    Args:
        number: 1 for the left pane.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"answer--{name}" for name in STYLES}
    DEFAULT_CSS = """
    AnswerPane {
        width: 1fr; height: 1fr; border: round $line;
        overflow-x: hidden; overflow-y: auto; scrollbar-gutter: stable;
        scrollbar-size-vertical: 1; border-title-style: bold; border-subtitle-color: $muted;
    }
    /* A scroll bar is painted whole at every change of layout: not while text comes. */
    AnswerPane.-streaming { scrollbar-size-vertical: 0; padding: 0 1 0 0; }
    AnswerPane.-base { border-title-color: $base-side; }
    AnswerPane.-middle { border-title-color: $middle-side; }
    AnswerPane.-tuned { border-title-color: $tuned-side; }
    AnswerPane.-base:focus { border: round $base-side; }
    AnswerPane.-middle:focus { border: round $middle-side; }
    AnswerPane.-tuned:focus { border: round $tuned-side; }
    AnswerPane > .answer--you { color: $primary; text-style: bold; }
    AnswerPane > .answer--past { color: $muted; }
    AnswerPane > .answer--faint { color: $faint; }
    AnswerPane > .answer--word { text-style: bold underline; }
    AnswerPane > .answer--turn { text-style: reverse; }
    AnswerPane > .answer--sign { color: $muted; text-style: bold; }
    AnswerPane > .answer--cursor { background: $foreground; color: $background; text-style: bold; }
    AnswerPane > .answer--sign-1 { text-style: underline; }
    AnswerPane > .answer--sign-2 { text-style: bold underline; }
    AnswerPane > .answer--sign-3 { text-style: bold reverse; }
    AnswerPane > .answer--up-1 { background: $shade-up-1; color: $shade-weak-text; }
    AnswerPane > .answer--up-2 { background: $shade-up-2; color: $shade-text; }
    AnswerPane > .answer--up-3 {
        background: $shade-up-3; color: $shade-strong-text; text-style: bold;
    }
    AnswerPane > .answer--down-1 { background: $shade-down-1; color: $shade-weak-text; }
    AnswerPane > .answer--down-2 { background: $shade-down-2; color: $shade-text; }
    AnswerPane > .answer--down-3 {
        background: $shade-down-3; color: $shade-strong-text; text-style: bold;
    }
    AnswerPane > .answer--turn-shaded { text-style: bold underline; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "token(-1)", "Token before", show=False, id="answer.token-before"),
        Binding("right", "token(1)", "Next token", show=False, id="answer.token-next"),
    ]

    @dataclass
    class Scrolled(Message):
        """The person scrolled this pane."""

        pane: AnswerPane
        position: float

    @dataclass
    class TokenChosen(Message):
        """Another token is under the cursor; `words` is empty where there is none."""

        pane: AnswerPane
        words: str

    def __init__(self, number: int) -> None:
        super().__init__(id=f"pane-{number}")
        self.side = ""
        self.text = ""
        self.cursor: int | None = None
        self._rows = AnswerRows()
        self._turns: tuple[tuple[str, str], ...] = ()
        self._hint = ""
        self._streaming = False
        self._pending: list[str] = []
        self._answer: Mapping[str, Any] = {}
        self._shown = ""
        self._tokens: Sequence[Token] = ()
        self._marks: Sequence[Mark] = ()
        self._signs = False
        self._strips: dict[int, Strip] = {}

    @property
    def shown(self) -> str:
        """Every row as it is shown, without styles."""
        return "\n".join("".join(text for text, _ in row) for row in self._rows.rows)

    def name_side(self, side: str, title: str, place: str) -> None:
        """Say whose answers are shown; `place` is `base`, `middle` or `tuned`."""
        self.side = side
        self.border_title = plain(title, newlines=False)
        self.set_classes(f"-{place}")

    def begin(self, hint: str = "", turns: Sequence[tuple[str, str]] = ()) -> None:
        """Forget the last answer; say what is awaited, under the turns before it."""
        self.text, self._hint, self._turns = "", hint, tuple(turns)
        self._answer, self._tokens, self._marks, self.cursor = {}, (), (), None
        self._pending, self._streaming = [], True
        self.add_class("-streaming")
        self.border_subtitle = ""
        self._lay_out()
        self._fit(follow=True)

    def add(self, delta: str) -> None:
        """Append what was just generated; `paint` shows it."""
        self.text += delta
        self._pending.append(delta)

    def paint(self) -> None:
        """Show what was added since the last time, and keep the end in view unless it was left."""
        if not self._pending:
            return
        piece, self._pending = "".join(self._pending), []
        follow = self.scroll_offset.y >= self.max_scroll_y
        before = len(self._rows.rows)
        first = self._rows.add(piece)
        after = len(self._rows.rows)
        for row in [row for row in self._strips if row >= first]:
            del self._strips[row]
        if not self._fit(follow=follow):
            self.refresh_lines(first, max(before, after) - first)

    def finish(self, answer: Mapping[str, Any]) -> None:
        """Show a whole answer with its length and speed."""
        self._pending, self._streaming = [], False
        self.remove_class("-streaming")
        self.text = str(answer.get("text") or "")
        self._answer = answer
        self.border_subtitle = cost(answer)

    def mark(
        self, shown: str, tokens: Sequence[Token], marks: Sequence[Mark], *, signs: bool = False
    ) -> None:
        """Show the finished answer's text, already inert, with marks."""
        self._shown, self._tokens = shown, tokens
        self._marks, self._signs = marks, signs
        if self.cursor is not None and self.cursor >= len(tokens):
            self.cursor = None
        self._lay_out()
        self._fit(follow=False)

    def _lay_out(self) -> None:
        self._strips.clear()
        self._rows.begin(self._turns, self._text_width)
        if self._streaming:
            if self.text:
                self._pending = []
                self._rows.add(self.text)
            else:
                self._rows.hint(self._hint)
        elif not self._shown:
            self._rows.hint("(nothing)")
        else:
            self._rows.show(self._shown, [*self._marks, *self._cursor_mark()], signs=self._signs)
        self.refresh()

    @property
    def _text_width(self) -> int:
        return max(1, self.scrollable_content_region.width - len(MARGINS))

    def _cursor_mark(self) -> list[Mark]:
        if self.cursor is None:
            return []
        token = self._tokens[self.cursor]
        return [Mark(token.begin, token.end, "cursor")]

    def _fit(self, *, follow: bool) -> bool:
        """Adapt the scrolled area; whether that paints the whole pane anyway.

        A growing answer is scrolled by half of the pane, not line by line: each scroll paints
        every row, and a terminal far away would get many times the text.
        """
        region = self.scrollable_content_region
        height, rows = max(1, region.height), len(self._rows.rows)
        if self._streaming:
            step = max(1, height // 2)
            rows = height + step * math.ceil(max(0, rows - height) / step)
        size = Size(region.width, rows)
        changed = size != self.virtual_size
        if changed:
            self.virtual_size = size
        if follow:
            self.scroll_to(y=max(0, rows - height), animate=False)
        return changed

    def show_answer_begin(self) -> None:
        """Scroll to where the answer begins; the turns before it are above."""
        top = max(0, self._rows.head - 1) if self._turns else 0
        self.scroll_to(y=top, animate=False)

    def render_line(self, y: int) -> Strip:
        """One row as the screen shows it."""
        row = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if row >= len(self._rows.rows):
            return Strip.blank(width, self.rich_style)
        strip = self._strips.get(row)
        if strip is None:
            strip = self._strip(row, width)
            self._strips[row] = strip
        return strip

    def _strip(self, row: int, width: int) -> Strip:
        """One row with its margins, which plain text takes along: fewer bytes for the terminal."""
        pieces = self._rows.rows[row]
        if len(pieces) == 1 and not pieces[0][1]:
            text = " " + pieces[0][0]
            text += " " * (width - cell_len(text))
            return Strip([Segment(text, self.rich_style)]).adjust_cell_length(width)
        margin = Segment(" ", self.rich_style)
        segments = [margin, *(Segment(text, self._style(name)) for text, name in pieces)]
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _style(self, name: str) -> Style:
        """The style that one or several names stand for."""
        if not name:
            return self.rich_style
        return self.get_component_rich_style(*(f"answer--{part}" for part in name.split()))

    def notify_style_update(self) -> None:
        """Another theme has other colours."""
        super().notify_style_update()
        self._strips.clear()

    def on_resize(self, event: events.Resize) -> None:
        """Another width has other rows."""
        if self._text_width != self._rows.width:
            self._lay_out()
        self._fit(follow=self._streaming)

    def action_token(self, by: int) -> None:
        """Go to the next token and say how tuning changed it, where tokens are shown."""
        if not self._tokens or self._streaming:
            return
        last = len(self._tokens) - 1
        start = 0 if by > 0 else last
        self.cursor = start if self.cursor is None else min(last, max(0, self.cursor + by))
        token = self._tokens[self.cursor]
        text = self._shown[token.begin : token.end]
        self._lay_out()
        row = self._rows.row_of(token.begin)
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        if not top <= row < top + height - 1:
            self.scroll_to(y=max(0, row - height // 2), animate=False)
        word = plain(text.strip() or repr(text)[1:-1], newlines=False)
        numbers = f" {token.delta:+.2f} · {ratio(token.delta)}"
        self.border_subtitle = join((f"{word.plain[:14]}", "bold"), numbers)
        self.post_message(self.TokenChosen(self, token_words(self.cursor, text, token.delta)))

    def leave_token(self) -> None:
        """No token is under the cursor any more."""
        if self.cursor is not None:
            self.cursor = None
            self.border_subtitle = cost(self._answer)
            self._lay_out()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Tell when the person, not the stream, moves the text."""
        super().watch_scroll_y(old_value, new_value)
        moved = round(old_value) != round(new_value)
        if moved and not self._streaming and (self.has_focus or self.mouse_hover):
            self.post_message(self.Scrolled(self, new_value))


def cost(answer: Mapping[str, Any]) -> Content:
    """`34 tokens · 12.3 tok/s`; how it ended comes first, for a narrow frame cuts the end."""
    tokens, seconds = answer.get("tokens"), answer.get("seconds")
    if not isinstance(tokens, int):
        return Content("")
    parts = [f"{tokens} token{'' if tokens == 1 else 's'}"]
    if isinstance(seconds, int | float) and seconds > 0:
        speed = tokens / seconds
        parts.append(f"{speed:.0f} tok/s" if speed >= 100 else f"{speed:.1f} tok/s")
    note = FINISHES.get(str(answer.get("finish")), "")
    return join((f"{note} · " if note else "", "$warning"), " · ".join(parts))
