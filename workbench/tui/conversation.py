"""What was said and answered on each side of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Answer = dict[str, Any]
Messages = list[dict[str, str]]
ANALYSIS = ("pieces", "first_difference")


@dataclass(frozen=True)
class Seat:
    """A side as it is shown: what names it, and its name for people."""

    spec: str
    label: str


@dataclass
class Turn:
    """One thing that the person said, and each side's answers to it.

    Attributes:
        answers: side -> number of the answer -> text, tokens, seconds, finish, pieces and so on.
        chosen: Number of the answers with which the conversation goes on.
    """

    prompt: str
    answers: dict[str, dict[int, Answer]] = field(default_factory=dict)
    chosen: int = 0

    @property
    def answered(self) -> bool:
        """Whether any side has said anything."""
        return any(one.get("text") for each in self.answers.values() for one in each.values())

    @property
    def count(self) -> int:
        """How many answers a side has."""
        return max((max(each) + 1 for each in self.answers.values() if each), default=0)

    def answer(self, side: str, index: int) -> Answer | None:
        """One answer, None where it is not there."""
        return self.answers.get(side, {}).get(index)


@dataclass
class Weights:
    """Which weights answered, as the answering process has said it."""

    sides: dict[str, dict[str, str]] = field(default_factory=dict)
    max_delta_logit: dict[str, float] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As the process's event says it, for a kept comparison."""
        return {"sides": self.sides, "max_delta_logit": self.max_delta_logit}

    @property
    def same(self) -> list[tuple[str, str]]:
        """Sides that are no other than another one: (side, that other one)."""
        return [
            (side, str(facts.get("same_as")))
            for side, facts in self.sides.items()
            if facts.get("same_as")
        ]


@dataclass
class Conversation:
    """A conversation that is held with two or three sides at the same time.

    Attributes:
        live: Whether the next thing said belongs to it; a kept one is shown, not gone on with.
        queue: What is to be said next, of a prompt of several turns.
        source: prompt_id, category and set of a prompt from a library.
    """

    seats: tuple[Seat, ...]
    system: str = ""
    turns: list[Turn] = field(default_factory=list)
    live: bool = True
    index: int = 0
    weights: Weights = field(default_factory=Weights)
    queue: list[str] = field(default_factory=list)
    source: dict[str, str] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """What was said last."""
        return self.turns[-1].prompt if self.turns else ""

    @property
    def turn(self) -> Turn | None:
        """The last turn."""
        return self.turns[-1] if self.turns else None

    @property
    def count(self) -> int:
        """How many answers a side has to what was said last."""
        return self.turns[-1].count if self.turns else 0

    def say(self, prompt: str) -> None:
        """Begin another turn; one that nobody has answered makes room for it."""
        if self.turns and not self.turns[-1].answered:
            self.turns.pop()
        if self.turns:
            self.turns[-1].chosen = self.index
        self.turns.append(Turn(prompt))
        self.index = 0

    def again(self) -> None:
        """Forget the answers of the last turn."""
        if self.turns:
            self.turns[-1] = Turn(self.turns[-1].prompt)
        self.index = 0

    def history(self, side: str) -> Messages:
        """A side's own conversation up to what was said last."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self.turns[:-1]:
            answer = turn.answer(side, turn.chosen) or turn.answer(side, 0) or {}
            messages.append({"role": "user", "content": turn.prompt})
            messages.append({"role": "assistant", "content": str(answer.get("text") or "")})
        if self.turns:
            messages.append({"role": "user", "content": self.turns[-1].prompt})
        return messages

    def request(self) -> Messages | dict[str, Messages]:
        """What the answering process is asked: one conversation, or one for each side."""
        if len(self.turns) <= 1:
            return self.history(self.seats[0].spec)
        return {seat.spec: self.history(seat.spec) for seat in self.seats}

    def earlier(self, side: str) -> list[tuple[str, str]]:
        """Earlier turns of a side as (prompt, answer), then the present prompt; empty for one."""
        if len(self.turns) <= 1:
            return []
        shown = []
        for turn in self.turns[:-1]:
            answer = turn.answer(side, turn.chosen) or turn.answer(side, 0) or {}
            shown.append((turn.prompt, str(answer.get("text") or "(nothing)").strip()))
        return [*shown, (self.turns[-1].prompt, "")]

    def answer(self, side: str) -> Answer | None:
        """A side's answer that is shown now."""
        return self.turns[-1].answer(side, self.index) if self.turns else None

    def take(self, event: Mapping[str, Any]) -> None:
        """Keep what an event of the answering process says."""
        kind = event.get("event")
        if kind == "weights":
            self.weights = read_weights(event)
        elif kind in ("answer", "analysis") and self.turns:
            side, index = str(event.get("side")), _whole(event.get("index"))
            known = self.turns[-1].answers.setdefault(side, {}).setdefault(index, {})
            unwanted = ("event", "id", "side", "index", "prompt")
            known.update({name: value for name, value in event.items() if name not in unwanted})


def read_weights(record: Mapping[str, Any]) -> Weights:
    """What an event or a kept comparison says of the weights; anything odd is left out."""
    sides, deltas = record.get("sides"), record.get("max_delta_logit")
    facts = {
        str(side): {str(name): str(value or "") for name, value in known.items()}
        for side, known in (sides if isinstance(sides, Mapping) else {}).items()
        if isinstance(known, Mapping)
    }
    numbers = {
        str(side): float(value)
        for side, value in (deltas if isinstance(deltas, Mapping) else {}).items()
        if isinstance(value, int | float)
    }
    return Weights(facts, numbers)


def kept_conversation(
    record: Mapping[str, Any], others: Sequence[Mapping[str, Any]] = ()
) -> Conversation:
    """The conversation of a kept comparison.

    Args:
        record: A line of comparisons.jsonl.
        others: The lines with the other answers to the same prompt.
    """
    answers = record.get("answers")
    specs = [str(side) for side in answers] if isinstance(answers, Mapping) else []
    weights = read_weights(record)
    seats = tuple(Seat(spec, weights.sides.get(spec, {}).get("label") or spec) for spec in specs)
    shared = _messages(record.get("messages"))
    own = record.get("histories")
    histories = own if isinstance(own, Mapping) else {}
    each = {spec: _messages(histories.get(spec)) or shared for spec in specs}
    system = next((m["content"] for m in shared if m["role"] == "system"), "")
    turns = [Turn(message["content"]) for message in shared if message["role"] == "user"]
    for spec, messages in each.items():
        said = [m["content"] for m in messages if m["role"] == "assistant"]
        for turn, text in zip(turns, said, strict=False):
            turn.answers[spec] = {0: {"text": text}}
    talk = Conversation(seats, system, turns or [Turn("")], live=False, weights=weights)
    for line in (record, *others):
        found = line.get("answers")
        for spec, answer in (found if isinstance(found, Mapping) else {}).items():
            if isinstance(answer, Mapping):
                talk.turns[-1].answers.setdefault(str(spec), {})[_whole(line.get("index"))] = dict(
                    answer
                )
    return talk


def _messages(value: object) -> Messages:
    if not isinstance(value, list):
        return []
    return [
        {"role": str(message.get("role")), "content": str(message.get("content") or "")}
        for message in value
        if isinstance(message, Mapping)
    ]


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
