"""Rows of an answer: a text that grows piece by piece looks as if it had come at once."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from rich.cells import cell_len

from workbench.judge.log_ratios import tokens_of
from workbench.tui.answer_rows import AnswerRows
from workbench.tui.shading import Mark, token_marks
from workbench.tui.wrapping import wrap

LETTERS = [
    "a",
    "word",
    " ",
    "  ",
    "\n",
    "宽",
    "é",
    "👍🏽",
    "longerthanarow",
    "\x1b[3",
    "1m",
    "\r",
    "\t",
]


def texts(rows: AnswerRows) -> list[str]:
    return ["".join(text for text, _ in row) for row in rows.rows]


@pytest.mark.parametrize("seed", range(20))
def test_a_growing_text_is_laid_out_as_if_it_had_come_at_once(seed: int) -> None:
    source = random.Random(seed)
    pieces = [source.choice(LETTERS) for _ in range(200)]
    growing, whole = AnswerRows(), AnswerRows()
    for rows in (growing, whole):
        rows.begin([("you said", "it said"), ("now", "")], 10)
    shown: list[str] = texts(growing)
    for piece in pieces:
        first = growing.add(piece)
        now = texts(growing)
        assert now[:first] == shown[:first], "a row was changed without being told"
        shown = now
    whole.add("".join(pieces))
    assert shown == texts(whole)
    assert shown[:4] == ["you: you", "said", "it said", ""]
    assert all(cell_len(row) <= 10 for row in shown)


@pytest.mark.parametrize("width", [1, 2, 7, 40])
@pytest.mark.parametrize(
    "text", ["", "a", "several words in a row", "宽宽宽宽宽", "x" * 90, "  in"]
)
def test_wrapping_loses_nothing_but_the_blank_at_the_break(text: str, width: int) -> None:
    rows = wrap(text, width)
    assert "".join(text[a:b] for a, b in rows).replace(" ", "") == text.replace(" ", "")
    assert all(cell_len(text[a:b]) <= max(width, 2) for a, b in rows)
    for (_, end), (begin, _) in pairwise(rows):
        assert text[end:begin] in ("", " ")


def test_adding_costs_what_is_new() -> None:
    rows = AnswerRows()
    rows.begin([], 20)
    for _ in range(500):
        rows.add("some more words ")
    changed = len(rows.rows) - rows.add("and")
    assert len(rows.rows) > 300
    assert changed <= 2


def test_signs_stand_under_their_words() -> None:
    rows = AnswerRows()
    rows.begin([], 12)
    text = "one two three four"
    marks = [Mark(3, 7, "sign-3", "+++"), Mark(7, 13, "sign-1", "-"), Mark(13, 18, "sign-2", "^--")]
    rows.show(text, marks, signs=True)
    assert texts(rows) == ["one two", "    +++", "three four", "-     ^--"]
    assert rows.rows[0] == (("one", ""), (" two", "sign-3"))
    assert rows.row_of(text.index("two")) == 0
    assert rows.row_of(text.index("four")) == 2


def test_a_later_mark_lies_over_an_earlier_one() -> None:
    rows = AnswerRows()
    rows.begin([], 40)
    rows.show("abcdef", [Mark(0, 4, "word"), Mark(2, 3, "cursor")])
    assert rows.rows[0] == (("ab", "word"), ("c", "cursor"), ("d", "word"), ("ef", ""))


def test_tokens_lie_where_their_text_is_shown() -> None:
    answer = {"text": "Hi there you", "pieces": [["Hi", 0.05], [" there", -0.7], [" you", 2.5]]}
    shown, tokens = tokens_of(answer)
    assert shown == "Hi there you"
    assert [shown[t.begin : t.end] for t in tokens] == ["Hi", " there", " you"]
    marks = token_marks(tokens, 1, signs=True)
    assert [(mark.style, mark.sign) for mark in marks] == [("sign-2", "^--"), ("sign-3", "+++")]
    coloured = token_marks(tokens, 1, signs=False)
    assert [mark.style for mark in coloured] == ["down-2 turn-shaded", "up-3"]
