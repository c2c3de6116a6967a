"""Tokens into text: no half characters, nothing lost."""

from __future__ import annotations

import pytest
import torch
from tiny_model import make_tokenizer

from workbench.worker.decode import (
    REPLACEMENT,
    Answer,
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


def test_an_answer_is_its_pieces_and_has_one_end(tokenizer: object) -> None:
    answer = Answer("base", tokenizer, index=2)
    sent = []
    for token in tokenizer("ab 🙂", add_special_tokens=False)["input_ids"][:-1]:
        answer.push(token, 0.5)
        sent.append(answer.take_unsent())
    assert REPLACEMENT not in "".join(sent)
    answer.end("length", 2.0)
    answer.end("cancelled", 9.0)
    assert (answer.finish, answer.seconds, answer.first_seconds) == ("length", 2.0, 0.5)
    assert "".join(sent) + answer.take_unsent() == answer.text == "".join(answer.pieces)
    assert len(answer.pieces) == len(answer.ids)
    assert REPLACEMENT in answer.text


def test_a_stop_ends_a_whole_batch() -> None:
    ids = torch.zeros(2, 3, dtype=torch.long)
    assert CancelCriteria(lambda: False)(ids, None).tolist() == [False, False]
    assert CancelCriteria(lambda: True)(ids, None).tolist() == [True, True]
