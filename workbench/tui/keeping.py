"""Comparisons that stay: in the run directory, and as a Markdown file for others to read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.base.files import write_atomic
from workbench.base.paths import safe_name
from workbench.base.text import clean
from workbench.judge.log_ratios import change_of
from workbench.tui.conversation import Conversation

if TYPE_CHECKING:
    from workbench.judge.answers import Sampling
    from workbench.run.directory import RunDirectory


def keep(run: RunDirectory, talk: Conversation, sampling: Sampling) -> Callable[[], None]:
    """The work of appending the last turn to the run's comparisons; it may raise OSError."""
    turn = talk.turns[-1]
    first = talk.seats[0].spec
    several = len(talk.turns) > 1
    histories = {seat.spec: talk.history(seat.spec) for seat in talk.seats} if several else {}
    messages, source, weights = talk.history(first), dict(talk.source), talk.weights.record()
    answers = {
        index: {side: dict(each[index]) for side, each in turn.answers.items() if index in each}
        for index in range(turn.count)
    }

    def work() -> None:
        from workbench.judge.comparisons import Asked, save_comparison

        for index, each in answers.items():
            asked = Asked(messages, sampling, histories, index, weights=weights, **source)
            save_comparison(run, asked, each)

    return work


def write_markdown(
    folder: Path, name: str, run_id: str, talk: Conversation, sampling: Sampling
) -> Path:
    """Write a conversation into a new file of the folder and return its path. Raises OSError."""
    stem = f"comparison-{safe_name(name)}"
    number = 1
    while (path := folder / f"{stem}-{number}.md").exists():
        number += 1
    write_atomic(path, markdown(name, run_id, talk, sampling))
    return path


def markdown(name: str, run_id: str, talk: Conversation, sampling: Sampling) -> str:
    """A conversation as Markdown; texts of models and people stand in fences, so that they are
    shown as they are and never read as Markdown or HTML.
    """
    drawn = "greedy" if sampling.temperature == 0 else f"temperature {sampling.temperature:g}"
    drawn += f", at most {sampling.max_new_tokens} tokens, seed {sampling.seed}"
    parts = [f"# Comparison: {_inline(name)}", f"Run {_inline(run_id)}, {drawn}."]
    for seat in talk.seats:
        facts = talk.weights.sides.get(seat.spec, {})
        sha, delta = facts.get("sha256", ""), talk.weights.max_delta_logit.get(seat.spec)
        known = [f"weights {_inline(sha)}" if sha else "the base model's own weights"]
        if delta:
            known.append(f"max |delta logit| {delta:.4g}")
        parts.append(f"- **{_inline(seat.label)}**: {', '.join(known)}")
    if talk.system:
        parts += ["## System prompt", fenced(talk.system)]
    for number, turn in enumerate(talk.turns, start=1):
        parts += [
            f"## Prompt {number}" if len(talk.turns) > 1 else "## Prompt",
            fenced(turn.prompt),
        ]
        for index in range(turn.count):
            for seat in talk.seats:
                answer = turn.answer(seat.spec, index)
                if answer is not None:
                    which = f", answer {index + 1}" if turn.count > 1 else ""
                    parts.append(f"### {_inline(seat.label)}{which}{_measured(answer)}")
                    parts.append(fenced(str(answer.get("text") or "(nothing)")))
    return "\n\n".join(parts) + "\n"


def _measured(answer: dict[str, Any]) -> str:
    facts = []
    if isinstance(answer.get("tokens"), int):
        facts.append(f"{answer['tokens']} tokens")
    change = change_of(answer)
    if change is not None:
        facts.append(f"{change.share:.0%} of tokens changed by tuning")
    return f" ({', '.join(facts)})" if facts else ""


def fenced(text: str) -> str:
    """A text between fences that are longer than any inside it."""
    shown = clean(text)
    fence = "```"
    while fence in shown:
        fence += "`"
    return f"{fence}text\n{shown}\n{fence}"


def _inline(text: str) -> str:
    """A name that Markdown and HTML take as plain words."""
    shown = clean(text, newlines=False)
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+!|~&-" else c for c in shown)
