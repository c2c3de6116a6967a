"""What the votes say: who won how often, how sure that is, and what else may explain it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from workbench.judge.figures import percent
from workbench.judge.statistics import (
    Agreement,
    Interval,
    LengthControlled,
    agreement,
    binomial_test,
    length_controlled,
    votes_to_tell,
    wilson,
)
from workbench.judge.votes import BOTH_BAD, LEFT, RIGHT, SKIP, TIE, Vote, judgements
from workbench.run.sides import BASE

EVERYBODY = ""
NO_CATEGORY = "(no category)"
BALANCE_LEVEL = 0.05
NEITHER = "neither"


@dataclass(frozen=True)
class Tally:
    """Votes of one kind counted for a side against the first one.

    Attributes:
        shared: On how many comparisons the votes are, where that is fewer; else 0. Voters who
            saw the same answers are no independent evidence, so that certainty grows with the
            comparisons and not with the votes on them.
    """

    wins: int = 0
    losses: int = 0
    ties: int = 0
    both_bad: int = 0
    skips: int = 0
    shared: int = 0

    @property
    def votes(self) -> int:
        """All but the skipped ones."""
        return self.wins + self.losses + self.ties + self.both_bad

    @property
    def points(self) -> float:
        """Wins, and one half for each vote that found neither better (AlpacaEval's way)."""
        return self.wins + (self.ties + self.both_bad) / 2

    @property
    def rate(self) -> float | None:
        """Win rate; None without votes."""
        return self.points / self.votes if self.votes else None

    @property
    def interval(self) -> Interval:
        """Wilson's 95 % interval of the win rate, over the comparisons."""
        return wilson(self.points * self._weight, self.shared or self.votes)

    @property
    def _weight(self) -> float:
        """What one vote counts where several are on one comparison."""
        return self.shared / self.votes if self.shared else 1.0

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves out one half."""
        low, high = self.interval
        return not low <= 0.5 <= high

    @property
    def more(self) -> int | None:
        """About how many more votes at this rate tell the sides apart; see `votes_to_tell`.

        Each on a comparison that nobody has voted on.
        """
        neither = self.ties + self.both_bad
        counts = (count * self._weight for count in (self.wins, neither, self.losses))
        return votes_to_tell(*counts)


@dataclass(frozen=True)
class PairResult:
    """What one voter, or everybody, found of two sides.

    Attributes:
        first, second: `second` is measured against `first`; wins are its wins.
        voter: `EVERYBODY` for all together.
        by_category: In order of the number of votes.
        longer: Of the votes with a winner and unequal lengths: how many went to the longer
            answer, and how many there are.
        left: Of the votes with a winner: how many went to the left, and how many there are.
    """

    first: str
    second: str
    voter: str
    tally: Tally
    by_category: Mapping[str, Tally]
    controlled: LengthControlled | None
    longer: tuple[int, int]
    left: tuple[int, int]

    @property
    def left_chance(self) -> float:
        """How likely a share of left votes as uneven as this is by chance."""
        return binomial_test(*self.left)


@dataclass(frozen=True)
class VoteResults:
    """All of a run's votes.

    Attributes:
        pairs: Everybody's votes, for each pair of sides.
        by_voter: The same for each voter.
        agreement: Between voters, by pair.
        voters: In the order of their first votes.
    """

    pairs: tuple[PairResult, ...]
    by_voter: tuple[PairResult, ...]
    agreement: Mapping[tuple[str, str], Agreement]
    voters: tuple[str, ...]

    def of(self, first: str, second: str) -> PairResult | None:
        """Everybody's result for two sides, whichever is first."""
        wanted = {first, second}
        return next((one for one in self.pairs if {one.first, one.second} == wanted), None)


def results(votes: Iterable[Vote]) -> VoteResults:
    """Count votes (see `votes.load_votes`); of a person's votes on one comparison the newest."""
    grouped: dict[frozenset[str], list[Vote]] = defaultdict(list)
    voters: dict[str, None] = {}
    for vote in judgements(votes):
        grouped[frozenset((vote.left, vote.right))].append(vote)
        voters[vote.voter] = None
    pairs, by_voter, agreements = [], [], {}
    for found in grouped.values():
        first, second = _order(found)
        pairs.append(_result(found, first, second, EVERYBODY))
        own = {voter: [vote for vote in found if vote.voter == voter] for voter in voters}
        by_voter += [_result(some, first, second, who) for who, some in own.items() if some]
        agreements[first, second] = _agreement(found)
    return VoteResults(tuple(pairs), tuple(by_voter), agreements, tuple(voters))


def _order(votes: Sequence[Vote]) -> tuple[str, str]:
    """First and second side, as the newest vote that knows them has them; else base first."""
    for vote in reversed(votes):
        if len(vote.sides) == 2:
            return vote.sides[0], vote.sides[1]
    first, second = sorted((votes[0].left, votes[0].right), key=lambda side: (side != BASE, side))
    return first, second


def tally(votes: Iterable[Vote], second: str) -> Tally:
    """Count votes on two sides for one of them."""
    counts: dict[str, int] = defaultdict(int)
    seen: list[str] = []
    for vote in votes:
        kind = ("win" if vote.winner == second else "loss") if vote.winner else vote.choice
        counts[kind] += 1
        seen += [vote.comparison] if kind != SKIP else []
    different = len(set(seen))
    shared = different if different < len(seen) else 0
    return Tally(counts["win"], counts["loss"], counts[TIE], counts[BOTH_BAD], counts[SKIP], shared)


def _result(votes: Sequence[Vote], first: str, second: str, voter: str) -> PairResult:
    by_category: dict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        by_category[vote.category or NO_CATEGORY].append(vote)
    ordered = sorted(by_category.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    counted = [vote for vote in votes if vote.choice != SKIP]
    sized = [vote for vote in counted if first in vote.words and second in vote.words]
    decided = [vote for vote in counted if vote.winner]
    uneven = [vote for vote in sized if vote.winner and _difference(vote, first, second)]
    longer = [vote for vote in uneven if (_difference(vote, first, second) > 0)
              == (vote.winner == second)]  # fmt: skip
    return PairResult(
        first=first,
        second=second,
        voter=voter,
        tally=tally(votes, second),
        by_category={name: tally(some, second) for name, some in ordered},
        controlled=_controlled(sized, first, second),
        longer=(len(longer), len(uneven)),
        left=(sum(vote.choice == LEFT for vote in decided), len(decided)),
    )


def _controlled(votes: Sequence[Vote], first: str, second: str) -> LengthControlled | None:
    """The win rate at equal length; several votes on one comparison are one, their mean."""
    points: dict[str, list[float]] = defaultdict(list)
    differences: dict[str, int] = {}
    for vote in votes:
        points[vote.comparison].append(_points(vote, second))
        differences[vote.comparison] = _difference(vote, first, second)
    return length_controlled([fmean(some) for some in points.values()], list(differences.values()))


def _points(vote: Vote, second: str) -> float:
    return float(vote.winner == second) if vote.winner else 0.5


def _difference(vote: Vote, first: str, second: str) -> int:
    return vote.words[second] - vote.words[first]


def _agreement(votes: Sequence[Vote]) -> Agreement:
    """Between voters on the same comparisons; a tie and "both bad" say the same: neither won."""
    items: dict[str, dict[str, str]] = defaultdict(dict)
    for vote in votes:
        if vote.choice != SKIP:
            items[vote.comparison][vote.voter] = vote.winner or NEITHER
    return agreement(list(items.values()))


def headline(found: PairResult) -> str:
    """The result in one sentence, never without its interval."""
    count = found.tally
    if count.rate is None:
        return f"No votes on {found.first} and {found.second} yet."
    low, high = count.interval
    of = f"{_votes(count.votes)} on {count.shared} comparisons" if count.shared else ""
    return (
        f"{found.second} against {found.first}: win rate {percent(count.rate)} "
        f"(95 % interval {percent(low)} to {percent(high)}) of {of or _votes(count.votes)}."
    )


def verdict(found: PairResult) -> str:
    """Whether the votes tell the sides apart, and about how many more it takes."""
    count = found.tally
    if not count.votes:
        return ""
    if count.told_apart:
        winner = found.second if count.points > count.votes / 2 else found.first
        return f"The votes tell them apart: {winner} is preferred."
    if count.more is None:
        return "They are level: no number of votes at this rate tells them apart."
    where = "on other prompts " if count.shared else ""
    more = _votes(count.more, "more ")
    return f"Not told apart yet; about {more} {where}at this rate would do."


def remarks(found: PairResult, agreed: Agreement | None = None) -> list[str]:
    """What else one should know of a result: length, sides of the screen, agreement."""
    lines = []
    controlled, (longer, uneven) = found.controlled, found.longer
    if uneven:
        low, high = wilson(longer, uneven)
        lines.append(
            f"The longer answer won {longer} of {uneven} ({percent(longer / uneven)}, "
            f"{percent(low)} to {percent(high)})."
        )
    if controlled is not None and found.tally.votes > 1:
        interval = f"{percent(controlled.low)} to {percent(controlled.high)}"
        lines.append(f"Win rate at equal length: {percent(controlled.rate)} ({interval}).")
        if found.tally.told_apart and controlled.low <= 0.5 <= controlled.high:
            lines.append("At equal length they are not told apart: length may be what wins.")
    left, decided = found.left
    if decided and found.left_chance < BALANCE_LEVEL:
        side, count = (LEFT, left) if 2 * left > decided else (RIGHT, decided - left)
        lines.append(
            f"The {side} answer won {count} of {decided}: more than chance "
            f"(p = {found.left_chance:.2g}), whatever stood there."
        )
    if agreed is not None and agreed.items:
        lines.append(agreement_line(agreed))
    return lines


def agreement_line(agreed: Agreement) -> str:
    """How far voters agree, in one sentence."""
    value = "not defined" if agreed.value is None else f"{agreed.value:.2f}"
    items = f"{agreed.items} comparison{'' if agreed.items == 1 else 's'}"
    return (
        f"{agreed.voters} voters agree on {percent(agreed.equal)} of the {items} "
        f"that they share ({agreed.measure} {value})."
    )


def _votes(count: int, kind: str = "") -> str:
    return f"{count} {kind}vote{'' if count == 1 else 's'}"


def result_json(found: PairResult) -> dict[str, Any]:
    """A result for scripts and reports."""
    return {
        "first": found.first,
        "second": found.second,
        "voter": found.voter,
        **_tally_json(found.tally),
        "by_category": {name: _tally_json(one) for name, one in found.by_category.items()},
        "length_controlled": asdict(found.controlled) if found.controlled else None,
        "longer_won": found.longer[0],
        "of_unequal_length": found.longer[1],
        "left_won": found.left[0],
        "decided": found.left[1],
        "left_p": found.left_chance,
    }


def _tally_json(count: Tally) -> dict[str, Any]:
    low, high = count.interval
    return {
        "wins": count.wins,
        "losses": count.losses,
        "ties": count.ties,
        "both_bad": count.both_bad,
        "skips": count.skips,
        "votes": count.votes,
        "comparisons": count.shared or count.votes,
        "win_rate": count.rate,
        "low": low,
        "high": high,
        "more_votes_to_tell": count.more,
    }


def results_json(found: VoteResults) -> dict[str, Any]:
    """All results for scripts and reports."""
    return {
        "pairs": [result_json(one) for one in found.pairs],
        "by_voter": [result_json(one) for one in found.by_voter],
        "agreement": [
            {"first": first, "second": second, **asdict(agreed)}
            for (first, second), agreed in found.agreement.items()
        ],
        "voters": list(found.voters),
    }
