"""A sitting in a plain terminal: two answers, one typed letter."""

from __future__ import annotations

import argparse
import queue
import sys
import time
from typing import TextIO

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.cli.output import columns, one_line
from workbench.cli.panes import side_by_side
from workbench.judge.answers import AnswerProcess, Sampling
from workbench.judge.booth import Booth
from workbench.judge.prompts import find_prompts, read_prompts
from workbench.judge.sittings import KEPT, Place, Sitting, list_sittings, new_sitting
from workbench.judge.votes import BOTH_BAD, LEFT, RIGHT, SKIP, TIE
from workbench.run.directory import RunDirectory
from workbench.run.sides import parse_sides
from workbench.run.worker_events import Event

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


class Desk:
    """Shows a booth's answers in turn and takes typed letters.

    Args:
        reveal: whether each vote is followed by whose answers they were.
        limit: how many votes to ask for at most; 0 for all.
    """

    def __init__(self, booth: Booth, *, reveal: bool, limit: int) -> None:
        self._booth = booth
        self._events: queue.Queue[Event] = queue.Queue()
        self._process: AnswerProcess | None = None
        self._reveal = reveal
        self._left = limit or len(booth.plan)

    def open(self, keyboard: TextIO) -> None:
        """Ask until everything is voted on, the limit is reached, or the person leaves.

        Raises:
            ProblemError: the answers cannot be made.
        """
        booth = self._booth
        done = f"{len(booth.voted)} of {len(booth.plan)} done"
        print(f"{one_line(booth.sitting.name)}, voter {one_line(booth.voter)}: {done}.")
        try:
            while self._left > 0 and (place := booth.place) is not None:
                if not self._ask(place, self._answers(place), keyboard):
                    print("Everything is kept. The same command goes on.")
                    return
        finally:
            if self._process is not None:
                self._process.close()

    def _ask(self, place: Place, texts: tuple[str, str], keyboard: TextIO) -> bool:
        """Show one place and take what is typed; false when the person leaves."""
        booth = self._booth
        item = booth.sitting.items[place.item]
        print(f"\n[{len(booth.voted) + 1} of {len(booth.plan)}] > {one_line(item.text)}")
        print("\n".join(side_by_side(list(zip((LEFT, RIGHT), texts, strict=True)), columns())))
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
            if key == UNDO and booth.undo(time.time()):
                self._left += 1
                return True
            if key in KEYS:
                booth.vote(place, KEYS[key], seconds=time.monotonic() - shown, now=time.time())
                self._left -= 1
                if self._reveal:
                    print(f"left was {one_line(place.left)}, right was {one_line(place.right)}")
                return True

    def _answers(self, place: Place) -> tuple[str, str]:
        """The two answers, waited for where the models still work on them."""
        self._make_more()
        while (texts := self._booth.texts(place)) is None:
            event = self._events.get()
            if event.get("event") == "loading":
                print(one_line(event.get("message", "Loading the models.")), file=sys.stderr)
            self._booth.take(event)
            if event.get("event") == "error":
                what, step = str(event.get("what", "")), str(event.get("next_step") or "")
                raise ProblemError(Problem(what, self._booth.run.id, step))
            self._make_more()
        return texts

    def _make_more(self) -> None:
        if items := self._booth.reserve():
            if self._process is None:
                self._process = AnswerProcess(self._booth.run, self._events.put)
            self._booth.ask(self._process, items)
