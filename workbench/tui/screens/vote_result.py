"""What blind votes say, and the way from them to the next training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from workbench.tui.dialogs.line import LineDialog
from workbench.tui.dialogs.name import NameDialog
from workbench.tui.messages import Said, Then
from workbench.tui.render import join, lines, plain
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.voting import bar

if TYPE_CHECKING:
    from workbench.judge.vote_results import PairResult, Tally, VoteResults

BAR_CELLS = 20
NAME_CELLS = 16


class VoteResultScreen(WorkbenchScreen):
    """The results of a run's votes.

    Args:
        run_id: The run.
        sides: The pair to show first; all others follow.
    """

    MODE = "compare"
    CSS_PATH = "vote.tcss"
    HELP_TITLE = "What the votes say"
    HELP_TEXT = (
        "The win rate counts a tie and both bad as half a win. The interval holds the true rate "
        "in 95 of 100 cases; as long as it holds 50 %, the votes do not tell the sides apart."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "export", "Export", id="result.export",
                tooltip="Write the votes as preference pairs"),
        Binding("t", "train", "Train on these votes", id="result.train",
                tooltip="Make a recipe that trains the adapter further on them"),
        Binding("escape,v,enter", "leave", "Back", key_display="esc", id="result.leave",
                tooltip="Back to voting"),
        Binding("f1,question_mark", "app.help", "Help", key_display="f1", id="result.help"),
        Binding("q", "app.quit", "Quit", show=False, id="result.quit"),
    ]  # fmt: skip

    def __init__(self, run_id: str, sides: Sequence[str] = ()) -> None:
        super().__init__()
        self._run_id = run_id
        self._sides = tuple(sides)

    def compose_body(self) -> ComposeResult:
        """A text to scroll."""
        with VerticalScroll(id="results"):
            yield Static("Counting the votes ...", markup=False)

    def on_mount(self) -> None:
        """Count in a thread."""
        self.query_one(VerticalScroll).focus()
        run = self.bench.actions.directory(self._run_id)

        def work() -> Message:
            from workbench.judge.vote_results import results
            from workbench.judge.votes import load_votes

            found = results(load_votes(run))
            return Then(lambda: self._show(found) if self.is_attached else None)

        self.bench.actions.in_thread("The votes cannot be read", work)

    def _show(self, found: VoteResults) -> None:
        pairs = sorted(found.pairs, key=lambda one: {one.first, one.second} != set(self._sides))
        parts = [self._pair(one, found) for one in pairs]
        text = lines(*(line for part in parts for line in (*part, plain(""))))
        self.query_one("#results > Static", Static).update(text if parts else plain("No votes."))

    def _pair(self, pair: PairResult, found: VoteResults) -> list[Content]:
        from workbench.judge.vote_results import headline, remarks, verdict

        shown = [plain(headline(pair), style="bold")]
        shown += [plain(verdict(pair), style="$accent"), plain(""), self._bar("all", pair.tally)]
        sides = (pair.first, pair.second)
        own = [one for one in found.by_voter if (one.first, one.second) == sides]
        if len(own) > 1:
            shown += [self._bar(f"by {one.voter}", one.tally) for one in own]
        shown += [self._bar(name, count) for name, count in pair.by_category.items()]
        agreed = found.agreement.get(sides)
        return [*shown, plain(""), *(plain(line) for line in remarks(pair, agreed))]

    def _bar(self, name: str, count: Tally) -> Content:
        from workbench.judge.figures import percent

        title = plain(name)
        cut = title.truncate(NAME_CELLS, ellipsis=True, pad=True)
        if count.rate is None:
            return join(cut, "  ", (f"{count.skips} skipped", "$muted"))
        low, high = count.interval
        drawn = bar(count.rate, BAR_CELLS, ascii_only=self.bench.ascii_only)
        neither = count.ties + count.both_bad
        return join(
            cut,
            "  ",
            (drawn, "$primary"),
            f" {percent(count.rate):>5} ",
            (f" {percent(low)} to {percent(high)}".ljust(16), "$muted"),
            (f" +{count.wins} -{count.losses} ={neither}", "$muted"),
        )

    def action_export(self) -> None:
        """Write the preference pairs to a file of the person's choice."""
        run = self.bench.actions.directory(self._run_id)

        def answered(typed: str | None) -> None:
            if typed is None:
                return
            path = Path(typed).expanduser()

            def work() -> Message:
                from workbench.judge.vote_export import preference_rows, write_rows

                export = preference_rows(run)
                write_rows(export, path)
                return Said(f"{path}: {' '.join(export.sentences())}")

            self.bench.actions.in_thread("The votes were not exported", work)

        text = plain("A new file of preference pairs, which `run` and `trl dpo` take as it is.")
        value = str(self.bench.services.cwd / f"{self._run_id}-votes.jsonl")
        dialog = LineDialog("Export to which file?", text, value=value, yes="Export")
        self.app.push_screen(dialog, answered)

    def action_train(self) -> None:
        """Make a recipe of the votes and show what its launch would do."""
        services, run = self.bench.services, self.bench.actions.directory(self._run_id)
        row = self.bench.row(self._run_id)
        stem = f"{row.name if row and row.name else self._run_id}-votes"[:60]
        names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 1000))
        free = next(name for name in names if not services.recipe_taken(name))

        def answered(name: str | None) -> None:
            if name is None:
                return

            def work() -> Message:
                from workbench.judge.vote_recipe import make_vote_recipe

                made = make_vote_recipe(services.paths, run, name)
                said = " ".join([*made.export.sentences(), made.warning]).strip()
                return Then(lambda: self._review(made.path, name, said))

            self.bench.actions.in_thread("There is no training on these votes yet", work)

        text = plain("A recipe like the run's own, its DPO stage alone, on these votes. Its name:")
        dialog = NameDialog(
            "Train on these votes", text, value=free, taken=services.recipe_taken, yes="Make it"
        )
        self.app.push_screen(dialog, answered)

    def _review(self, path: Path, name: str, said: str) -> None:
        self.bench.say(said)
        self.bench.actions.review(path, name, parent=self._run_id)

    def action_leave(self) -> None:
        """Back."""
        if self.is_attached and self.app.screen is self:
            self.app.pop_screen()
