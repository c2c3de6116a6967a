"""What a comparison can begin with: past prompts and answers of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.message import Message

from workbench.base.problems import ProblemError
from workbench.base.tail import read_jsonl

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory


@dataclass(frozen=True)
class Past:
    """A prompt, and the answers that it got if it was asked already.

    Attributes:
        answers: By side, each with text, tokens, seconds and finish; empty if never asked.
        time: When it was asked, Unix seconds; 0 if never.
        sampled: Whether the training run itself asked, at its beginning and end.
    """

    prompt: str
    answers: Mapping[str, Mapping[str, Any]]
    time: float
    sampled: bool = False


@dataclass
class PastRead(Message):
    """The past of a run, oldest first; the recipe's own prompts come before all others."""

    run_id: str
    past: tuple[Past, ...]


def read_past(run: RunDirectory) -> tuple[Past, ...]:
    """Every prompt of a run once, with its newest answers. Call it from a thread."""
    from workbench.judge.comparisons import load_comparisons
    from workbench.recipe.recipe import load_recipe

    found: dict[str, Past] = {}
    try:
        for prompt in load_recipe(run.recipe).probe_prompts:
            found[prompt] = Past(prompt, {}, 0.0)
    except ProblemError:
        pass  # a run's history is worth showing even where its recipe does not read
    found.update(_sampled(run))
    for record in load_comparisons(run):
        prompt = _prompt_of(record)
        if prompt:
            # Asked again, a prompt moves to the end.
            found.pop(prompt, None)
            found[prompt] = Past(prompt, _answers_of(record), float(record.get("time") or 0.0))
    return tuple(found.values())


def _sampled(run: RunDirectory) -> dict[str, Past]:
    """The answers to the recipe's prompts that the run kept: base, and the newest tuned one."""
    found: dict[str, Past] = {}
    for record in read_jsonl(run.samples):
        prompt, side = record.get("prompt"), record.get("side")
        if not isinstance(prompt, str) or not isinstance(side, str):
            continue
        answer = {"text": str(record.get("answer") or ""), "tokens": record.get("tokens")}
        before = found[prompt].answers if prompt in found else {}
        pane = "base" if side == "base" else "tuned"
        when = record.get("time")
        seconds = float(when) if isinstance(when, int | float) else 0.0
        found[prompt] = Past(prompt, {**before, pane: answer}, seconds, sampled=True)
    return found


def _prompt_of(record: Mapping[str, Any]) -> str:
    messages = [m for m in record["messages"] if isinstance(m, dict) and m.get("role") == "user"]
    return str(messages[-1].get("content") or "") if messages else ""


def _answers_of(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        side: answer
        for side in ("base", "tuned")
        if isinstance(answer := record["answers"].get(side), dict)
    }
