"""Word-level differences."""

from __future__ import annotations

import random
import time

import pytest

from workbench.judge.differences import word_differences


def sides(first: str, second: str) -> tuple[str, str]:
    pieces = word_differences(first, second)
    return (
        "".join(text for kind, text in pieces if kind != "second"),
        "".join(text for kind, text in pieces if kind != "first"),
    )


def test_words_are_marked_where_they_differ() -> None:
    assert word_differences("Take a warm bath.", "Take a cold bath.") == [
        ("same", "Take a"),
        ("first", " warm"),
        ("second", " cold"),
        ("same", " bath."),
    ]
    assert word_differences("Yes.", "Yes.") == [("same", "Yes.")]
    assert word_differences("", "") == []
    assert word_differences("", "new") == [("second", "new")]


def test_spaces_alone_mark_no_word() -> None:
    pieces = word_differences("a  b", "a b\n")
    assert [text for kind, text in pieces if kind == "same"] == ["a", "b"]


def test_pieces_give_both_texts_back() -> None:
    random.seed(1)
    for _ in range(300):
        texts = [
            "".join(random.choices(["a", "b", "cc", " ", "  ", "\n"], k=random.randrange(30)))
            for _ in range(2)
        ]
        assert sides(texts[0], texts[1]) == tuple(texts)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a b " * 2000, "b c " * 2000),
        ("sleep " * 4000, "sleep " * 3999),
        (
            " ".join(f"w{number % 997}" for number in range(4000)),
            " ".join(f"w{number * 7 % 997}" for number in range(4000)),
        ),
    ],
    ids=["two loops", "one loop", "shuffled"],
)
def test_long_answers_and_loops_take_no_time(first: str, second: str) -> None:
    began = time.process_time()
    assert sides(first, second) == (first, second)
    assert time.process_time() - began < 2.0
