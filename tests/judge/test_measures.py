"""Counts over answers."""

import pytest

from workbench.judge.measures import measure, repetition


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        ("one two three", 0.0),
        ("one two three four five six", 0.0),
        ("a b c d a b c d", 1 / 5),
        ("no " * 13, 9 / 10),
        ("A b C d. a B c D.", 1 / 5),
    ],
)
def test_repetition_is_the_share_of_windows_seen_before(text: str, share: float) -> None:
    assert repetition(text) == pytest.approx(share)


def test_measures_are_means_over_the_answers_of_one_side() -> None:
    comparisons = [
        {"answers": {"base": {"text": "one two", "tokens": 3}, "tuned": {"text": "x"}}},
        {"answers": {"base": {"text": "no " * 13, "tokens": 14}}},
    ]
    base = measure(comparisons, "base")
    assert (base.answers, base.words, base.tokens) == (2, 7.5, 8.5)
    assert base.repetition == pytest.approx(0.45)
    assert measure(comparisons, "tuned").answers == 1
    assert measure([], "tuned").words == 0.0
