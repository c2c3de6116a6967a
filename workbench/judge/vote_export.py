"""Votes as preference data: rows that `run` and `trl dpo` take as they are."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.base.files import write_atomic
from workbench.base.problems import Problem, ProblemError
from workbench.judge.comparisons import load_comparisons
from workbench.judge.prompts import whole_letters
from workbench.judge.sittings import answer_text, comparison_id, messages_of
from workbench.judge.votes import SKIP, Vote, judgements, load_votes

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory

NEITHER = "tie or both bad"
SKIPPED = "skipped"
EVEN = "voters divided evenly"
IDENTICAL = "identical answers"
EMPTY = "the better answer is empty"
GONE = "the comparison is not kept any more"
HISTORIES = "the sides had conversations of their own"
CUT_FINISH = "length"


@dataclass(frozen=True)
class Export:
    """Preference pairs, and why other comparisons gave none.

    Attributes:
        rows: `{"prompt", "chosen", "rejected"}`, each a list of messages: TRL's conversational
            form; the prompt holds the system message and earlier turns.
        left_out: Number of voted comparisons by reason.
        outvoted: Pairs on which the voters were divided and the majority decided.
        cut: Pairs whose better answer was cut at its length limit.
    """

    rows: tuple[dict[str, Any], ...]
    left_out: Mapping[str, int]
    outvoted: int = 0
    cut: int = 0

    def sentences(self) -> list[str]:
        """What is in it, what is not, and what to beware of."""
        count = len(self.rows)
        lines = [f"{count} preference pair{'' if count == 1 else 's'}."]
        if self.left_out:
            reasons = (f"{number} {reason}" for reason, number in self.left_out.items())
            lines.append(f"Left out: {', '.join(reasons)}.")
        if self.outvoted:
            lines.append(f"{self.outvoted} of them by the majority of divided voters.")
        if self.cut:
            lines.append(
                f"The better answer of {self.cut} was cut at the length limit: training on it "
                "teaches to stop there."
            )
        return lines


def preference_rows(run: RunDirectory, voter: str = "") -> Export:
    """The pairs that follow from the votes, one for each comparison and pair of sides.

    Ties, "both bad", skips and undone votes never become pairs, nor do equal answers. Where
    voters differ, what most of them say counts; where no outcome has most votes, none does.

    Args:
        voter: whose votes; everybody's where empty.
    """
    kept = {comparison_id(one): one for one in load_comparisons(run)}
    grouped: dict[tuple[str, frozenset[str]], list[Vote]] = defaultdict(list)
    for vote in judgements(load_votes(run), voter):
        grouped[vote.comparison, frozenset((vote.left, vote.right))].append(vote)
    rows: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    outvoted = cut = 0
    for (name, sides), votes in grouped.items():
        winner, reason = _decide(votes)
        row: dict[str, Any] | None = None
        if winner:
            (loser,) = sides - {winner}
            row, reason = _row(kept.get(name), winner, loser)
        if row is None:
            left_out[reason] += 1
            continue
        rows.append(row)
        outvoted += len({vote.winner for vote in votes if vote.choice != SKIP}) > 1
        cut += kept[name]["answers"][winner].get("finish") == CUT_FINISH
    return Export(tuple(rows), dict(left_out), outvoted, cut)


def _decide(votes: Sequence[Vote]) -> tuple[str, str]:
    """The side that has most votes, or why there is none."""
    counts = Counter(vote.winner for vote in votes if vote.choice != SKIP)
    if not counts:
        return "", SKIPPED
    (best, most), *others = counts.most_common()
    if others and others[0][1] == most:
        return "", EVEN
    return best, NEITHER


def _row(
    comparison: Mapping[str, Any] | None, winner: str, loser: str
) -> tuple[dict[str, Any] | None, str]:
    if comparison is None:
        return None, GONE
    chosen, rejected = answer_text(comparison, winner), answer_text(comparison, loser)
    if chosen is None or rejected is None:
        return None, GONE
    if chosen.strip() == rejected.strip():
        return None, IDENTICAL
    if not chosen.strip():
        return None, EMPTY
    messages = messages_of(comparison)
    if not messages:
        return None, HISTORIES
    prompt = [{**message, "content": whole_letters(message["content"])} for message in messages]
    return {"prompt": prompt, "chosen": _said(chosen), "rejected": _said(rejected)}, ""


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": whole_letters(text)}]


def write_rows(export: Export, path: Path, *, force: bool = False) -> None:
    """Write the pairs as JSON lines, for the owner only.

    Args:
        force: Whether a file that is there may be replaced.

    Raises:
        ProblemError: there is no pair, the file is there already, or it cannot be written.
    """
    if not export.rows:
        what = f"no vote gives a preference pair: {' '.join(export.sentences())}"
        hint = "Vote first: dpo-workbench votes cast RUN."
        raise ProblemError(Problem(what, "", hint))
    if path.exists() and not force:
        hint = "Choose another name, or replace it with --force."
        raise ProblemError(Problem("the file exists already", str(path), hint))
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in export.rows)
    try:
        write_atomic(path, text)
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        raise ProblemError(Problem(what, str(path), "Choose another place.")) from error
