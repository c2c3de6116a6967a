"""A conversation with two or three sides on the screen: panes, prompt line, the models' process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Static

from workbench.tui.asking import Asker
from workbench.tui.board import RunRow
from workbench.tui.compare_head import head_line, origin, weights_line
from workbench.tui.comparing import BASE, TUNED, Past, PastRead, SidesRead, default_seats, read_past
from workbench.tui.conversation import Conversation, Seat
from workbench.tui.messages import AnswerEvent, Said
from workbench.tui.render import join, lines, next_line, plain, sentence
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.answer_panes import WIDE, AnswerPanes
from workbench.tui.widgets.prompt_input import PromptInput

if TYPE_CHECKING:
    from workbench.judge.answers import Sampling

PROMPT_SIGN = ">"
NO_RUNS = "Nothing to compare yet.\n\nPress 1, pick a recipe and press r; come back when it trains."


class TalkScreen(WorkbenchScreen):
    """Asks the models of one run and shows what they answer; the keys are the compare screen's."""

    def __init__(self) -> None:
        super().__init__()
        self._run_id = ""
        self._asker = Asker(self.bench.services.answers, self.post_message)
        self._waiting = self._paused = False
        self._talk = Conversation((BASE, TUNED), live=False)
        self._chosen: tuple[Seat, ...] = (BASE, TUNED)
        self._third = True
        self._sides_given = False
        self._past: tuple[Past, ...] = ()
        self._systems: dict[str, str] = {}
        self._given_sampling: Sampling | None = None
        self._answers = 1
        self._status = Content("")
        self._offered: dict[str, str] = {}

    @property
    def sampling(self) -> Sampling:
        """The present sampling settings."""
        if self._given_sampling is None:
            from workbench.judge.answers import Sampling

            self._given_sampling = Sampling()
        return self._given_sampling

    @property
    def seats(self) -> tuple[Seat, ...]:
        """Who is asked: the chosen sides, the middle one only where there is room for its pane."""
        room = self._third and self.size.width >= WIDE
        return self._chosen if room else (self._chosen[0], self._chosen[-1])

    @property
    def panes(self) -> AnswerPanes:
        """The answers."""
        return self.query_one(AnswerPanes)

    def compose_body(self) -> ComposeResult:
        """Run, weights, question, panes, prompt line."""
        yield Static("Looking for runs ...", id="none", classes="empty", markup=False)
        with Vertical(id="all"):
            yield Static("", id="head", markup=False)
            yield Static("", id="weights", markup=False)
            yield Static("", id="question", markup=False)
            yield AnswerPanes(without_colour=self.bench.ascii_only)
            yield Static("", id="legend", markup=False)
            yield Static("", id="failure", markup=False)
            with Horizontal(id="line"):
                yield Static(PROMPT_SIGN, id="sign", markup=False)
                yield PromptInput()

    def on_mount(self) -> None:
        """Nothing is known yet."""
        self.query_one("#all").display = False
        self.query_one("#failure").display = False
        self.query_one("#failure").border_title = "no answer"

    def on_unmount(self) -> None:
        """The models leave the memory with the screen."""
        self._asker.close()

    def on_resize(self, event: events.Resize) -> None:
        """A third pane has come or gone; what was answered stays as it is."""
        super().on_resize(event)
        if not self._waiting and not self._talk.turns:
            self._show_talk()

    def shown(self) -> None:
        """Turn to the run that was asked for."""
        self._choose()

    def runs_changed(self, rows: tuple[RunRow, ...]) -> None:
        """The first runs became known, or the state of this one changed."""
        self._choose()
        self._show_head()

    def _choose(self) -> None:
        """The run asked for, else the watched one, else the newest that may have an adapter."""
        asked = self.bench.row(self.bench.compared)
        here = self.bench.row(self._run_id)
        watched = self.bench.row(self.bench.watched)
        rows = self.bench.rows
        finished = next((row for row in rows if row.state == "finished"), None)
        row = asked or here or watched or finished or (rows[0] if rows else None)
        nothing = self.query_one("#none", Static)
        nothing.display = row is None
        self.query_one("#all").display = row is not None
        if self.bench.runs_known:
            nothing.update(NO_RUNS)
        if row is not None:
            self._turn_to(row)
            if row is asked and self.bench.asked_sides:
                self._take_asked_sides()
        elif self.bench.runs_known and self._run_id:
            self._asker.close()
            self._run_id, self._waiting = "", False

    def _take_asked_sides(self) -> None:
        """Begin a conversation with the sides that another screen has asked for."""
        seats, self.bench.asked_sides = self.bench.asked_sides, ()
        if self._waiting:
            self.bench.say("The models are still answering; escape cancels.")
            return
        self._chosen, self._third, self._sides_given = seats, True, True
        self._show_failure(None)
        self._new_talk()
        self.query_one(PromptInput).focus()

    def _turn_to(self, row: RunRow) -> None:
        self.bench.compared = row.id
        if row.id == self._run_id:
            return
        self._asker.close()
        self._run_id, self._past, self._chosen = row.id, (), (BASE, TUNED)
        self._waiting, self._sides_given, self._status = False, False, Content("")
        self._talk = Conversation(self.seats, live=False)
        self._show_failure(None)
        self._show_talk()
        self.query_one(PromptInput).focus()
        run = self.bench.actions.directory(row.id)

        def read() -> None:
            self.post_message(SidesRead(row.id, default_seats(run)))
            self.post_message(PastRead(row.id, read_past(run)))

        self.run_worker(read, thread=True, exit_on_error=False, group="past")

    @on(SidesRead)
    def _sides_read(self, event: SidesRead) -> None:
        event.stop()
        if event.run_id == self._run_id and not self._waiting and not self._sides_given:
            self._chosen = event.seats
            if not self._talk.turns:
                self._new_talk()

    @on(PastRead)
    def _past_read(self, event: PastRead) -> None:
        event.stop()
        if event.run_id != self._run_id:
            return
        self._past = event.past
        prompts = dict.fromkeys(past.prompt for past in event.past)
        self.query_one(PromptInput).set_history(list(prompts))
        answered = [past for past in event.past if past.talk]
        if answered and not (self._talk.turns or self._waiting or self._sides_given):
            self._show_past(answered[-1])

    def _show_past(self, past: Past) -> None:
        if past.talk is None:
            self._new_talk()
        else:
            self._talk = past.talk
            self._status = plain(origin(past, self.bench.services.clock()), style="$muted")
        self._show_talk()

    def _new_talk(self) -> None:
        """Begin a conversation with the present sides."""
        self._talk = Conversation(self.seats, self._systems.get(self._run_id, ""))
        self._status = Content("")
        self._show_talk()

    def _show_talk(self) -> None:
        self.panes.show(self._talk if self._talk.turns else Conversation(self.seats))
        if not self._talk.turns:
            self.panes.begin(Conversation(self.seats), "ask something below")
        self._show_around()

    def _show_around(self) -> None:
        """Everything that stands around the panes."""
        talk = self._talk
        question = self.query_one("#question", Static)
        question.display = bool(talk.prompt)
        of = f"  [{talk.index + 1} of {talk.count}]" if talk.count > 1 else ""
        question.update(
            join((f"{PROMPT_SIGN} ", "$primary"), plain(talk.prompt, style="bold"), (of, "$accent"))
        )
        weights = weights_line(talk)
        self.query_one("#weights").display = bool(weights)
        self.query_one("#weights", Static).update(weights)
        legend = Content("") if self._waiting else self.panes.legend()
        self.query_one("#legend").display = bool(legend)
        self.query_one("#legend", Static).update(legend)
        self._show_head()

    def _show_head(self) -> None:
        row = self.bench.row(self._run_id)
        if row is not None:
            system = bool(self._talk.system)
            head = head_line(row, self.sampling, self._answers, system, self._status)
            self.query_one("#head", Static).update(head)

    def _say_status(self, text: str, style: str) -> None:
        self._status = plain(text, style=style)
        self._show_head()

    def _show_failure(self, event: Mapping[str, Any] | None) -> None:
        panel = self.query_one("#failure", Static)
        panel.display = event is not None
        if event is not None:
            step = str(event.get("next_step") or "Press enter to ask again.")
            what = sentence(str(event.get("what") or "The models' process failed."))
            panel.update(lines(what, next_line(step)))

    @on(Input.Submitted, "#prompt")
    def _submitted(self, event: Input.Submitted) -> None:
        typed = event.value.strip()
        self._ask(self._offered.get(typed, typed))

    def _offer(self, text: str) -> None:
        """Put a text into the prompt line; sent as it is, it keeps its line ends."""
        field = self.query_one(PromptInput)
        field.value = plain(text, newlines=False).plain
        field.cursor_position = len(field.value)
        self._offered = {field.value.strip(): text}
        field.focus()

    def _ask(self, prompt: str) -> None:
        """Say something to all sides; nothing = the last once more."""
        if not self._run_id or not (prompt or self._talk.prompt):
            return
        if self._waiting:
            self.bench.say("The models are still answering; escape cancels.")
            return
        if prompt and (not self._talk.live or self._strangers()):
            self._new_talk()
        talk = self._talk
        if prompt:
            talk.say(prompt)
        else:
            talk.again()
            talk.live = True
        self._waiting, self._paused = True, False
        loaded = self._asker.loaded
        self._status = plain("asking ..." if loaded else "loading the models", style="$accent")
        self.query_one(PromptInput).value = ""
        self._show_failure(None)
        self.panes.begin(talk, "...")
        self._show_around()
        work = self._asker.asking(
            self.bench.actions.directory(self._run_id),
            talk.request(),
            self.sampling,
            [seat.spec for seat in talk.seats],
            self._answers,
        )
        self.run_worker(work, thread=True, exit_on_error=False, group="ask")

    def _strangers(self) -> bool:
        """Whether the sides are others than those that the conversation was held with."""
        return {seat.spec for seat in self.seats} != {seat.spec for seat in self._talk.seats}

    @on(AnswerEvent)
    def _answer_event(self, message: AnswerEvent) -> None:
        message.stop()
        event = message.event
        if not self._asker.accepts(message):
            return
        match event.get("event"):
            case "loading":
                self._say_status(str(event.get("message") or "loading the models ..."), "$accent")
            case "ready":
                place = ", ".join(str(event[key]) for key in ("device", "dtype") if event.get(key))
                self._say_status(f"answering on {place}" if place else "answering", "$accent")
            case "error":
                self._error(event)
            case _ if self._waiting:
                self._progress(event)

    def _progress(self, event: Mapping[str, Any]) -> None:
        """Something of the present answers has come."""
        kind, side, index = event.get("event"), str(event.get("side")), event.get("index") or 0
        if kind == "text" and isinstance(index, int):
            self.panes.text(side, index, str(event.get("text") or ""))
        self._talk.take(event)
        if kind == "weights":
            self._show_around()
        elif kind == "answer" and index == self._talk.index:
            self.panes.answered(side)
        elif kind == "done":
            self._done()

    def _done(self) -> None:
        self._waiting = self._paused = False
        left = len(self._talk.queue)
        if left and not self.query_one(PromptInput).value:
            self._offer(self._talk.queue.pop(0))
        more = f" · enter asks the prompt's next turn ({left} left)" if left else ""
        self._status = plain(f"done{more}", style="$success")
        self.panes.analysed()
        if not any(pane.has_focus for pane in self.panes.used):
            # A stream is followed at its end; an answer is read from its beginning.
            self.panes.show_beginning()
        self._show_around()
        if self._talk.turn is not None and self._talk.turn.answered:
            self._keep()

    def _error(self, event: Mapping[str, Any]) -> None:
        self._waiting = self._paused = False
        self._status = plain("failed", style="$error")
        self._show_around()
        self._show_failure(event)
        self.panes.fail("no answer")

    def _keep(self) -> None:
        """Write the comparison into the run directory, and into this session's history."""
        from workbench.tui.keeping import keep

        run, run_id = self.bench.actions.directory(self._run_id), self._run_id
        work = keep(run, self._talk, self.sampling)

        def write() -> None:
            try:
                work()
            except OSError as error:
                self.app.post_message(Said(f"The comparison was not kept: {error.strerror}"))
            self.post_message(PastRead(run_id, read_past(run)))

        self.run_worker(write, thread=True, exit_on_error=False, group="past")
