"""One voter at one sitting: what is shown next, and what becomes of their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.judge.answers_ahead import AnswersAhead, Batcher
from workbench.judge.sittings import (
    Comparison,
    Place,
    Sitting,
    answer_text,
    answered_items,
    make_vote,
    voted_items,
)
from workbench.judge.votes import Vote, add_vote, undo_vote

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory


class Booth:
    """Where somebody votes. Making one reads the run's files.

    `take` may be called from the thread that reads the models' process, everything else from
    the one that shows the answers.

    Attributes:
        plan: The voter's order.
        voted: What they have voted on, by the item's number.
    """

    def __init__(self, run: RunDirectory, sitting: Sitting, voter: str) -> None:
        self.run = run
        self.sitting = sitting
        self.voter = voter
        self.plan = sitting.plan(voter)
        self._known = answered_items(run, sitting)
        self.voted = voted_items(run, sitting, voter)
        self._ahead = AnswersAhead(run, sitting, self.plan, self._known)

    @property
    def place(self) -> Place | None:
        """What is to be voted on now; None at the end."""
        return next((place for place in self.plan if place.item not in self.voted), None)

    def texts(self, place: Place) -> tuple[str, str] | None:
        """The left and the right answer of a place; None while they are not there."""
        known = self._known.get(place.item)
        if known is None:
            return None
        return answer_text(known, place.left) or "", answer_text(known, place.right) or ""

    def vote(self, place: Place, choice: str, *, seconds: float, now: float) -> Vote:
        """Keep a vote. Raises OSError where it cannot be written."""
        vote = make_vote(
            self.sitting,
            place,
            self._known[place.item],
            voter=self.voter,
            choice=choice,
            seconds=seconds,
            now=now,
        )
        add_vote(self.run, vote)
        self.voted[place.item] = vote
        return vote

    def undo(self, now: float) -> bool:
        """Take the voter's last vote of this sitting back; false where there is none.

        Raises:
            OSError: it cannot be written.
        """
        if not self.voted:
            return False
        item = list(self.voted)[-1]
        undo_vote(self.run, self.voted[item], now)
        del self.voted[item]
        return True

    def reserve(self) -> list[int]:
        """The items whose answers are to be asked for now; see `AnswersAhead.reserve`."""
        return self._ahead.reserve(self.voted)

    def ask(self, process: Batcher, items: Sequence[int]) -> None:
        """Ask for the answers to what was reserved. Raises OSError."""
        self._ahead.ask(process, items)

    def take(self, event: Mapping[str, Any]) -> None:
        """Take an event of the process. Raises OSError where a comparison cannot be kept."""
        made: dict[int, Comparison] = self._ahead.take(event)
        self._known |= made
