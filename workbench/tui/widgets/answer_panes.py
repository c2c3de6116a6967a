"""Two or three answers side by side: who answers where, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content

from workbench.judge.log_ratios import change_of, first_difference, tokens_of
from workbench.tui import shading
from workbench.tui.conversation import Conversation, Seat
from workbench.tui.render import join, plain
from workbench.tui.shading import Mark
from workbench.tui.widgets.answer_pane import AnswerPane

PAINT_SECONDS = 0.125
WIDE = 120
PLACES = ("base", "middle", "tuned")


class AnswerPanes(Horizontal):
    """The panes of a conversation's sides.

    Attributes:
        view: How finished answers are shown, one of `shading.VIEWS`.
        together: Whether the panes scroll together.
    """

    DEFAULT_CSS = """
    AnswerPanes { height: 1fr; padding: 0 1; }
    """

    def __init__(self, *, without_colour: bool) -> None:
        super().__init__(id="panes")
        self.view = shading.PLAIN
        self.together = True
        self._views = shading.VIEWS_WITHOUT_COLOUR if without_colour else shading.VIEWS
        self._talk = Conversation(())
        self._pieces: dict[tuple[str, int], list[str]] = {}
        self._finished = True
        self._zoomed: AnswerPane | None = None

    def compose(self) -> ComposeResult:
        """Three panes; the middle one is for a third side."""
        for number in (1, 2, 3):
            yield AnswerPane(number)

    def on_mount(self) -> None:
        """What is generated is painted eight times a second."""
        self.set_interval(PAINT_SECONDS, self._paint)

    def _paint(self) -> None:
        for pane in self.used:
            pane.paint()

    @property
    def panes(self) -> tuple[AnswerPane, AnswerPane, AnswerPane]:
        """Left, middle, right."""
        first, middle, last = self.query(AnswerPane)
        return first, middle, last

    @property
    def used(self) -> list[AnswerPane]:
        """The panes that have a side now."""
        return [pane for pane in self.panes if pane.side]

    def pane_of(self, side: str) -> AnswerPane | None:
        """The pane of a side."""
        return next((pane for pane in self.used if pane.side == side), None)

    def seat(self, seats: Iterable[Seat]) -> None:
        """Give each side its pane."""
        chosen = list(seats)
        for pane, place in zip(self.panes, PLACES, strict=True):
            index = {"base": 0, "tuned": len(chosen) - 1}.get(place, 1)
            used = place != "middle" or len(chosen) > len(PLACES) - 1
            seat = chosen[index] if used and chosen else Seat("", "")
            pane.name_side(seat.spec, seat.label, place)
        self._show_panes()

    def _show_panes(self) -> None:
        if self._zoomed is not None and not self._zoomed.side:
            self._zoomed = None
        for pane in self.panes:
            pane.display = bool(pane.side) and self._zoomed in (None, pane)

    def zoom(self, pane: AnswerPane) -> None:
        """Show one pane alone, or all again."""
        self._zoomed = None if self._zoomed is pane else pane
        self._show_panes()
        pane.focus()

    def begin(self, talk: Conversation, hint: str) -> None:
        """Answers to what was said last are awaited."""
        self._talk, self._pieces, self._finished = talk, {}, False
        self.seat(talk.seats)
        for pane in self.used:
            pane.begin(hint, talk.earlier(pane.side))

    def text(self, side: str, index: int, text: str) -> None:
        """A piece of an answer has come."""
        self._pieces.setdefault((side, index), []).append(text)
        pane = self.pane_of(side)
        if pane is not None and index == self._talk.index:
            pane.add(text)

    def answered(self, side: str) -> None:
        """A side's answer is whole, or more is known of it: show that."""
        pane = self.pane_of(side)
        answer = self._talk.answer(side)
        if pane is not None and answer is not None:
            pane.finish(answer)
            self._mark(pane)

    def analysed(self) -> None:
        """All is known of the answers that are shown."""
        for pane in self.used:
            if self._talk.answer(pane.side) is not None:
                self._mark(pane)

    def show(self, talk: Conversation) -> None:
        """Show a conversation as far as it has come."""
        self._talk, self._pieces, self._finished = talk, {}, True
        self.seat(talk.seats)
        self.show_index()

    def show_index(self) -> None:
        """Show the answers of the conversation's present number."""
        talk = self._talk
        for pane in self.used:
            answer = talk.answer(pane.side)
            hint = "not asked yet: press enter" if self._finished else "..."
            pane.begin(hint if answer is None else "", talk.earlier(pane.side))
            if answer is not None:
                self.answered(pane.side)
            elif pieces := self._pieces.get((pane.side, talk.index)):
                pane.add("".join(pieces))
        self.show_beginning()

    def show_beginning(self) -> None:
        """Scroll each answer to where it begins."""
        for pane in self.used:
            pane.call_after_refresh(pane.show_answer_begin)

    def fail(self, hint: str) -> None:
        """Nothing more will come."""
        for pane in self.used:
            if not pane.text and self._talk.answer(pane.side) is None:
                pane.begin(hint, self._talk.earlier(pane.side))

    def next_view(self) -> None:
        """Show the answers in the next way."""
        at = self._views.index(self.view) + 1
        self.view = self._views[at % len(self._views)]
        for pane in self.used:
            pane.leave_token()
        self.analysed()

    def _mark(self, pane: AnswerPane) -> None:
        answer = self._talk.answer(pane.side) or {}
        shown, tokens = tokens_of(answer)
        turn = first_difference(answer, tokens)
        marks: list[Mark] = []
        if self.view in (shading.SHADING, shading.SIGNS):
            marks = shading.token_marks(tokens, turn, signs=self.view == shading.SIGNS)
        elif self.view == shading.DIFFERENCES:
            other = self._other(pane)
            if other is not None:
                against, first = tokens_of(other)[0], pane is self.used[0]
                pair = (shown, against) if first else (against, shown)
                marks = shading.word_marks(*pair, of_first=first)
        by_token = self.view in (shading.SHADING, shading.SIGNS)
        if turn >= 0 and not by_token:
            marks.append(Mark(tokens[turn].begin, tokens[turn].end, "turn"))
        signs = self.view == shading.SIGNS
        pane.mark(shown, tokens if by_token else (), marks, signs=signs)

    def _other(self, pane: AnswerPane) -> Mapping[str, Any] | None:
        """The answer that a pane's is compared with: the first side's; for that, the last one's."""
        panes = self.used
        return self._talk.answer((panes[-1] if pane is panes[0] else panes[0]).side)

    def legend(self) -> Content:
        """What the marks mean; without marks what differs, in numbers."""
        panes = self.used
        if len(panes) < 2 or not self._finished_answers():
            return Content("")
        tuned, first = str(panes[-1].border_title), str(panes[0].border_title)
        if self.view != shading.PLAIN:
            analysed = any(tokens_of(a)[1] for a in self._finished_answers())
            if self.view == shading.DIFFERENCES or analysed:
                return shading.legend(self.view, tuned, first)
            return plain("Nothing is known of these answers' tokens: ask again.", style="$muted")
        return self._numbers()

    def _finished_answers(self) -> list[Mapping[str, Any]]:
        answers = [self._talk.answer(pane.side) for pane in self.used]
        return [answer for answer in answers if answer is not None]

    def _numbers(self) -> Content:
        parts = []
        last = self._talk.answer(self.used[-1].side) or {}
        at = last.get("first_difference")
        if isinstance(at, int):
            parts.append(f"first difference: token {at + 1}" if at >= 0 else "answers are equal")
        change = change_of(last)
        if change is not None:
            words = f"{change.share:.0%} of tokens changed · mean |log-ratio| {change.mean:.2f}"
            parts.append(words)
        return join((" · ".join(parts), "$muted"))

    @on(AnswerPane.Scrolled)
    def _scrolled(self, event: AnswerPane.Scrolled) -> None:
        event.stop()
        if self.together:
            for pane in self.used:
                if pane is not event.pane:
                    pane.scroll_to(y=event.position, animate=False)
