"""Log-ratios of an answer's tokens: where they stand, and what they say together."""

from __future__ import annotations

import pytest

from workbench.base.text import clean
from workbench.judge.log_ratios import (
    Change,
    Token,
    change_of,
    first_difference,
    ratio,
    strength,
    tokens_of,
)

HOSTILE = "bad [/INST] \x1b]52;c;cm0gLXJm\x07 \x1b[2J\x9b31m \u202eend \x1b[3"


def test_hostile_tokens_are_inert_and_still_in_order() -> None:
    pieces = [[HOSTILE[at : at + 3], 1.0] for at in range(0, len(HOSTILE), 3)]
    shown, tokens = tokens_of({"text": HOSTILE, "pieces": pieces})
    assert shown == clean(HOSTILE)
    assert "\x1b" not in shown
    assert all(0 <= t.begin <= t.end <= len(shown) for t in tokens)
    assert tokens[-1].end == len(shown)


def test_pieces_of_another_text_are_not_shown() -> None:
    assert tokens_of({"text": "one", "pieces": [["two", 1.0]]}) == ("one", [])
    assert tokens_of({"text": "one", "pieces": [["one"], "x", 3]}) == ("one", [])
    assert tokens_of({"text": "one", "pieces": [["one", None]]})[1] == [Token(0, 3, 0.0)]


def test_small_log_ratios_are_plain() -> None:
    assert [strength(delta) for delta in (0.0, 0.099, -0.1, 0.49, -0.5, 1.9, -2.0)] == [
        0, 0, 1, 1, 2, 2, 3,
    ]  # fmt: skip


def test_the_first_difference_is_a_token_of_the_answer() -> None:
    tokens = [Token(0, 1, 0.0)]
    assert first_difference({"first_difference": 0}, tokens) == 0
    for odd in (-1, 1, None, "0"):
        assert first_difference({"first_difference": odd}, tokens) == -1


def test_the_change_of_an_answer_by_hand() -> None:
    answer = {"text": "abc", "pieces": [["a", 0.05], ["b", -0.45], ["c", 1.0]]}
    assert change_of(answer) == Change(pytest.approx(0.5), pytest.approx(2 / 3))
    assert change_of({"text": "abc"}) is None


def test_a_ratio_is_told_in_words() -> None:
    assert ratio(0.0) == "1.0 times"
    assert ratio(1.32) == "3.7 times"
    assert ratio(-1.1) == "0.33 times"
    assert ratio(1e9).endswith("times")
