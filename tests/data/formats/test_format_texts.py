"""Rows in TRL's columns as the texts that the lint and the table of rows look at."""

from __future__ import annotations

from typing import Any

import pytest
from format_cases import CALL, assistant, pair, system, user

from workbench.data.formats.texts import example_parts, implicit_split, splits_word

TALK = [system("be kind"), user("ask")]


@pytest.mark.parametrize(
    ("row", "prompt", "answers"),
    [
        ({"prompt": "p ", "chosen": "a", "rejected": "b"}, "p ", ("a", "b")),
        (pair(TALK), "system: be kind\n\nuser: ask", ("good", "bad")),
        (
            {"chosen": [*TALK, assistant("good")], "rejected": [*TALK, assistant("bad")]},
            "system: be kind\n\nuser: ask",
            ("good", "bad"),
        ),
        (
            {"chosen": "The sky is blue.", "rejected": "The sky is black."},
            "The sky is bl",
            ("ue.", "ack."),
        ),
        (
            pair() | {"chosen": [assistant("x"), user("y"), assistant("z")]},
            "user: ask",
            ("assistant: x\n\nuser: y\n\nassistant: z", "bad"),
        ),
        (
            pair() | {"chosen": [{"role": "assistant", "content": None, "tool_calls": [CALL]}]},
            "user: ask",
            ('[{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]', "bad"),
        ),
        (
            pair()
            | {"chosen": [{"role": "assistant", "content": [{"type": "text", "text": "x"}]}]},
            "user: ask",
            ("x", "bad"),
        ),
    ],
)
def test_pairs(row: dict[str, Any], prompt: str, answers: tuple[str, str]) -> None:
    assert example_parts(row, "dpo") == (prompt, answers)


@pytest.mark.parametrize(
    ("row", "prompt", "answer"),
    [
        ({"messages": [*TALK, assistant("good")]}, "system: be kind\n\nuser: ask", "good"),
        (
            {"messages": [user("a"), assistant("b"), user("c"), assistant("d")]},
            "user: a\n\nassistant: b\n\nuser: c",
            "d",
        ),
        ({"messages": [assistant("good")]}, "", "good"),
        ({"prompt": "p", "completion": "c"}, "p", "c"),
        ({"prompt": [user("ask")], "completion": [assistant("good")]}, "user: ask", "good"),
        ({"text": "words"}, "", "words"),
    ],
)
def test_single_answers(row: dict[str, Any], prompt: str, answer: str) -> None:
    assert example_parts(row, "sft") == (prompt, (answer,))


@pytest.mark.parametrize(
    ("chosen", "rejected", "inside"),
    [
        ("The sky is blue.", "The sky is black.", True),
        ("The sky is blue.", "The sky was blue.", False),
        ("Yes: one", "Yes: two", False),
        ("one", "two", False),
        ("go", "going", True),
        ("", "", False),
        ("", "x", False),
    ],
)
def test_splits_inside_a_word(chosen: str, rejected: str, inside: bool) -> None:
    assert splits_word(chosen, rejected) is inside
    assert implicit_split(chosen, rejected) <= min(len(chosen), len(rejected))
