"""Tokens into text: no half characters, nothing lost."""

from __future__ import annotations

import pytest
import torch
from tiny_model import make_tokenizer

from workbench.worker.decode import (
    REPLACEMENT,
    Answer,
    AnswerStreamer,
    CancelCriteria,
    TextAssembler,
)

TEXTS = [
    "Tea: simple, good, and part of every day.",
    "naïve café — 日本語 🙂🙃 end",
    "👩‍👩‍👧 family, ünïcödé",
    "",
]


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return make_tokenizer()


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_whole_characters_and_make_up_the_text(tokenizer: object, text: str) -> None:
    assembler = TextAssembler(lambda ids: tokenizer.decode(ids, skip_special_tokens=True))
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces = [assembler.push(token) for token in ids]
    pieces.append(assembler.flush())
    assert "".join(pieces) == text
    assert not any(REPLACEMENT in piece for piece in pieces)
    assert assembler.ids == ids


def test_bytes_that_are_no_character_come_out_in_the_end(tokenizer: object) -> None:
    assembler = TextAssembler(lambda ids: tokenizer.decode(ids, skip_special_tokens=True))
    ids = tokenizer("🙂", add_special_tokens=False)["input_ids"][:-1]
    assert "".join(assembler.push(token) for token in ids) == ""
    assert REPLACEMENT in assembler.flush()


def test_each_row_ends_by_itself(tokenizer: object) -> None:
    ends = {tokenizer.eos_token_id}
    rows = [Answer("base", tokenizer), Answer("tuned", tokenizer)]
    shown: list[tuple[str, str]] = []
    streamer = AnswerStreamer(
        rows, ends, lambda side, piece: shown.append((side, piece)), lambda: False
    )
    streamer.put(torch.zeros(2, 5, dtype=torch.long))
    first, second = tokenizer("ab", add_special_tokens=False)["input_ids"][:2]
    for step in ([first, first], [tokenizer.eos_token_id, second], [0, second]):
        streamer.put(torch.tensor(step))
    streamer.end()
    assert [row.finish for row in rows] == ["eos", "length"]
    assert [row.tokens for row in rows] == [1, 3]
    assert [row.text for row in rows] == ["a", "abb"]
    assert "".join(piece for side, piece in shown if side == "tuned") == "abb"


def test_open_rows_of_a_cancelled_batch_say_so(tokenizer: object) -> None:
    row = Answer("base", tokenizer)
    streamer = AnswerStreamer([row], set(), lambda _side, _piece: None, lambda: True)
    streamer.end()
    assert row.finish == "cancelled"


def test_a_stop_ends_the_whole_batch_and_a_parent_need_not_be_named() -> None:
    ids = torch.zeros(2, 3, dtype=torch.long)
    assert CancelCriteria(lambda: False)(ids, None).tolist() == [False, False]
    assert CancelCriteria(lambda: True)(ids, None).tolist() == [True, True]
    assert CancelCriteria(lambda: False, parent=-1)(ids, None).tolist() == [True, True]
