"""A sitting: what is to be voted on, in which order, and which side stands left for whom."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.base.files import json_safe, make_private_dir, write_atomic
from workbench.base.paths import is_safe_name, safe_name
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import read_small
from workbench.judge.answers import Sampling
from workbench.judge.comparisons import load_comparisons
from workbench.judge.votes import CHOICES, Vote, load_votes

if TYPE_CHECKING:
    from workbench.judge.prompts import Prompt
    from workbench.run.directory import RunDirectory

KEPT = "comparisons already kept"
BATCH_PREFIX = "vote-"
Comparison = Mapping[str, Any]


@dataclass(frozen=True)
class Item:
    """One thing to vote on: a prompt to be answered, or a comparison that is kept already."""

    prompt_id: str
    category: str
    messages: tuple[dict[str, str], ...]
    comparison: str = ""

    @property
    def text(self) -> str:
        """The user's last text."""
        return next((m["content"] for m in reversed(self.messages) if m["role"] == "user"), "")


@dataclass(frozen=True)
class Place:
    """Where in its order a voter sees an item, and the side that stands left then."""

    item: int
    left: str
    right: str


@dataclass(frozen=True)
class Sitting:
    """What is voted on. It is written once; whatever a voter does stands in votes.jsonl.

    Attributes:
        sides: Two; the first is what the other is measured against.
        prompt_set: Name of the prompt set, or `KEPT`.
        seed: Decides every voter's order and sides.
        sampling: How answers are drawn that are not there yet.
    """

    name: str
    sides: tuple[str, str]
    prompt_set: str
    seed: str
    items: tuple[Item, ...]
    sampling: Sampling = field(default_factory=Sampling)
    created: float = field(default_factory=time.time)

    @property
    def batch(self) -> str:
        """The name that the sitting's own comparisons carry."""
        return BATCH_PREFIX + self.name

    def plan(self, voter: str) -> list[Place]:
        """The voter's order of the items, and a fair coin for the sides of each.

        Both come from SHA-256 of seed, voter and item, so that the plan is the same on another
        day and another machine, and another one for another voter.
        """
        order = sorted(range(len(self.items)), key=lambda item: self._draw(voter, "order", item))
        return [self._place(voter, item) for item in order]

    def _place(self, voter: str, item: int) -> Place:
        first, second = self.sides
        swapped = self._draw(voter, "side", item)[0] % 2 == 1
        return Place(item, second, first) if swapped else Place(item, first, second)

    def _draw(self, voter: str, purpose: str, item: int) -> bytes:
        text = json.dumps([self.seed, voter, purpose, item])
        return hashlib.sha256(text.encode()).digest()


def new_sitting(
    run: RunDirectory,
    sides: Sequence[str],
    prompts: Sequence[Prompt] | None,
    *,
    prompt_set: str = KEPT,
    sampling: Sampling | None = None,
    seed: str = "",
) -> Sitting:
    """Plan a sitting and write it into the run directory.

    Args:
        prompts: what both sides are asked; None for the comparisons that are kept already.

    Raises:
        ProblemError: there is nothing to vote on, or it cannot be written.
    """
    if prompts is None:
        items = kept_items(run, sides)
        if not items:
            what = f"no comparison of {sides[0]} and {sides[1]} is kept in this run"
            raise ProblemError(Problem(what, run.id, "Choose a prompt set."))
    else:
        items = [Item(prompt.id, prompt.category, prompt.opening) for prompt in prompts]
    made = Sitting(
        name=_free_name(run, f"{'kept' if prompts is None else prompt_set}-{'-'.join(sides)}"),
        sides=(sides[0], sides[1]),
        prompt_set=prompt_set,
        seed=seed or secrets.token_hex(8),
        items=tuple(items),
        sampling=sampling or Sampling(),
    )
    try:
        make_private_dir(run.sittings)
        document = json_safe({"version": 1, **asdict(made)})
        write_atomic(run.sittings / f"{made.name}.json", json.dumps(document, indent=1))
    except OSError as error:
        what = f"the sitting cannot be written: {error.strerror or error}"
        raise ProblemError(Problem(what, str(run.sittings), "Free some disk space.")) from error
    return made


def _free_name(run: RunDirectory, text: str) -> str:
    stem = safe_name(text)[:50]
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 10_000))
    return next(name for name in names if not (run.sittings / f"{name}.json").exists())


def list_sittings(run: RunDirectory) -> list[Sitting]:
    """The sittings of a run, newest first; files that are none are left out."""
    try:
        files = sorted(run.sittings.glob("*.json"))
    except OSError:
        return []
    found = (load_sitting(run, file.stem) for file in files)
    return sorted((one for one in found if one), key=lambda one: one.created, reverse=True)


