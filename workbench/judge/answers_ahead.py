"""The answers of a sitting, made a little ahead of the person who votes on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from workbench.judge.comparisons import Asked, save_comparison
from workbench.judge.sittings import Place, Sitting

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

    Not for several threads: ask and hand over events in one of them.

    Args:
        plan: the voter's order.
        known: numbers of the items whose answers are there.
    """

    def __init__(
        self, run: RunDirectory, sitting: Sitting, plan: Sequence[Place], known: Sequence[int]
    ) -> None:
        self._run = run
        self._sitting = sitting
        self._order = [place.item for place in plan]
        self._known = set(known)
        self._asked: dict[int, list[int]] = {}
        self._answers: dict[int, dict[str, Mapping[str, Any]]] = {}
        self._weights: dict[int, Mapping[str, Any]] = {}

    @property
    def missing(self) -> int:
        """How many items have no answers yet, asked for or not."""
        return len(self._order) - len(self._known)

    def next_items(self, voted: Sequence[int]) -> list[int]:
        """What to ask for now: nothing while enough lies ahead or a request is under way."""
        open_items = [item for item in self._order if item not in set(voted)]
        wanted = [item for item in open_items[:AHEAD] if item not in self._known]
        if self._asked or not wanted:
            return []
        nothing_yet = open_items[0] in wanted and not self._known
        return wanted[: FIRST_ASKED if nothing_yet else ASKED_TOGETHER]

    def ask(self, process: Batcher, items: Sequence[int]) -> int:
        """Ask both sides for these items and return the request's id."""
        sitting = self._sitting
        prompts = [sitting.items[item].messages for item in items]
        request = process.batch(prompts, sitting.sampling, sitting.sides)
        self._asked[request] = list(items)
        return request

    def take(self, event: Mapping[str, Any]) -> list[int]:
        """Take an event of the process; keeps comparisons that are whole and names their items.

        Raises:
            OSError: a comparison cannot be written.
        """
        request = event.get("id")
        if not isinstance(request, int) or request not in self._asked:
            if event.get("event") == "error":
                self._asked.clear()
            return []
        match event.get("event"):
            case "weights":
                self._weights[request] = event
            case "done" | "error":
                del self._asked[request]
                self._weights.pop(request, None)
            case "answer":
                return self._answer(request, event)
        return []

    def _answer(self, request: int, event: Mapping[str, Any]) -> list[int]:
        items, number = self._asked[request], event.get("prompt", 0)
        if event.get("finish") == "cancelled" or not isinstance(number, int):
            return []
        if not 0 <= number < len(items):
            return []
        item = items[number]
        answers = self._answers.setdefault(item, {})
        answers[str(event.get("side"))] = event
        if item in self._known or not set(self._sitting.sides) <= set(answers):
            return []
        asked = self._sitting.items[item]
        save_comparison(
            self._run,
            Asked(
                asked.messages,
                self._sitting.sampling,
                prompt_id=asked.prompt_id,
                category=asked.category,
                prompt_set=self._sitting.prompt_set,
                batch=self._sitting.batch,
                weights=self._weights.get(request, {}),
            ),
            self._answers.pop(item),
        )
        self._known.add(item)
        return [item]
