"""The shipped data keeps what recipes/data/README.md says of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from workbench.recipe.recipe import SHIPPED, load_recipe

DATA = SHIPPED / "data"
FILES = {
    "quickstart-sft/train.jsonl": ["prompt", "completion"],
    "quickstart-prefs/train.jsonl": ["prompt", "chosen", "rejected"],
    "quickstart-prefs/test.jsonl": ["prompt", "chosen", "rejected"],
}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def text(row: dict[str, Any], column: str) -> str:
    return str(row[column][-1]["content"])


def normal(prompt: str) -> str:
    return re.sub(r"\W+", " ", prompt.lower()).strip()


@pytest.mark.parametrize("name", FILES)
def test_columns_and_roles(name: str) -> None:
    for row in rows(name):
        assert list(row) == FILES[name]
        assert [message["role"] for message in row["prompt"]] == ["user"]
        for column in FILES[name][1:]:
            assert [message["role"] for message in row[column]] == ["assistant"]


def test_sizes_and_no_shared_prompt() -> None:
    prompts = [normal(text(row, "prompt")) for name in FILES for row in rows(name)]
    assert len(prompts) == len(set(prompts))
    assert len(rows("quickstart-sft/train.jsonl")) >= 200
    assert len(rows("quickstart-prefs/train.jsonl")) >= 300


def test_the_preference_is_plain() -> None:
    for row in rows("quickstart-prefs/train.jsonl") + rows("quickstart-prefs/test.jsonl"):
        assert len(text(row, "chosen").split()) < len(text(row, "rejected").split())


def test_no_template_is_filled_again_and_again() -> None:
    for column in ("chosen", "rejected"):
        openings = [
            " ".join(text(r, column).split()[:3]) for r in rows("quickstart-prefs/train.jsonl")
        ]
        assert max(openings.count(opening) for opening in openings) <= 6


def test_the_quickstarts_prompts_are_held_out() -> None:
    prompts = load_recipe(SHIPPED / "quickstart.yaml").probe_prompts
    held_out = {text(row, "prompt") for row in rows("quickstart-prefs/test.jsonl")}
    assert len(prompts) >= 4
    assert set(prompts) <= held_out
