"""What a comparison can begin with: past prompts and answers of a run, and the sides it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.message import Message

from workbench.base.files import is_number
from workbench.base.problems import ProblemError
from workbench.base.tail import read_jsonl
from workbench.tui.conversation import Conversation, Seat, Turn, kept_conversation

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory

MOST_PAST = 2000
BASE, TUNED = Seat("base", "base"), Seat("tuned", "tuned")


@dataclass(frozen=True)
class Past:
    """A prompt, and the answers that it got if it was asked already.

    Attributes:
        talk: With the answers; None if it was never asked.
        time: When it was asked, Unix seconds; 0 if never.
        sampled: Whether the training run itself asked, at its beginning and end.
    """

    prompt: str
    talk: Conversation | None
    time: float
    sampled: bool = False


@dataclass
class PastRead(Message):
    """The past of a run, oldest first; the recipe's own prompts come before all others."""

    run_id: str
    past: tuple[Past, ...]


@dataclass
class SidesRead(Message):
    """The sides with which a run is compared unless somebody chooses others: two or three."""

    run_id: str
    seats: tuple[Seat, ...]


def read_past(run: RunDirectory) -> tuple[Past, ...]:
    """What was asked of a run, and what may be. Call it from a thread."""
    from workbench.judge.comparisons import load_comparisons
    from workbench.recipe.recipe import load_recipe

    found: dict[str, Past] = {}
    try:
        for prompt in load_recipe(run.recipe).probe_prompts:
            found[prompt] = Past(prompt, None, 0.0)
    except ProblemError:
        pass  # a run's history is worth showing even where its recipe does not read
    found.update(_sampled(run))
    asked = [_past_of(group) for group in _groups(load_comparisons(run)[-MOST_PAST:])]
    kept = [past for past in asked if past.prompt]
    for past in kept:
        found.pop(past.prompt, None)
    return (*found.values(), *kept)


def _groups(records: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Comparisons with the other answers to the same question, as they stand one after another."""
    groups: list[list[Mapping[str, Any]]] = []
    for record in records:
        index = record.get("index")
        follows = isinstance(index, int) and index > 0
        if follows and groups and groups[-1][0]["messages"] == record["messages"]:
            groups[-1].append(record)
        else:
            groups.append([record])
    return groups


def _past_of(group: Sequence[Mapping[str, Any]]) -> Past:
    talk = kept_conversation(group[0], group[1:])
    return Past(talk.prompt, talk, _moment(group[0]))


def _moment(record: Mapping[str, Any]) -> float:
    when: Any = record.get("time")
    return float(when) if is_number(when) else 0.0


def _sampled(run: RunDirectory) -> dict[str, Past]:
    """The answers to the recipe's prompts that the run kept: base, and the newest tuned one."""
    found: dict[str, Past] = {}
    for record in read_jsonl(run.samples):
        prompt, side = record.get("prompt"), record.get("side")
        if not isinstance(prompt, str) or not isinstance(side, str):
            continue
        answer = {"text": str(record.get("answer") or ""), "tokens": record.get("tokens")}
        before = found[prompt].talk if prompt in found else None
        talk = before or Conversation((BASE, TUNED), turns=[Turn(prompt)], live=False)
        talk.turns[-1].answers["base" if side == "base" else "tuned"] = {0: answer}
        found[prompt] = Past(prompt, talk, _moment(record), sampled=True)
    return found


def default_seats(run: RunDirectory) -> tuple[Seat, ...]:
    """Base, the stages before the last one where they have weights, and the tuned side.

    Only the first of the earlier stages is taken: there are three panes. Call it from a thread.
    """
    from workbench.run.sides import find_side, tuned_sides

    try:
        stages = list(tuned_sides(run).values())
        tuned = find_side(run, TUNED.spec)
    except (ProblemError, OSError):
        return BASE, TUNED
    middle = [Seat(stage.spec, stage.label) for stage in stages[:1] if len(stages) > 1]
    return (BASE, *middle, Seat(tuned.spec, tuned.label))


def all_seats(run: RunDirectory, others: Sequence[RunDirectory]) -> list[Seat]:
    """Every side that a pane may have: of the run itself, then of other runs of the same base.

    Call it from a thread.
    """
    from workbench.run.sides import find_side, list_sides, tuned_sides

    seats = [Seat(side.spec, side.label) for side in list_sides(run)]
    try:
        tuned = find_side(run, TUNED.spec)
        seats.insert(1, Seat(tuned.spec, tuned.label))
    except ProblemError:
        pass  # nothing has weights yet
    for other in others:
        if other.id == run.id:
            continue
        try:
            for stage in tuned_sides(other):
                side = find_side(run, f"{other.id}@{stage}")
                seats.append(Seat(side.spec, side.label))
        except (ProblemError, OSError):
            continue  # another base model, or nothing trained
    return seats


def with_side(
    chosen: tuple[Seat, ...], shown: tuple[Seat, ...], at: int, seat: Seat
) -> tuple[Seat, ...]:
    """The chosen sides with another one in a pane.

    Args:
        chosen: Two or three sides, of which a narrow terminal shows the outer ones.
        shown: Those that are shown.
        at: Number of the pane; behind the last one for a third side between two.
        seat: The new one; where it answers in another pane, the two change places.
    """
    if at >= len(shown):
        return chosen if seat in chosen else (chosen[0], seat, chosen[-1])
    seats = [shown[at] if other.spec == seat.spec else other for other in shown]
    seats[at] = seat
    taken = {each.spec for each in seats}
    hidden = [each for each in chosen[1:-1] if len(shown) < 3 and each.spec not in taken]
    return (seats[0], *(seats[1:-1] or hidden), seats[-1])
