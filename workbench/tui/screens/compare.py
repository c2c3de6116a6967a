"""One prompt, two or three answers, growing side by side: base, tuned, and what lies between."""

from __future__ import annotations

import dataclasses
import secrets
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Static

from workbench.tui.comparing import with_side
from workbench.tui.conversation import Seat
from workbench.tui.messages import Said, Then
from workbench.tui.render import join, plain
from workbench.tui.screens.talk import TalkScreen
from workbench.tui.widgets.answer_pane import AnswerPane
from workbench.tui.widgets.answer_panes import WIDE
from workbench.tui.widgets.prompt_input import PromptInput

if TYPE_CHECKING:
    from workbench.judge.answers import Sampling
    from workbench.tui.prompt_library import Chosen


def _key(keys: str, action: str, label: str, tooltip: str, *, shown: str = "") -> Binding:
    """A key of the help and the palette, and of the footer where it says how it is `shown`."""
    name = f"compare.{label.lower().replace(' ', '-')}"
    display = shown or None
    return Binding(
        keys, action, label, show=bool(shown), key_display=display, id=name, tooltip=tooltip
    )


class CompareScreen(TalkScreen):
    """Asks the models of one run."""

    MODE = "compare"
    CSS_PATH = "compare.tcss"
    HELP_TITLE = "Compare"
    HELP_TEXT = (
        "Type a prompt and press enter: the sides answer at the same time, with the same seed. "
        "What you type next goes on with each side's own conversation; ctrl+n begins a new one. "
        "Tab goes to the panes, where the keys of one letter work; enter goes back to the prompt. "
        "A log-ratio says how much likelier the tuned side finds a token than the first side does. "
        "Every comparison is kept in the run directory."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        _key("enter", "ask", "Ask", "Ask all sides, or go back to the prompt", shown="enter"),
        _key("f2", "sampling", "Sampling", "Temperature, length, number of answers", shown="f2"),
        _key("f3", "prompts", "Prompts", "Past comparisons and the prompt library", shown="f3"),
        _key("f4", "run", "Run", "Choose the run to compare", shown="f4"),
        _key("f5,s", "side", "Side", "Choose who answers in the focused pane", shown="f5"),
        _key("f9,v", "view", "View", "Plain, differences, or what tuning changed", shown="f9"),
        _key("f6", "vote", "Vote", "Vote blind: which is better?", shown="f6"),
        _key("f7", "timeline", "Timeline", "What each checkpoint answered", shown="f7"),
        _key("escape", "stop", "Stop", "Cancel the answers, or leave the prompt line", shown="esc"),
        Binding("f1,question_mark", "app.help", "Help", key_display="f1", id="compare.help"),
        _key("ctrl+n", "new", "New", "Begin a new conversation", shown="^n"),
        _key("ctrl+r", "retry", "Retry", "The same prompt with a new seed", shown="^r"),
        _key("f8,p", "pause", "Pause", "Halt the answers, or let them go on", shown="f8"),
        _key("ctrl+t", "system", "System prompt", "What the models are told before all else"),
        _key("ctrl+s", "save", "Save", "Write the comparison into a Markdown file"),
        _key("t", "third", "Third pane", f"With or without a third side ({WIDE} columns)"),
        _key("z", "zoom", "Zoom", "The focused pane alone, or all again"),
        _key("l", "together", "Scroll together", "Panes scroll together, or each by itself"),
        _key(
            "left_square_bracket,ctrl+left",
            "page(-1)",
            "Answer before",
            "The answer before, where several were asked for",
        ),
        _key(
            "right_square_bracket,ctrl+right",
            "page(1)",
            "Next answer",
            "The next answer, where several were asked for",
        ),
        _key("y", "copy", "Copy", "Copy the answer of the focused pane"),
        Binding("q", "app.quit", "Quit", show=False, id="compare.quit"),
    ]

    def action_ask(self) -> None:
        """Go to the prompt line, where enter asks."""
        self.query_one(PromptInput).focus()

    def action_stop(self) -> None:
        """Cancel the answers; without any, leave the prompt line."""
        if self._waiting:
            self._say_status("cancelling ...", "$warning")
            work = self._asker.cancelling()
            self.run_worker(work, thread=True, exit_on_error=False, group="cancel")
        else:
            self.panes.used[0].focus()

    def action_pause(self) -> None:
        """Halt the answers, or let them go on."""
        if not self._waiting:
            self.bench.say("Nothing is being answered.")
            return
        self._paused = not self._paused
        paused = "paused: f8 goes on" if self._paused else "answering"
        self._say_status(paused, "$warning" if self._paused else "$accent")
        work = self._asker.pausing(self._paused)
        self.run_worker(work, thread=True, exit_on_error=False, group="cancel")

    def action_retry(self) -> None:
        """Ask the same again with another seed."""
        if not self._talk.prompt:
            self.bench.say("Ask something first.")
        elif self.sampling.temperature == 0:
            self.bench.say("Greedy answers are always the same: raise the temperature with f2.")
        elif not self._waiting:
            seed = secrets.randbelow(2**31)
            self._given_sampling = dataclasses.replace(self.sampling, seed=seed)
            self._ask("")

    def action_new(self) -> None:
        """Begin a new conversation."""
        if self._waiting:
            self.bench.say("The models are still answering; escape cancels.")
            return
        self._show_failure(None)
        self._new_talk()
        self.query_one(PromptInput).focus()

    def action_sampling(self) -> None:
        """Change how answers are drawn."""
        from workbench.tui.dialogs.sampling import SamplingDialog

        def answered(result: tuple[Sampling, int] | None) -> None:
            if result is not None:
                self._given_sampling, self._answers = result
                self._show_head()

        self.app.push_screen(SamplingDialog(self.sampling, self._answers), answered)

    def action_system(self) -> None:
        """Change the system prompt; a conversation that has begun is begun anew."""
        from workbench.tui.dialogs.text import TextDialog

        def answered(text: str | None) -> None:
            if text is not None and not self._waiting:
                self._systems[self._run_id] = text.strip()
                self._new_talk()

        now = self._systems.get(self._run_id, "")
        self.app.push_screen(TextDialog("System prompt of a new conversation", now), answered)

    def action_prompts(self) -> None:
        """Past comparisons, and the prompts of the library."""
        from workbench.tui.dialogs.prompts import PromptsDialog

        run = self.bench.actions.directory(self._run_id) if self._run_id else None
        present = self.query_one(PromptInput).value.strip() or self._talk.prompt
        if run is not None:
            self.app.push_screen(PromptsDialog(run, self._past, present), self._prompt_chosen)

    def _prompt_chosen(self, chosen: Chosen | None) -> None:
        if chosen is None or self._waiting:
            return
        text = chosen.past.prompt if chosen.past else ""
        if chosen.past is not None:
            self._show_past(chosen.past)
        elif chosen.prompt is not None:
            from workbench.tui.prompt_library import conversation_with

            system = self._systems.get(self._run_id, "")
            talk = conversation_with(chosen.prompt, chosen.set_name, self.seats, system)
            self._new_talk()
            self._talk, text = talk, chosen.prompt.text
            self._show_head()
        self._offer(text)

    def action_run(self) -> None:
        """Choose the run to compare."""
        from workbench.tui.compare_head import run_line
        from workbench.tui.dialogs.pick import PickDialog

        rows = self.bench.rows
        chosen = next((i for i, row in enumerate(rows) if row.id == self._run_id), 0)

        def answered(index: int | None) -> None:
            if index is not None:
                self._turn_to(rows[index])
                self._show_head()

        if rows:
            options = [run_line(row) for row in rows]
            self.app.push_screen(PickDialog("Compare which run?", options, chosen), answered)

    def _focused_pane(self) -> AnswerPane:
        """The focused pane, else the last one."""
        focused = self.focused
        return focused if isinstance(focused, AnswerPane) else self.panes.used[-1]

    def action_side(self) -> None:
        """Choose whose answers the focused pane shows."""
        if self._waiting or not self._run_id:
            self.bench.say("The models are still answering; escape cancels.")
            return
        at = self.panes.used.index(self._focused_pane())
        self._ask_for_side(f"Who answers instead of {self.seats[at].label}?", at)

    def _ask_for_side(self, title: str, at: int) -> None:
        """Let one be chosen of all sides, which are looked for in a thread.

        Args:
            at: Number of the pane that it is for; that of no pane yet for a third one.
        """
        from workbench.tui.comparing import all_seats

        run = self.bench.actions.directory(self._run_id)
        others = [self.bench.actions.directory(row.id) for row in self.bench.rows]

        def read() -> None:
            seats = all_seats(run, others)
            self.app.post_message(Then(lambda: self._pick_side(title, at, seats)))

        self.run_worker(read, thread=True, exit_on_error=False, group="sides")

    def _pick_side(self, title: str, at: int, seats: list[Seat]) -> None:
        from workbench.tui.dialogs.pick import PickDialog

        present = self.seats
        now = present[at].spec if at < len(present) else ""
        options = [
            join(plain(seat.label, style="bold"), "  ", plain(seat.spec, style="$muted"))
            for seat in seats
        ]

        def answered(index: int | None) -> None:
            if index is not None and seats[index].spec != now:
                self._take_side(at, seats[index])

        place = next((i for i, seat in enumerate(seats) if seat.spec == now), 0)
        self.app.push_screen(PickDialog(plain(title, newlines=False), options, place), answered)

    def _take_side(self, at: int, seat: Seat) -> None:
        self._chosen = with_side(self._chosen, self.seats, at, seat)
        self._third = True
        prompt = self._talk.prompt
        self._new_talk()
        if prompt:
            self._offer(prompt)

    def action_third(self) -> None:
        """With or without a third pane; chooses who answers there where nobody does yet."""
        if self.size.width < WIDE:
            self.bench.say(f"A third pane takes a terminal of {WIDE} columns.")
        elif len(self._chosen) < 3 and not self._waiting:
            self._ask_for_side("Who answers in the middle?", 2)
        elif not self._waiting:
            self._third = not self._third
            self._new_talk()

    def action_view(self) -> None:
        """Show the answers in the next way."""
        self.panes.next_view()
        self._show_around()

    def action_zoom(self) -> None:
        """One pane alone, or all again."""
        self.panes.zoom(self._focused_pane())

    def action_together(self) -> None:
        """Let the panes scroll together or apart."""
        self.panes.together = not self.panes.together
        how = "together" if self.panes.together else "each by itself"
        self.bench.say(f"The panes scroll {how}.")

    def action_page(self, by: int) -> None:
        """Show another one of several answers."""
        count = max(self._talk.count, self._answers if self._waiting else 1)
        if count < 2:
            self.bench.say("There is one answer a side; f2 asks for more of them.")
            return
        self._talk.index = (self._talk.index + by) % count
        self.panes.show_index()
        self._show_around()

    def action_timeline(self) -> None:
        """Show what each checkpoint of this run answered."""
        if self._run_id:
            self.bench.show_timeline(self._run_id)

    def action_vote(self) -> None:
        """Vote blind on this run's answers; its models here make room for those of the vote."""
        from workbench.tui.screens.vote import VoteScreen

        if self._waiting:
            self.bench.say("The models are still answering; escape cancels.")
        elif self._run_id:
            self._asker.close()
            pair = (self.seats[0].spec, self.seats[-1].spec)
            self.app.push_screen(VoteScreen(self._run_id, pair, self.sampling))

    def action_copy(self) -> None:
        """Copy the focused pane's answer."""
        text = self._focused_pane().text
        if text:
            self.bench.copy(plain(text, newlines=True).plain)

    def action_save(self) -> None:
        """Write the comparison into a Markdown file in the present folder."""
        from workbench.tui.keeping import write_markdown

        if self._waiting or self._talk.turn is None or not self._talk.turn.answered:
            self.bench.say("There is nothing to save yet.")
            return
        row, talk, sampling = self.bench.row(self._run_id), self._talk, self.sampling
        name, folder = row.label if row else self._run_id, self.bench.services.cwd

        def write() -> None:
            try:
                path = write_markdown(folder, name, self._run_id, talk, sampling)
            except OSError as error:
                self.app.post_message(Said(f"It was not saved: {folder}: {error.strerror}"))
            else:
                self.app.post_message(Said(f"Saved as {path}"))

        self.run_worker(write, thread=True, exit_on_error=False, group="save")

    @on(AnswerPane.TokenChosen)
    def _token_chosen(self, event: AnswerPane.TokenChosen) -> None:
        event.stop()
        self.query_one("#legend", Static).update(plain(event.words, newlines=False))
