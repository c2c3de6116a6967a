"""The answers of a sitting, made a little ahead of the person who votes on them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from workbench.judge.comparisons import Asked, save_comparison
from workbench.judge.sittings import Comparison, Place, Sitting

if TYPE_CHECKING:
    from workbench.judge.answers import Conversation, Sampling
    from workbench.run.directory import RunDirectory

FIRST_ASKED = 1
ASKED_TOGETHER = 4
AHEAD = 8


class Batcher(Protocol):
    """What `answers.AnswerProcess` offers."""

    def batch(
        self,
        prompts: Sequence[Conversation],
        sampling: Sampling,
        sides: Sequence[str] = ...,
    ) -> int: ...


class AnswersAhead:
    """Asks in the voter's order, one prompt first so that voting begins soon, then a few at once.

    `ask` and `take` may be called from two threads.

    Args:
        plan: the voter's order.
        known: numbers of the items whose answers are there.
    """

    def __init__(
        self, run: RunDirectory, sitting: Sitting, plan: Sequence[Place], known: Collection[int]
    ) -> None:
        self._run = run
        self._sitting = sitting
        self._order = [place.item for place in plan]
        self._known = set(known)
        self._asked: dict[int, list[int]] = {}
        self._reserved = False
        # Events of a request may come before the call that made it has returned.
        self._lock = threading.RLock()
        self._answers: dict[int, dict[str, Mapping[str, Any]]] = {}
        self._weights: Mapping[str, Any] = {}

    def reserve(self, voted: Collection[int]) -> list[int]:
        """What is to be asked for now, by `ask`.

        Nothing while enough lies ahead, or while something is reserved or under way.
        """
        with self._lock:
            open_items = [item for item in self._order if item not in voted]
            wanted = [item for item in open_items[:AHEAD] if item not in self._known]
            if self._asked or self._reserved or not wanted:
                return []
            self._reserved = True
            nothing_yet = open_items[0] in wanted and not self._known
            return wanted[: FIRST_ASKED if nothing_yet else ASKED_TOGETHER]

    def ask(self, process: Batcher, items: Sequence[int]) -> None:
        """Ask both sides for what was reserved. Raises OSError where no process can be started."""
        sitting = self._sitting
        prompts = [sitting.items[item].messages for item in items]
        with self._lock:
            self._reserved = False
            request = process.batch(prompts, sitting.sampling, sitting.sides)
            self._asked[request] = list(items)

    def take(self, event: Mapping[str, Any]) -> dict[int, Comparison]:
        """Take an event of the process; keeps comparisons that are whole, and returns them.

        Raises:
            OSError: a comparison cannot be written.
        """
        with self._lock:
            request, name = event.get("id"), event.get("event")
            if not isinstance(request, int) or request not in self._asked:
                if name == "error":
                    self._asked.clear()
            elif name == "weights":
                self._weights = event
            elif name in ("done", "error"):
                del self._asked[request]
            elif name == "answer":
                return self._answer(self._asked[request], event)
            return {}

    def _answer(self, items: Sequence[int], event: Mapping[str, Any]) -> dict[int, Comparison]:
        number = event.get("prompt", 0)
        if not isinstance(number, int) or not 0 <= number < len(items):
            return {}
        item = items[number]
        answers = self._answers.setdefault(item, {})
        if event.get("finish") != "cancelled":
            answers[str(event.get("side"))] = event
        if item in self._known or not set(self._sitting.sides) <= set(answers):
            return {}
        asked = self._sitting.items[item]
        name = save_comparison(
            self._run,
            Asked(
                asked.messages,
                self._sitting.sampling,
                prompt_id=asked.prompt_id,
                category=asked.category,
                prompt_set=self._sitting.prompt_set,
                batch=self._sitting.batch,
                weights=self._weights,
            ),
            self._answers.pop(item),
        )
        self._known.add(item)
        return {item: {"comparison": name, "messages": asked.messages, "answers": answers}}
