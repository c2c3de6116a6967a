"""What can be voted on, and the models behind a sitting, without any widget."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from textual.content import Content

from workbench.tui.asking import Models
from workbench.tui.render import join, plain

if TYPE_CHECKING:
    from workbench.base.paths import Paths
    from workbench.judge.booth import Booth
    from workbench.judge.prompts import PromptSet
    from workbench.judge.sittings import Sitting
    from workbench.run.directory import RunDirectory

Pair = tuple[str, str]


@dataclass(frozen=True)
class Offer:
    """Something to vote on: a sitting to go on with, a prompt set, kept comparisons, or a file.

    Attributes:
        sitting, prompts: One of them, or none: for the kept comparisons, or a file to be named.
        detail: How much of it there is, or is done.
    """

    title: str
    detail: str = ""
    sitting: Sitting | None = None
    prompts: PromptSet | None = None
    kept: bool = False

    def line(self) -> Content:
        """One line of a list."""
        return join(plain(self.title), "  ", plain(self.detail, style="$muted"))


def find_offers(paths: Paths, run: RunDirectory, voter: str) -> list[Offer]:
    """Everything there is to vote on, sittings that are not done first. Call it from a thread."""
    from workbench.base.problems import ProblemError
    from workbench.judge.comparisons import load_comparisons
    from workbench.judge.prompts import library, read_prompts
    from workbench.judge.sittings import KEPT, is_sittings_own, list_sittings, voted_items

    offers = []
    for sitting in list_sittings(run):
        done, total = len(voted_items(run, sitting, voter)), len(sitting.items)
        what = f"{sitting.prompt_set}, {' and '.join(sitting.sides)}"
        verb = "go on" if done < total else "done"
        offers.append(Offer(f"{verb}: {what}", f"{done} of {total}", sitting=sitting))
    offers.sort(key=lambda offer: offer.title.startswith("done"))
    for found in library(paths, run):
        try:
            detail = f"{len(read_prompts(found.path))} prompts"
        except ProblemError as error:
            detail = error.problems[0].what
        offers.append(Offer(f"new: {found.name}", detail, prompts=found))
    asked = [one for one in load_comparisons(run) if not is_sittings_own(one)]
    if asked:
        offers.append(Offer(f"new: {KEPT}", f"{len(asked)}, no models needed", kept=True))
    return [*offers, Offer("new: a file of prompts", "JSON lines, or one prompt a line")]


def find_pairs(run: RunDirectory, asked: Sequence[str] = ()) -> list[tuple[Pair, str]]:
    """Pairs of sides with their words: those asked for, base and tuned, then all others.

    Call it from a thread. Raises ProblemError where the run has no weights yet.
    """
    from workbench.base.problems import ProblemError
    from workbench.run.sides import BASE, TUNED, find_side, list_sides

    labels = {TUNED: find_side(run, TUNED).label}
    labels |= {side.spec: side.label for side in list_sides(run)}
    known = [side.spec for side in list_sides(run)]
    pairs: list[Pair] = [(BASE, TUNED), *combinations(known, 2)]
    pairs += [(spec, TUNED) for spec in known if ":" in spec]
    if len(asked) > 1:
        first = (asked[0], asked[-1])
        with contextlib.suppress(ProblemError):  # such as another run's that was deleted
            labels |= {spec: find_side(run, spec).label for spec in first if spec not in labels}
            pairs = [first, *(pair for pair in pairs if set(pair) != set(first))]
    words = {pair: f"{labels[pair[0]]} and {labels[pair[1]]}" for pair in pairs}
    return list(words.items())


class BoothModels(Models):
    """The models of one booth, asked when answers are missing."""

    def asking(self, booth: Booth) -> Callable[[], None] | None:
        """The work of asking for what is missing, for a thread; None where nothing is now."""
        items = booth.reserve()
        if not items:
            return None
        return self.work(
            booth.run, lambda process: booth.ask(process, items), lambda event: _keep(booth, event)
        )


def _keep(booth: Booth, event: dict[str, Any]) -> dict[str, Any]:
    """Keep what is whole, before the screen looks."""
    try:
        booth.take(event)
    except OSError as error:
        what = f"the answers cannot be kept: {error.strerror or error}"
        return {"event": "error", "id": None, "what": what}
    return event


def bar(share: float, width: int, *, ascii_only: bool) -> str:
    """A share as a bar of `width` cells."""
    full = round(share * width)
    return ("#" if ascii_only else "█") * full + ("." if ascii_only else "░") * (width - full)
