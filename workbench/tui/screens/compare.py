"""One prompt, two answers: the base model's and the tuned one's, growing side by side."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Static

from workbench.tui.asking import SIDES, Asker
from workbench.tui.board import RunRow
from workbench.tui.comparing import Past, PastRead, read_past
from workbench.tui.dialogs.pick import PickDialog
from workbench.tui.messages import AnswerEvent, Said
from workbench.tui.render import ago, join, lines, next_line, plain, sentence, state_mark
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.answer_pane import AnswerPane
from workbench.tui.widgets.prompt_input import PromptInput

if TYPE_CHECKING:
    from workbench.judge.answers import Sampling

PROMPT_SIGN = ">"
NO_RUNS = "Nothing to compare yet.\n\nPress 1, pick a recipe and press r; come back when it trains."


class CompareScreen(WorkbenchScreen):
    """Asks the models of one run."""

    MODE = "compare"
    CSS_PATH = "compare.tcss"
    HELP_TITLE = "Compare"
    HELP_TEXT = (
        "Type a prompt and press enter: the base model and the tuned one answer at the same time. "
        "Tab goes to the panes, which scroll together; enter goes back to the prompt. "
        "Every comparison is kept in the run directory."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "ask",
            "Ask",
            key_display="enter",
            id="compare.ask",
            tooltip="Ask both models, or go back to the prompt",
        ),
        Binding(
            "f2",
            "sampling",
            "Sampling",
            id="compare.sampling",
            tooltip="Temperature, length, seed and the like",
        ),
        Binding(
            "f3",
            "prompts",
            "Prompts",
            id="compare.prompts",
            tooltip="Past prompts with their answers, and those of the recipe",
        ),
        Binding("f4", "run", "Run", id="compare.run", tooltip="Choose the run to compare"),
        Binding(
            "ctrl+r",
            "retry",
            "Retry",
            id="compare.retry",
            tooltip="The same prompt with a new seed",
        ),
        Binding(
            "escape",
            "stop",
            "Stop",
            key_display="esc",
            id="compare.stop",
            tooltip="Cancel the answers, or leave the prompt line",
        ),
        Binding(
            "y",
            "copy",
            "Copy",
            show=False,
            id="compare.copy",
            tooltip="Copy the answer of the focused pane",
        ),
        Binding(
            "f7",
            "timeline",
            "Timeline",
            show=False,
            id="compare.timeline",
            tooltip="What each checkpoint answered while it was trained",
        ),
        Binding("f1,question_mark", "app.help", "Help", key_display="f1", id="compare.help"),
        Binding("q", "app.quit", "Quit", show=False, id="compare.quit"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._run_id = ""
        self._asker = Asker(self.bench.services.answers, self.post_message)
        self._waiting = False
        self._prompt = ""
        self._answers: dict[str, Mapping[str, Any]] = {}
        self._past: tuple[Past, ...] = ()
        self._sampling: Sampling | None = None
        self._status = Content("")

    @property
    def sampling(self) -> Sampling:
        """The present sampling settings."""
        if self._sampling is None:
            from workbench.judge.answers import Sampling

            self._sampling = Sampling()
        return self._sampling

    def compose_body(self) -> ComposeResult:
        """Run, question, panes, prompt line."""
        yield Static("Looking for runs ...", id="none", classes="empty", markup=False)
        with Vertical(id="all"):
            yield Static("", id="head", markup=False)
            yield Static("", id="question", markup=False)
            with Horizontal(id="panes"):
                yield AnswerPane("base", "base")
                yield AnswerPane("tuned", "tuned")
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
        elif self.bench.runs_known and self._run_id:
            self._asker.close()
            self._run_id, self._waiting = "", False

    def _turn_to(self, row: RunRow) -> None:
        self.bench.compared = row.id
        if row.id == self._run_id:
            return
        self._asker.close()
        self._run_id, self._prompt, self._past = row.id, "", ()
        self._answers, self._waiting, self._status = {}, False, Content("")
        self._show_question()
        self._show_failure(None)
        for side in SIDES:
            self._pane(side).begin("ask something below")
        self.query_one(PromptInput).focus()
        run = self.bench.actions.directory(row.id)
        self.run_worker(
            lambda: self.post_message(PastRead(row.id, read_past(run))),
            thread=True,
            exit_on_error=False,
            group="past",
        )

    def _pane(self, side: str) -> AnswerPane:
        return self.query_one(f"#{side}", AnswerPane)

    @on(PastRead)
    def _past_read(self, event: PastRead) -> None:
        event.stop()
        if event.run_id != self._run_id:
            return
        self._past = event.past
        self.query_one(PromptInput).set_history([past.prompt for past in event.past])
        answered = [past for past in event.past if past.answers]
        if answered and not self._prompt:
            self._show_past(answered[-1])

    def _show_past(self, past: Past) -> None:
        self._prompt = past.prompt
        for side in SIDES:
            pane = self._pane(side)
            if side in past.answers:
                pane.finish(past.answers[side])
                pane.scroll_home(animate=False)
            else:
                pane.begin("not asked yet: press enter")
        self._status = plain(_origin(past, self.bench.services.clock()), style="$muted")
        self._show_question()
        self._show_head()

    def _show_question(self) -> None:
        question = self.query_one("#question", Static)
        question.display = bool(self._prompt)
        question.update(join((f"{PROMPT_SIGN} ", "$primary"), plain(self._prompt, style="bold")))

    def _show_head(self) -> None:
        row = self.bench.row(self._run_id)
        if row is None:
            return
        how = self.sampling
        drawn = "greedy" if how.temperature == 0 else f"temperature {how.temperature:g}"
        drawn = f"{drawn} · {how.max_new_tokens} tokens"
        name = plain(row.label, style="bold")
        head = join(
            name, "  ", state_mark(row.state), "   ", (drawn, "$muted"), "   ", self._status
        )
        self.query_one("#head", Static).update(head)

    def _show_failure(self, event: Mapping[str, Any] | None) -> None:
        panel = self.query_one("#failure", Static)
        panel.display = event is not None
        if event is not None:
            step = str(event.get("next_step") or "Press enter to ask again.")
            what = sentence(str(event.get("what") or "The models' process failed."))
            panel.update(lines(what, next_line(step)))

    @on(Input.Submitted, "#prompt")
    def _submitted(self, event: Input.Submitted) -> None:
        self._ask(event.value.strip() or self._prompt)

    def action_ask(self) -> None:
        """Go to the prompt line, where enter asks."""
        self.query_one(PromptInput).focus()

    def _ask(self, prompt: str) -> None:
        if not prompt or not self._run_id:
            return
        if self._waiting:
            self.bench.say("Both models are still answering; escape cancels.")
            return
        self._prompt, self._waiting, self._answers = prompt, True, {}
        loaded = self._asker.loaded
        self._status = plain("asking ..." if loaded else "loading the models", style="$accent")
        self.query_one(PromptInput).value = ""
        self._show_question()
        self._show_failure(None)
        self._show_head()
        for side in SIDES:
            self._pane(side).begin("...")
        work = self._asker.asking(
            self.bench.actions.directory(self._run_id),
            [{"role": "user", "content": prompt}],
            self.sampling,
        )
        self.run_worker(work, thread=True, exit_on_error=False, group="ask")

    @on(AnswerEvent)
    def _answer_event(self, message: AnswerEvent) -> None:
        message.stop()
        event = message.event
        if not self._asker.accepts(message):
            return
        handlers = {
            "loading": self._loading,
            "ready": self._models_ready,
            "text": self._text,
            "answer": self._answer,
            "done": self._done,
            "error": self._error,
        }
        handler = handlers.get(str(event.get("event")))
        if handler is not None:
            handler(event)

    def _loading(self, event: Mapping[str, Any]) -> None:
        what = event.get("message") or "loading the models ..."
        self._status = plain(what, style="$accent")
        self._show_head()

    def _models_ready(self, event: Mapping[str, Any]) -> None:
        place = ", ".join(str(event[key]) for key in ("device", "dtype") if event.get(key))
        self._status = plain(f"answering on {place}" if place else "answering", style="$accent")
        self._show_head()

    def _text(self, event: Mapping[str, Any]) -> None:
        if self._waiting and event.get("side") in SIDES:
            self._pane(str(event["side"])).add(str(event.get("text") or ""))

    def _answer(self, event: Mapping[str, Any]) -> None:
        if self._waiting and event.get("side") in SIDES:
            self._answers[str(event["side"])] = event
            self._pane(str(event["side"])).finish(event)

    def _done(self, event: Mapping[str, Any]) -> None:
        if not self._waiting:
            return
        self._waiting = False
        self._status = plain("done", style="$success")
        if not isinstance(self.focused, AnswerPane):
            # A stream is followed at its end; an answer is read from its beginning.
            for side in SIDES:
                self._pane(side).scroll_home(animate=False)
        self._show_head()
        if not any(answer.get("text") for answer in self._answers.values()):
            return
        self._keep()

    def _error(self, event: Mapping[str, Any]) -> None:
        self._waiting = False
        self._status = plain("failed", style="$error")
        self._show_head()
        self._show_failure(event)
        for side in SIDES:
            if side not in self._answers and not self._pane(side).text:
                self._pane(side).begin("no answer")

    def _keep(self) -> None:
        """Write the comparison into the run directory, and into this session's history."""
        run = self.bench.actions.directory(self._run_id)
        prompt, answers, sampling = self._prompt, dict(self._answers), self.sampling
        run_id = self._run_id

        def work() -> None:
            from workbench.judge.comparisons import Asked, save_comparison

            asked = Asked([{"role": "user", "content": prompt}], sampling)

            try:
                save_comparison(run, asked, answers)
            except OSError as error:
                self.app.post_message(Said(f"The comparison was not kept: {error.strerror}"))
            self.post_message(PastRead(run_id, read_past(run)))

        self.run_worker(work, thread=True, exit_on_error=False, group="past")

    def action_stop(self) -> None:
        """Cancel the answers; without any, leave the prompt line."""
        if self._waiting:
            self._status = plain("cancelling ...", style="$warning")
            self._show_head()
            work = self._asker.cancelling()
            self.run_worker(work, thread=True, exit_on_error=False, group="cancel")
        else:
            self._pane("base").focus()

    def action_retry(self) -> None:
        """Ask the same again with another seed."""
        if not self._prompt:
            self.bench.say("Ask something first.")
        elif self.sampling.temperature == 0:
            self.bench.say("Greedy answers are always the same: raise the temperature with f2.")
        elif not self._waiting:
            self._sampling = dataclasses.replace(self.sampling, seed=secrets.randbelow(2**31))
            self._ask(self._prompt)

    def action_sampling(self) -> None:
        """Change how answers are drawn."""
        from workbench.tui.dialogs.sampling import SamplingDialog

        def answered(sampling: Sampling | None) -> None:
            if sampling is not None:
                self._sampling = sampling
                self._show_head()

        self.app.push_screen(SamplingDialog(self.sampling), answered)

    def action_prompts(self) -> None:
        """Choose among the past prompts, newest first."""
        past = self._past[::-1]
        if not past:
            self.bench.say("This run has no past prompts yet.")
            return
        now = self.bench.services.clock()
        options = [
            join(
                (f"{_age(one, now):>9}  ", "$muted"),
                plain(one.prompt),
            )
            for one in past
        ]

        def answered(index: int | None) -> None:
            if index is not None and not self._waiting:
                self._show_past(past[index])
                field = self.query_one(PromptInput)
                field.value = plain(past[index].prompt).plain
                field.cursor_position = len(field.value)
                field.focus()

        self.app.push_screen(PickDialog("Past prompts", options), answered)

    def action_run(self) -> None:
        """Choose the run to compare."""
        rows = self.bench.rows
        options = [
            join(
                state_mark(row.state),
                "  ",
                plain(row.label, style="bold"),
                "  ",
                plain(row.id if row.name else "", style="$muted"),
            )
            for row in rows
        ]
        chosen = next((i for i, row in enumerate(rows) if row.id == self._run_id), 0)

        def answered(index: int | None) -> None:
            if index is not None:
                self._turn_to(rows[index])
                self._show_head()

        if rows:
            self.app.push_screen(PickDialog("Compare which run?", options, chosen), answered)

    def action_timeline(self) -> None:
        """Show what each checkpoint of this run answered."""
        if self._run_id:
            self.bench.show_timeline(self._run_id)

    def action_copy(self) -> None:
        """Copy the focused pane's answer."""
        focused = self.focused
        if isinstance(focused, AnswerPane) and focused.text:
            self.bench.copy(plain(focused.text, newlines=True).plain)

    @on(AnswerPane.Scrolled)
    def _scrolled(self, event: AnswerPane.Scrolled) -> None:
        event.stop()
        other = self._pane("tuned" if event.pane.side == "base" else "base")
        other.scroll_to(y=event.position, animate=False)


def _age(past: Past, now: float) -> str:
    return ago(past.time, now) if past.time and not past.sampled else "recipe"


def _origin(past: Past, now: float) -> str:
    """Where shown answers come from."""
    if not past.answers:
        return ""
    if past.sampled:
        return "kept while training"
    when = ago(past.time, now)
    return "asked just now" if when == "just now" else f"asked {when} ago"
