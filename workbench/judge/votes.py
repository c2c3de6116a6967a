"""votes.jsonl: which of two answers a person found better, without knowing whose they are."""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.base.files import append_json, is_number
from workbench.base.tail import read_jsonl
from workbench.base.text import clean

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory

LEFT, RIGHT, TIE, BOTH_BAD, SKIP = "left", "right", "tie", "both_bad", "skip"
CHOICES = (LEFT, RIGHT, TIE, BOTH_BAD, SKIP)
VOTER_CHARACTERS = 60


@dataclass(frozen=True)
class Vote:
    """One judgement.

    Attributes:
        comparison: Id of the comparison whose answers were shown.
        prompt: The user's last text.
        left, right: Which side stood where.
        sides: The two in the order of the sitting: the first is what the other is measured
            against. Empty where it is not known.
        seconds: From showing the answers to the vote.
        words, tokens: Length of each side's answer.
        id: 12 hex digits.
    """

    time: float
    voter: str
    sitting: str
    comparison: str
    left: str
    right: str
    choice: str
    prompt_id: str = ""
    category: str = ""
    prompt: str = ""
    sides: tuple[str, ...] = ()
    seconds: float = 0.0
    words: Mapping[str, int] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)
    id: str = field(default_factory=lambda: secrets.token_hex(6))

    @property
    def winner(self) -> str:
        """The side that was found better; empty where none was."""
        return {LEFT: self.left, RIGHT: self.right}.get(self.choice, "")

    @property
    def outcome(self) -> str:
        """The winner, or `tie`, `both_bad`, `skip`: what does not depend on where a side stood."""
        return self.winner or self.choice


def default_voter() -> str:
    """The user's name on this machine."""
    try:
        return voter_name(getpass.getuser())
    except (OSError, KeyError):
        return voter_name("")


def voter_name(text: str) -> str:
    """What a person types as their name, as it is kept: one inert line, never empty."""
    return clean(text, newlines=False).strip()[:VOTER_CHARACTERS].strip() or "somebody"


def add_vote(run: RunDirectory, vote: Vote) -> None:
    """Append a vote. Raises OSError where it cannot be written."""
    record = {name: value for name, value in asdict(vote).items() if name != "id"}
    append_json(run.votes, {"vote": vote.id, **record, "winner": vote.winner})


def undo_vote(run: RunDirectory, vote: Vote, now: float) -> None:
    """Take a vote back; its line stays. Raises OSError where it cannot be written."""
    append_json(run.votes, {"undo": vote.id, "time": now, "voter": vote.voter})


def load_votes(run: RunDirectory) -> list[Vote]:
    """The votes that nobody took back, oldest first; lines that are no vote are left out.

    Of several votes of one person on one comparison in one sitting the newest counts.
    """
    votes: dict[str, Vote] = {}
    for record in read_jsonl(run.votes):
        undone = record.get("undo")
        if isinstance(undone, str):
            if undone in votes and votes[undone].voter == record.get("voter"):
                del votes[undone]
        elif vote := _vote(record):
            votes[vote.id] = vote
    return _newest(votes.values(), lambda vote: vote.sitting)


def judgements(votes: Iterable[Vote], voter: str = "") -> list[Vote]:
    """The newest vote of each person on each comparison and pair of sides, over all sittings.

    Args:
        voter: whose; everybody's where empty.
    """
    return _newest((vote for vote in votes if voter in ("", vote.voter)), lambda vote: "")


def _newest(votes: Iterable[Vote], also: Callable[[Vote], str]) -> list[Vote]:
    found: dict[object, Vote] = {}
    for vote in votes:
        key = (vote.voter, vote.comparison, frozenset((vote.left, vote.right)), also(vote))
        found.pop(key, None)
        found[key] = vote
    return list(found.values())


def _vote(record: Mapping[str, Any]) -> Vote | None:
    needed = ("vote", "voter", "comparison", "left", "right", "choice")
    texts = {name: _text(record.get(name)) for name in needed}
    if not all(texts.values()) or texts["choice"] not in CHOICES:
        return None
    if texts["left"] == texts["right"]:
        return None
    sides = record.get("sides")
    pair = tuple(sides) if isinstance(sides, list) else ()
    known = sorted(map(str, pair)) == sorted((texts["left"], texts["right"]))
    return Vote(
        id=texts.pop("vote"),
        time=_number(record.get("time")),
        seconds=_number(record.get("seconds")),
        sitting=_text(record.get("sitting")),
        prompt_id=_text(record.get("prompt_id")),
        category=_text(record.get("category")),
        prompt=_text(record.get("prompt")),
        sides=pair if known else (),
        words=_counts(record.get("words")),
        tokens=_counts(record.get("tokens")),
        **texts,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float:
    return float(value) if is_number(value) else 0.0


def _counts(value: Any) -> dict[str, int]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {side: int(count) for side, count in pairs if is_number(count) and count >= 0}
