"""What each checkpoint of a run answered, one prompt at a time."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from workbench.judge.timeline import Timeline, changes
from workbench.tui.board import RunRow
from workbench.tui.comparing import BASE
from workbench.tui.conversation import Seat
from workbench.tui.render import join, plain, state_mark
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.timeline import TimelineRead, TimelineWatcher, marked, slider

LOOK_SECONDS = 1.0
NOTHING = (
    "No checkpoint and no answer yet.\n\n"
    "The recipe's probe_prompts are answered before the training, at each save, and at its end."
)
UNASKED = "This checkpoint was not asked: answers may take 5 % of the run's time."


class TimelineScreen(WorkbenchScreen):
    """The checkpoints of one run.

    Args:
        run_id: Whose.
    """

    MODE = "compare"
    CSS_PATH = "timeline.tcss"
    HELP_TITLE = "Timeline"
    HELP_TEXT = (
        "The recipe's probe prompts, as each checkpoint answered them while it was trained. Left "
        "and right go through the checkpoints, up and down through the prompts. Words that the "
        "answer before had not are underlined. A star is the best checkpoint: the highest "
        "held-out accuracy, then margin, of those that do not answer in loops. Enter lets the "
        "base model and the checkpoint answer side by side."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "Earlier", key_display="←", id="timeline.earlier"),
        Binding("right,l", "step(1)", "Later", key_display="→", id="timeline.later"),
        Binding("up,k", "prompt(-1)", "Prompt", key_display="↑", id="timeline.prompt-before"),
        Binding("down,j", "prompt(1)", "Prompt", key_display="↓", id="timeline.prompt-next"),
        Binding("home", "end(0)", "First", show=False, id="timeline.first"),
        Binding("end", "end(-1)", "Last", show=False, id="timeline.last"),
        Binding("b", "best", "Best", id="timeline.best", tooltip="Go to the best checkpoint"),
        Binding(
            "g",
            "gone",
            "Gone words",
            id="timeline.gone",
            tooltip="Show the words that are gone too, or not",
        ),
        Binding("pageup", "scroll(-1)", "Scroll up", show=False, id="timeline.scroll-up"),
        Binding("pagedown", "scroll(1)", "Scroll down", show=False, id="timeline.scroll-down"),
        Binding(
            "enter",
            "compare",
            "Compare",
            key_display="enter",
            id="timeline.compare",
            tooltip="Ask the base model and this checkpoint",
        ),
        Binding("escape", "back", "Back", key_display="esc", id="timeline.back", tooltip="Back"),
    ]

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self._run_id = run_id
        self._watcher: TimelineWatcher | None = None
        self._timeline: Timeline | None = None
        self._looking = False
        self._place = -1
        self._prompt = 0
        self._gone = False

    def compose_body(self) -> ComposeResult:
        """Head, prompt, slider, answer."""
        yield Static("", id="head", markup=False)
        yield Static("Reading ...", id="none", classes="empty", markup=False)
        with Vertical(id="all"):
            yield Static("", id="question", markup=False)
            yield Static("", id="slider", markup=False)
            yield Static("", id="best", markup=False)
            with VerticalScroll(id="answer", can_focus=False):
                yield Static("", id="text", markup=False)

    def on_mount(self) -> None:
        """Look once a second."""
        self.query_one("#all").display = False
        self._watcher = TimelineWatcher(self.bench.actions.directory(self._run_id))
        self.set_interval(LOOK_SECONDS, self._look)
        self._look()

    def runs_changed(self, rows: tuple[RunRow, ...]) -> None:
        """The state of the run may be another."""
        self._show_head()

    def _look(self) -> None:
        watcher = self._watcher
        if self._looking or watcher is None or not self.is_current:
            return
        self._looking = True

        def work() -> None:
            try:
                found = watcher.look()
            finally:
                self._looking = False
            if found is not None:
                self.post_message(TimelineRead(self._run_id, found))

        self.run_worker(work, thread=True, exit_on_error=False, group="watch")

    @on(TimelineRead)
    def _read(self, event: TimelineRead) -> None:
        event.stop()
        old, self._timeline = self._timeline, event.timeline
        at_end = old is None or self._place >= len(old.marks) - 1
        last = len(event.timeline.marks) - 1
        # Who looks at the newest checkpoint goes on with the run; who looks back stays there.
        self._place = last if at_end else min(self._place, last)
        self._show()

    def _show_head(self) -> None:
        row = self.bench.row(self._run_id)
        name = plain(row.label if row else self._run_id, style="bold")
        state = join("  ", state_mark(row.state)) if row else join("")
        self.query_one("#head", Static).update(join(name, state, ("   checkpoints", "$muted")))

    def _show(self) -> None:
        timeline = self._timeline
        if timeline is None:
            return
        nothing = self.query_one("#none", Static)
        nothing.display = not timeline.marks
        nothing.update(NOTHING)
        self.query_one("#all").display = bool(timeline.marks)
        self._show_head()
        if not timeline.marks:
            return
        width = max(20, self.size.width - 4)
        self.query_one("#slider", Static).update(slider(timeline, self._place, width))
        self.query_one("#best", Static).update(plain(timeline.best_line(), style="$muted"))
        self._show_answer(timeline)

    def _show_answer(self, timeline: Timeline) -> None:
        mark, prompts = timeline.marks[self._place], timeline.prompts
        self._prompt = min(self._prompt, max(0, len(prompts) - 1))
        prompt = prompts[self._prompt] if prompts else ""
        count = f"prompt {self._prompt + 1} of {len(prompts)}  " if prompts else "no prompt  "
        question = self.query_one("#question", Static)
        question.update(join((count, "$muted"), plain(prompt, style="bold")))
        sample = mark.answers.get(prompt)
        pane, text = self.query_one("#answer"), self.query_one("#text", Static)
        pane.border_title = plain(mark.label)
        pane.border_subtitle = plain(
            f"{sample.tokens} tokens{', cut' if sample.cut else ''}" if sample else ""
        )
        if sample is None:
            text.update(plain(UNASKED, style="$muted"))
            return
        pieces = changes(timeline.before(self._place, prompt), sample)
        shown = marked(pieces, gone=self._gone, signs=self.bench.ascii_only)
        text.update(shown if shown.plain.strip() else plain("(nothing)", style="$muted"))

    def on_resize(self, event: events.Resize) -> None:
        """Another number of checkpoints may fit now."""
        self.call_after_refresh(self._show)

    def action_step(self, by: int) -> None:
        """Go to the next checkpoint, or back."""
        if self._timeline is not None and self._timeline.marks:
            self._place = min(max(0, self._place + by), len(self._timeline.marks) - 1)
            self._turned()

    def action_end(self, place: int) -> None:
        """Go to the first or the last checkpoint."""
        if self._timeline is not None and self._timeline.marks:
            self._place = place % len(self._timeline.marks)
            self._turned()

    def action_prompt(self, by: int) -> None:
        """Go to another prompt."""
        if self._timeline is not None and self._timeline.prompts:
            self._prompt = (self._prompt + by) % len(self._timeline.prompts)
            self._turned()

    def action_best(self) -> None:
        """Go to the best checkpoint."""
        timeline = self._timeline
        if timeline is not None and timeline.best is not None:
            self._place = timeline.marks.index(timeline.best)
            self._turned()
        elif timeline is not None:
            self.bench.say(timeline.best_line())

    def action_gone(self) -> None:
        """Show the words that are gone too, or not."""
        self._gone = not self._gone
        self._show()

    def _turned(self) -> None:
        self._show()
        self.query_one("#answer", VerticalScroll).scroll_home(animate=False)

    def action_scroll(self, by: int) -> None:
        """Scroll a long answer."""
        pane = self.query_one("#answer", VerticalScroll)
        pane.scroll_relative(y=by * max(1, pane.size.height - 1), animate=False)

    def action_compare(self) -> None:
        """Let the base model and this checkpoint answer side by side."""
        timeline = self._timeline
        if timeline is None or not timeline.marks:
            return
        mark = timeline.marks[self._place]
        if not mark.kept:
            self.bench.say(f"The weights of {mark.label} are deleted: raise save_total_limit.")
            return
        self.dismiss()
        chosen = Seat(mark.spec, mark.stage if mark.final else mark.label)
        self.bench.compare_run(self._run_id, (BASE, chosen) if mark.stage else ())

    def action_back(self) -> None:
        """Back to where one came from."""
        self.dismiss()
