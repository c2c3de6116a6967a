"""Blind votes: two answers, and nobody says whose they are until the vote is cast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from workbench.tui.dialogs.line import LineDialog
from workbench.tui.dialogs.pick import PickDialog
from workbench.tui.messages import AnswerEvent, Then
from workbench.tui.render import join, lines, next_line, plain, sentence
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.voting import BoothModels, Offer, Pair, find_offers, find_pairs
from workbench.tui.widgets.vote_pane import VotePane

if TYPE_CHECKING:
    from workbench.judge.answers import Sampling
    from workbench.judge.booth import Booth
    from workbench.judge.sittings import Place, Sitting

CANNOT = "This cannot be voted on"
ASK = "Which is better?   up, down scroll   v result   r reveal   n your name"
SAME = "Both answers are the same text.  t counts them as a tie, s skips them."
WAITING = "The models are answering; voting begins with the first answers ..."
DONE = "Everything here is voted on.  v shows the result, u takes the last vote back."
WORDS = {"left": "left", "right": "right", "tie": "tie", "both_bad": "both bad", "skip": "skipped"}
VOTES = (
    ("left,1", "left", "Left", "The left answer is better"),
    ("right,2", "right", "Right", "The right answer is better"),
    ("t,0", "tie", "Tie", "Neither is better"),
    ("b", "both_bad", "Both bad", "Neither is any good"),
    ("s", "skip", "Skip", "Say nothing about these two"),
)
KEY_SIGNS = {"left,1": "←", "right,2": "→", "t,0": "t"}


class VoteScreen(WorkbenchScreen):
    """A sitting of one voter over the answers of one run.

    Args:
        run_id: The run whose sides answer.
        sides: The pair to offer first.
        sampling: How answers are drawn that are not there yet.
    """

    MODE = "compare"
    CSS_PATH = "vote.tcss"
    HELP_TITLE = "Blind vote"
    HELP_TEXT = (
        "Two answers to the same prompt; chance decides which side stands left. Press the arrow "
        "that points to the better one. Every vote is kept at once: leave with escape and go on "
        "another day. Up and down scroll both answers."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(keys, f"vote('{choice}')", name, id=f"vote.{choice}", tooltip=tooltip,
                    key_display=KEY_SIGNS.get(keys, keys))
            for keys, choice, name, tooltip in VOTES
        ),
        Binding("u,backspace", "undo", "Undo", key_display="u", id="vote.undo",
                tooltip="Take the last vote back"),
        Binding("v", "results", "Result", id="vote.results", tooltip="What the votes say so far"),
        Binding("escape", "leave", "Leave", key_display="esc", id="vote.leave",
                tooltip="Back to comparing; every vote is kept"),
        Binding("r", "reveal", "Reveal", id="vote.reveal",
                tooltip="After each vote say whose answers they were, or no longer"),
        Binding("enter,space", "go_on", "Next", show=False, id="vote.next",
                tooltip="The next two answers, or try again"),
        Binding("n", "voter", "Name", show=False, id="vote.voter", tooltip="Who votes"),
        Binding("o", "choose", "Other", show=False, id="vote.choose",
                tooltip="Vote on something else"),
        Binding("up,k", "scroll(-1)", "Up", show=False, id="vote.up"),
        Binding("down,j", "scroll(1)", "Down", show=False, id="vote.down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="vote.pageup"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="vote.pagedown"),
        Binding("left_square_bracket", "scroll_question(-1)", "Question up", show=False,
                key_display="[", id="vote.question_up", tooltip="Scroll a long prompt up"),
        Binding("right_square_bracket", "scroll_question(1)", "Question down", show=False,
                key_display="]", id="vote.question_down", tooltip="Scroll a long prompt down"),
        Binding("f1,question_mark", "app.help", "Help", key_display="f1", id="vote.help"),
        Binding("q", "app.quit", "Quit", show=False, id="vote.quit"),
    ]  # fmt: skip

    def __init__(
        self, run_id: str, sides: Sequence[str] = (), sampling: Sampling | None = None
    ) -> None:
        super().__init__()
        self.run_id = run_id
        self.booth: Booth | None = None
        self._sides = tuple(sides)
        self._sampling = sampling
        self._models = BoothModels(self.bench.services.answers, self.post_message)
        self._voter = ""
        self._revealing = False
        self._revealed: Place | None = None
        self._shown: Place | None = None
        self._since = 0.0
        self._status = ""
        self._failed = False

    def compose_body(self) -> ComposeResult:
        """Sitting, question, two answers, what to press."""
        with Vertical(id="all"):
            yield Static("", id="head", markup=False)
            with VerticalScroll(id="question", can_focus=False):
                yield Static("", markup=False)
            with Horizontal(id="panes"):
                yield VotePane("left")
                yield VotePane("right")
            yield Static("", id="failure", markup=False)
            yield Static("", id="note", markup=False)

    def on_mount(self) -> None:
        """Ask what to vote on."""
        from workbench.judge.votes import default_voter

        self._voter = default_voter()
        self.query_one("#failure").display = False
        self.query_one("#failure").border_title = "no answers"
        self._show()
        self.action_choose()

    def on_unmount(self) -> None:
        """The models leave the memory with the screen."""
        self._models.close()

    def shown(self) -> None:
        """Make room where another run is asked for, or sides of this one to compare."""
        if self.bench.compared not in ("", self.run_id) or self.bench.asked_sides:
            self.call_later(self.action_leave)

    def _then(self, act: Callable[[], None]) -> Message:
        """A message that does something here, unless the screen has gone meanwhile."""
        return Then(lambda: act() if self.is_attached else None)

    def action_choose(self) -> None:
        """Choose what to vote on."""
        paths, run = self.bench.services.paths, self.bench.actions.directory(self.run_id)
        voter = self._voter

        def work() -> Message:
            offers = find_offers(paths, run, voter)
            return self._then(lambda: self._offer(offers))

        self.bench.actions.in_thread(CANNOT, work)

    def _offer(self, offers: Sequence[Offer]) -> None:
        def answered(index: int | None) -> None:
            if index is None:
                if self.booth is None:
                    self.action_leave()
                return
            offer = offers[index]
            if offer.sitting is not None:
                self._open(lambda: offer.sitting)
            elif offer.prompts is None and not offer.kept:
                self._ask_for_file()
            else:
                self._ask_for_sides(offer.prompts.path if offer.prompts else None,
                                    offer.prompts.name if offer.prompts else "")  # fmt: skip

        options = [offer.line() for offer in offers]
        self.app.push_screen(PickDialog("Vote blind on what?", options), answered)

    def _ask_for_file(self) -> None:
        text = plain("JSON lines with `prompt` or `messages`, mt_bench, or one prompt a line.")

        def answered(typed: str | None) -> None:
            if typed:
                path = Path(typed).expanduser()
                self._ask_for_sides(path, path.stem)

        def fault(typed: str) -> str:
            try:
                return "" if Path(typed).expanduser().is_file() else "There is no such file."
            except (OSError, ValueError, RuntimeError):
                return "There is no such file."

        self.app.push_screen(LineDialog("Which file?", text, fault=fault), answered)

    def _ask_for_sides(self, path: Path | None, name: str) -> None:
        run = self.bench.actions.directory(self.run_id)

        def work() -> Message:
            pairs = find_pairs(run, self._sides)
            return self._then(lambda: self._offer_pairs(pairs, path, name))

        self.bench.actions.in_thread(CANNOT, work)

    def _offer_pairs(self, pairs: Sequence[tuple[Pair, str]], path: Path | None, name: str) -> None:
        run, sampling = self.bench.actions.directory(self.run_id), self._sampling

        def answered(index: int | None) -> None:
            if index is None:
                if self.booth is None:
                    self.action_choose()
                return
            pair = pairs[index][0]

            def make() -> Sitting:
                from workbench.judge.prompts import read_prompts
                from workbench.judge.sittings import new_sitting

                if path is None:
                    return new_sitting(run, pair, None)
                prompts = read_prompts(path)
                return new_sitting(run, pair, prompts, prompt_set=name, sampling=sampling)

            self._open(make)

        options = [plain(words) for _, words in pairs]
        self.app.push_screen(PickDialog("Which two sides?", options), answered)

    def _open(self, find: Callable[[], Sitting | None]) -> None:
        """Go to a sitting; finding or making it, and reading its votes, takes a thread."""
        run, voter = self.bench.actions.directory(self.run_id), self._voter

        def work() -> Message:
            from workbench.judge.booth import Booth
            from workbench.run.trust import refuse_distrusted

            refuse_distrusted(run)
            sitting = find()
            assert sitting is not None
            booth = Booth(run, sitting, voter)
            return self._then(lambda: self._enter(booth))

        self.bench.actions.in_thread(CANNOT, work)

    def _enter(self, booth: Booth) -> None:
        self._models.close()
        self.booth, self._shown, self._revealed = booth, None, None
        self._status, self._failed = "", False
        self._show_failure(None)
        self._make_more()
        self._show()

    def _make_more(self) -> None:
        if self.booth is None or self._failed:
            return
        work = self._models.asking(self.booth)
        if work is not None:
            self.run_worker(work, thread=True, exit_on_error=False, group="ask")

    @on(AnswerEvent)
    def _answer_event(self, message: AnswerEvent) -> None:
        message.stop()
        if not self._models.accepts(message):
            return
        event = message.event
        if event.get("event") == "loading":
            self._status = str(event.get("message") or "loading the models ...")
        elif event.get("event") in ("ready", "done"):
            self._status = ""
        elif event.get("event") == "error":
            self._failed = True
            self._show_failure(event)
        self._make_more()
        self._show()

    def _show_failure(self, event: Mapping[str, Any] | None) -> None:
        panel = self.query_one("#failure", Static)
        panel.display = event is not None
        if event is not None:
            what = sentence(str(event.get("what") or "The models' process failed."))
            step = str(event.get("next_step") or "")
            panel.update(lines(what, next_line(f"{step} Enter tries again.".strip())))

    def _show(self) -> None:
        """Head, question, answers and note as they are now."""
        booth = self.booth
        place = self._revealed or (booth.place if booth else None)
        self._show_head()
        texts = booth.texts(place) if booth and place else None
        if texts is None:
            self._shown = None
            self._show_question(place)
            for pane in self.query(VotePane):
                pane.wait("..." if place else "")
        elif place != self._shown:
            self._show_question(place)
            self._shown, self._since = place, self.bench.services.clock()
            self._pane("left").show(texts[0])
            self._pane("right").show(texts[1])
        self.query_one("#note", Static).update(self._note(place, texts))

    def _show_question(self, place: Place | None) -> None:
        """The conversation up to the prompt; its end is seen first."""
        question = self.query_one("#question", VerticalScroll)
        messages = self.booth.sitting.items[place.item].messages if self.booth and place else ()
        question.display = bool(messages)
        shown = [
            plain(f"{message['role']}: {message['content']}", newlines=True, style="$muted")
            for message in messages[:-1]
        ]
        for message in messages[-1:]:
            text = plain(message["content"], newlines=True, style="bold")
            shown.append(join(("> ", "$primary"), text))
        question.query_one(Static).update(lines(*shown))
        question.scroll_end(animate=False)

    def _note(self, place: Place | None, texts: tuple[str, str] | None) -> Content:
        if self.booth is None:
            return plain("")
        if self._revealed is not None:
            vote = self.booth.voted.get(self._revealed.item)
            word = WORDS[vote.choice] if vote else ""
            return join(plain(f"Your vote: {word}.", style="bold"), "  enter goes on, u undoes it")
        if place is None:
            return plain(DONE, style="$success")
        if texts is None:
            return plain("" if self._failed else self._status or WAITING, style="$accent")
        return plain(SAME if texts[0] == texts[1] else ASK, style="$muted")

    def _show_head(self) -> None:
        booth = self.booth
        if booth is None:
            self.query_one("#head", Static).update(plain("Blind vote", style="bold"))
            return
        done, total = len(booth.voted), len(booth.plan)
        number = min(total, done + (self._revealed is None))
        self.query_one("#head", Static).update(
            join(
                plain(booth.sitting.prompt_set, style="bold"),
                f"   {number} of {total}   ",
                plain(f"voter {booth.voter}", style="$muted"),
                ("   reveals after each vote" if self._revealing else "", "$warning"),
            )
        )

    def _pane(self, where: str) -> VotePane:
        return self.query_one(f"#{where}", VotePane)

    def action_vote(self, choice: str) -> None:
        """Keep a vote on what is shown."""
        booth, place = self.booth, self._shown
        if booth is None or place is None or self._revealed is not None:
            return  # the note says what is awaited
        now = self.bench.services.clock()
        try:
            vote = booth.vote(place, choice, seconds=max(0.0, now - self._since), now=now)
        except OSError as error:
            self.bench.say(f"The vote was not kept: {error.strerror or error}")
            return
        if self._revealing:
            self._revealed = place
            for where, side in (("left", place.left), ("right", place.right)):
                self._pane(where).reveal(side, chosen=side == vote.winner)
        self._after_vote()

    def _after_vote(self) -> None:
        self._make_more()
        self._show()
        if self.booth is not None and self.booth.place is None and self._revealed is None:
            self.action_results()

    def action_go_on(self) -> None:
        """To the next answers after a reveal; after a failure, ask the models again."""
        if self._failed:
            self._failed = False
            self._models.close()
            self._show_failure(None)
            self._make_more()
            self._show()
        elif self._revealed is not None:
            self._revealed = None
            self._after_vote()

    def action_undo(self) -> None:
        """Take the last vote back and show its answers again."""
        try:
            done = self.booth is not None and self.booth.undo(self.bench.services.clock())
        except OSError as error:
            self.bench.say(f"The vote was not taken back: {error.strerror or error}")
            return
        if not done:
            self.bench.say("There is no vote to take back.")
            return
        self._revealed = self._shown = None
        self._show()

    def action_reveal(self) -> None:
        """Say after each vote whose answers they were, or only at the end."""
        self._revealing = not self._revealing
        self._show_head()

    def action_results(self) -> None:
        """What all votes on this run say."""
        from workbench.tui.screens.vote_result import VoteResultScreen

        sides = self.booth.sitting.sides if self.booth else ()
        self.app.push_screen(VoteResultScreen(self.run_id, sides))

    def action_voter(self) -> None:
        """Somebody else votes: they get an order and sides of their own."""
        from workbench.judge.votes import voter_name

        def answered(typed: str | None) -> None:
            if typed is None:
                return
            self._voter = voter_name(typed)
            if self.booth is not None:
                sitting = self.booth.sitting
                self._open(lambda: sitting)

        text = plain("Each voter sees the answers in an order of their own.")
        self.app.push_screen(LineDialog("Who votes?", text, value=self._voter), answered)

    def action_scroll(self, by: int) -> None:
        """Move both answers by a line."""
        for pane in self.query(VotePane):
            pane.scroll_relative(y=by, animate=False)

    def action_scroll_question(self, by: int) -> None:
        """Move a long prompt or conversation by a line."""
        self.query_one("#question", VerticalScroll).scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        """Move both answers by what is seen of them."""
        for pane in self.query(VotePane):
            pane.scroll_relative(y=by * max(1, pane.size.height - 1), animate=False)

    def action_leave(self) -> None:
        """Back to the compare screen; every vote is on disk."""
        if self.is_attached and self.app.screen is self:
            self.app.pop_screen()
