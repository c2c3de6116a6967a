"""A sitting in a plain terminal: two answers, one typed letter."""

from __future__ import annotations

import argparse
import queue
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.cli.output import columns, one_line
from workbench.cli.panes import side_by_side
from workbench.judge.answers import AnswerProcess, Event, Sampling
from workbench.judge.answers_ahead import AnswersAhead
from workbench.judge.prompts import find_prompts, read_prompts
from workbench.judge.sittings import (
    KEPT,
    Place,
    Sitting,
    answer_text,
    answered_items,
    list_sittings,
    make_vote,
    new_sitting,
    voted_items,
)
from workbench.judge.votes import (
    BOTH_BAD,
    LEFT,
    RIGHT,
    SKIP,
    TIE,
    Vote,
    add_vote,
    default_voter,
    undo_vote,
    voter_name,
)
from workbench.run.directory import RunDirectory
from workbench.run.sides import parse_sides

KEYS = {
    "l": LEFT, "1": LEFT, "r": RIGHT, "2": RIGHT, "t": TIE, "0": TIE, "b": BOTH_BAD, "s": SKIP,
}  # fmt: skip
UNDO, QUIT = "u", "q"
QUESTION = "l(eft)  r(ight)  t(ie)  b(oth bad)  s(kip)  u(ndo)  q(uit) > "


def choose_sitting(paths: Paths, run: RunDirectory, arguments: argparse.Namespace) -> Sitting:
    """The sitting of these sides and prompts that is there already, else a new one."""
    sides = [side.spec for side in parse_sides(paths, run, arguments.sides.split(","))]
    if len(sides) != 2:
        problem = Problem("a vote is on two sides", arguments.sides, "Write --sides base,tuned.")
        raise ProblemError(problem, exit_code=2)
    chosen = None if arguments.kept else find_prompts(paths, run, arguments.prompts)
    name = chosen.name if chosen else KEPT
    if not arguments.new:
        for one in list_sittings(run):
            if (one.prompt_set, list(one.sides)) == (name, sides):
                return one
    sampling = Sampling(
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        seed=arguments.seed,
    )
    prompts = read_prompts(chosen.path) if chosen else None
    return new_sitting(run, sides, prompts, prompt_set=name, sampling=sampling)


class Booth:
    """Shows answers in turn and keeps a vote on each.

    Args:
        voter: the user's name where empty.
        reveal: whether each vote is followed by whose answers they were.
        limit: how many votes to ask for at most; 0 for all.
    """

    def __init__(
        self, run: RunDirectory, sitting: Sitting, voter: str, *, reveal: bool, limit: int
    ) -> None:
        self._run, self._sitting = run, sitting
        self._voter = voter_name(voter) if voter else default_voter()
        self._plan = sitting.plan(self._voter)
        self._known = answered_items(run, sitting)
        self._voted = voted_items(run, sitting, self._voter)
        self._cast: list[tuple[int, Vote]] = list(self._voted.items())
        self._ahead = AnswersAhead(run, sitting, self._plan, list(self._known))
        self._events: queue.Queue[Event] = queue.Queue()
        self._process: AnswerProcess | None = None
        self._reveal = reveal
        self._left = limit or len(self._plan)

    def open(self, keyboard: TextIO) -> None:
        """Ask until everything is voted on, the limit is reached, or the person leaves.

        Raises:
            ProblemError: the answers cannot be made.
        """
        total = len(self._plan)
        print(f"{one_line(self._sitting.name)}, voter {self._voter}: "
              f"{len(self._voted)} of {total} done.")  # fmt: skip
        try:
            while self._left > 0 and (place := self._next()) is not None:
                if not self._ask(place, keyboard):
                    print("Everything is kept. The same command goes on.")
                    return
        finally:
            if self._process is not None:
                self._process.close()

    def _next(self) -> Place | None:
        return next((place for place in self._plan if place.item not in self._voted), None)

    def _ask(self, place: Place, keyboard: TextIO) -> bool:
        """Show one place and take what is typed; false when the person leaves."""
        comparison = self._answers(place)
        item = self._sitting.items[place.item]
        print(f"\n[{len(self._voted) + 1} of {len(self._plan)}] > {one_line(item.text)}")
        texts = [answer_text(comparison, side) or "" for side in (place.left, place.right)]
        panes = list(zip((LEFT, RIGHT), texts, strict=True))
        print("\n".join(side_by_side(panes, columns())))
        if texts[0] == texts[1]:
            print("Both answers are the same text; t counts them as a tie.")
        shown = time.monotonic()
        while True:
            print(QUESTION, end="", flush=True)
            typed = keyboard.readline()
            key = typed.strip().lower()[:1]
            if not typed or key == QUIT:
                print()
                return False
            if key == UNDO and self._cast:
                number, vote = self._cast.pop()
                undo_vote(self._run, vote, time.time())
                del self._voted[number]
                self._left += 1
                return True
            if key in KEYS:
                self._keep(place, comparison, KEYS[key], time.monotonic() - shown)
                return True

    def _keep(
        self, place: Place, comparison: Mapping[str, Any], choice: str, seconds: float
    ) -> None:
        vote = make_vote(
            self._sitting,
            place,
            comparison,
            voter=self._voter,
            choice=choice,
            seconds=seconds,
            now=time.time(),
        )
        add_vote(self._run, vote)
        self._voted[place.item] = vote
        self._cast.append((place.item, vote))
        self._left -= 1
        if self._reveal:
            print(f"left was {one_line(place.left)}, right was {one_line(place.right)}")

    def _answers(self, place: Place) -> Mapping[str, Any]:
        """The comparison of a place, waited for where the models still answer."""
        self._make_more()
        while place.item not in self._known:
            event = self._events.get()
            if event.get("event") == "loading":
                print(one_line(event.get("message", "Loading the models.")), file=sys.stderr)
            made = self._ahead.take(event)
            if event.get("event") == "error":
                what, step = str(event.get("what", "")), str(event.get("next_step") or "")
                raise ProblemError(Problem(what, self._run.id, step))
            if made:
                self._known = answered_items(self._run, self._sitting)
            self._make_more()
        return self._known[place.item]

    def _make_more(self) -> None:
        if items := self._ahead.next_items(list(self._voted)):
            if self._process is None:
                self._process = AnswerProcess(self._run, self._events.put)
            self._ahead.ask(self._process, items)
