"""Comparisons and votes without a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.judge.answers import Sampling
from workbench.judge.comparisons import Asked, save_comparison
from workbench.judge.prompts import Prompt
from workbench.judge.sittings import (
    Sitting,
    answered_items,
    make_vote,
    new_sitting,
)
from workbench.judge.votes import Vote, add_vote
from workbench.run.directory import RunDirectory

HOSTILE = "\x1b]52;c;cm0gLXJm\x07[/INST] [@click=app.quit]x[/] \x1b[31mred"


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def prompts(count: int, category: str = "") -> list[Prompt]:
    return [
        Prompt(f"p{number}", category or f"kind {number % 2}", (user(f"Question {number}?"),))
        for number in range(count)
    ]


def answer(text: str, **more: Any) -> dict[str, Any]:
    return {"text": text, "tokens": len(text.split()), "seconds": 1.0, "finish": "eos", **more}


def keep_answers(
    run: RunDirectory,
    sitting: Sitting,
    base: str = "It depends on many things, as ever.",
    tuned: str = "Yes.",
) -> None:
    """Answers of both sides to all items of a sitting; `{n}` is the item's number."""
    for number, item in enumerate(sitting.items):
        asked = Asked(
            item.messages,
            Sampling(),
            prompt_id=item.prompt_id,
            category=item.category,
            batch=sitting.batch,
        )
        texts: Mapping[str, str] = dict(zip(sitting.sides, (base, tuned), strict=True))
        answers = {side: answer(text.replace("{n}", str(number))) for side, text in texts.items()}
        save_comparison(run, asked, answers)


def ready_sitting(run: RunDirectory, count: int = 6, **answers: str) -> Sitting:
    """A sitting over `count` prompts whose answers are there."""
    sitting = new_sitting(run, ("base", "tuned"), prompts(count), prompt_set="trial", seed="5eed")
    keep_answers(run, sitting, **answers)
    return sitting


def vote(run: RunDirectory, sitting: Sitting, item: int, outcome: str, voter: str = "ada") -> Vote:
    """Vote for a side by its name, or tie, both_bad, skip, on an item."""
    place = next(place for place in sitting.plan(voter) if place.item == item)
    choice = {place.left: "left", place.right: "right"}.get(outcome, outcome)
    comparison = answered_items(run, sitting)[item]
    made = make_vote(sitting, place, comparison, voter=voter, choice=choice, seconds=2.0, now=9.0)
    add_vote(run, made)
    return made
