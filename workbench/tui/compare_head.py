"""What stands above the answers: run, sampling, and which weights answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from workbench.tui.board import RunRow
from workbench.tui.comparing import Past
from workbench.tui.conversation import Conversation
from workbench.tui.render import ago, join, number, plain, state_mark

if TYPE_CHECKING:
    from workbench.judge.answers import Sampling

SHA_LETTERS = 8


def head_line(
    row: RunRow, sampling: Sampling, answers: int, system: bool, status: Content
) -> Content:
    """Run, how answers are drawn, what goes on."""
    drawn = "greedy" if sampling.temperature == 0 else f"temperature {sampling.temperature:g}"
    drawn = f"{drawn} · {sampling.max_new_tokens} tokens"
    if answers > 1:
        drawn = f"{drawn} · {answers} answers"
    if system:
        drawn = f"{drawn} · system prompt"
    name = plain(row.label, newlines=False, style="bold")
    mark = state_mark(row.state)
    return join(name, "  ", mark, "   ", (drawn, "$muted"), "   ", status)


def weights_line(talk: Conversation) -> Content:
    """Which weights answer, with their hashes; in plain words where two sides are the same."""
    facts, deltas = talk.weights.sides, talk.weights.max_delta_logit
    if not facts:
        return Content("")
    labels = {seat.spec: seat.label for seat in talk.seats}
    if talk.weights.same:
        side, other = talk.weights.same[0]
        names = f"{labels.get(side, side)} equals {labels.get(other, other)}"
        words = f"! {names}: its adapter changes nothing"
        return plain(words, newlines=False, style="$warning bold")
    parts = []
    for place, seat in enumerate(talk.seats):
        known = facts.get(seat.spec)
        if known is None:
            continue
        sha = known.get("sha256", "")[:SHA_LETTERS]
        delta = deltas.get(seat.spec)
        text = [plain(seat.label, newlines=False), plain(f" {sha}" if sha else "", style="$muted")]
        if place and delta is not None:
            text.append(join((f" max |delta logit| {number(delta, 2)}", "$muted")))
        parts.append(join(*text))
    return join(("weights  ", "$muted"), Content("  ·  ").join(parts))


def run_line(row: RunRow) -> Content:
    """A run in a list."""
    return join(
        state_mark(row.state),
        "  ",
        plain(row.label, newlines=False, style="bold"),
        "  ",
        plain(row.id if row.name else "", style="$muted"),
    )


def origin(past: Past, now: float) -> str:
    """Where shown answers come from."""
    if past.talk is None:
        return ""
    if past.sampled:
        return "kept while training"
    when = ago(past.time, now)
    return "asked just now" if when == "just now" else f"asked {when} ago"