def load_sitting(run: RunDirectory, name: str) -> Sitting | None:
    """A sitting by its name; None where there is none that can be read."""
    if not is_safe_name(name):
        return None
    try:
        data = json.loads(read_small(run.sittings / f"{name}.json"))
        first, second = map(str, data["sides"])
        items = tuple(_item(item) for item in data["items"])
        return Sitting(
            name=name,
            sides=(first, second),
            prompt_set=str(data["prompt_set"]),
            seed=str(data["seed"]),
            items=items,
            sampling=Sampling(**data["sampling"]),
            created=float(data["created"]),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _item(data: Mapping[str, Any]) -> Item:
    messages = tuple(
        {"role": str(message["role"]), "content": str(message["content"])}
        for message in data["messages"]
    )
    return Item(str(data["prompt_id"]), str(data["category"]), messages, str(data["comparison"]))


def comparison_id(comparison: Comparison) -> str:
    """The id of a kept comparison; one that was kept without gets it from what it says."""
    given = comparison.get("comparison")
    if isinstance(given, str) and given:
        return given
    text = json.dumps([comparison.get("time"), comparison["messages"], comparison["answers"]])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def answer_text(comparison: Comparison, side: str) -> str | None:
    """A side's answer; None where it has none, or one that somebody broke off."""
    answer = comparison["answers"].get(side)
    if not isinstance(answer, dict) or answer.get("finish") == "cancelled":
        return None
    text = answer.get("text")
    return text if isinstance(text, str) else None


def messages_of(comparison: Comparison) -> list[dict[str, str]]:
    """The conversation that both sides were given; empty where they had one of their own each."""
    if comparison.get("histories"):
        return []
    found = []
    for message in comparison["messages"]:
        if not isinstance(message, dict):
            return []
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str) or not isinstance(content, str):
            return []
        found.append({"role": role, "content": content})
    return found


def kept_items(run: RunDirectory, sides: Sequence[str]) -> list[Item]:
    """The kept comparisons that hold answers of these sides, as items; sittings' own left out."""
    return [
        Item(
            _text(one.get("prompt_id")),
            _text(one.get("category")),
            tuple(messages),
            comparison_id(one),
        )
        for one in load_comparisons(run)
        if not _text(one.get("batch")).startswith(BATCH_PREFIX)
        and all(answer_text(one, side) is not None for side in sides)
        and (messages := messages_of(one))
    ]


def answered_items(run: RunDirectory, sitting: Sitting) -> dict[int, Comparison]:
    """The comparison of each item whose answers are there, by the item's number."""
    by_id: dict[str, Comparison] = {}
    by_prompt: dict[str, Comparison] = {}
    for one in load_comparisons(run):
        if all(answer_text(one, side) is not None for side in sitting.sides):
            by_id[comparison_id(one)] = one
            if one.get("batch") == sitting.batch:
                by_prompt[_text(one.get("prompt_id"))] = one
    found: dict[int, Comparison] = {}
    for number, item in enumerate(sitting.items):
        known = by_id.get(item.comparison) if item.comparison else by_prompt.get(item.prompt_id)
        if known is not None:
            found[number] = known
    return found


def voted_items(run: RunDirectory, sitting: Sitting, voter: str) -> dict[int, Vote]:
    """What a voter has voted in a sitting, by the item's number."""
    numbers = {comparison_id(one): number for number, one in answered_items(run, sitting).items()}
    return {
        numbers[vote.comparison]: vote
        for vote in load_votes(run)
        if vote.sitting == sitting.name and vote.voter == voter and vote.comparison in numbers
    }


def make_vote(
    sitting: Sitting,
    place: Place,
    comparison: Comparison,
    *,
    voter: str,
    choice: str,
    seconds: float,
    now: float,
) -> Vote:
    """The vote of somebody who was shown a place of their plan."""
    assert choice in CHOICES
    item = sitting.items[place.item]
    tokens = {
        side: count
        for side in sitting.sides
        if isinstance(count := comparison["answers"][side].get("tokens"), int)
    }
    return Vote(
        time=now,
        voter=voter,
        sitting=sitting.name,
        comparison=comparison_id(comparison),
        left=place.left,
        right=place.right,
        choice=choice,
        prompt_id=item.prompt_id,
        category=item.category,
        prompt=item.text,
        sides=sitting.sides,
        seconds=round(seconds, 2),
        words={side: len((answer_text(comparison, side) or "").split()) for side in sitting.sides},
        tokens=tokens,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
