"""Answers as they grow: tokens become text, and an answer can be ended early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import StoppingCriteria

MAX_HELD_TOKENS = 12
REPLACEMENT = "\ufffd"


class TextAssembler:
    """Turns tokens into text piece by piece, without ever showing half a character.

    A character of several bytes can span tokens; until its last one is there, the tokenizer
    decodes it as a replacement character, which is held back.

    Args:
        decode: the tokenizer's decoding of a list of token ids.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._context: list[int] = []
        self._pending: list[int] = []
        self._shown = 0
        self.ids: list[int] = []

    def push(self, token: int) -> str:
        """Take a token; returns the text that has become certain, often nothing."""
        self.ids.append(token)
        self._pending.append(token)
        known = self._decode(self._context)
        text = self._decode(self._context + self._pending)
        new = text[len(known) :]
        unfinished = new.endswith(REPLACEMENT) and len(self._pending) < MAX_HELD_TOKENS
        certain = new.rstrip(REPLACEMENT) if unfinished else new
        piece = certain[self._shown :]
        self._shown = max(self._shown, len(certain))
        if not unfinished:
            self._context, self._pending, self._shown = self._pending, [], 0
        return piece

    def flush(self) -> str:
        """The held rest at the end of an answer."""
        known = self._decode(self._context)
        rest = self._decode(self._context + self._pending)[len(known) :][self._shown :]
        self._context, self._pending, self._shown = self._pending or self._context, [], 0
        return rest


class Answer:
    """One answer while it grows.

    Attributes:
        side, index, prompt: whose answer it is, which of several, and to which prompt of a batch.
        finish: `eos`, `length` or `cancelled` once it has ended, before that an empty text.
        seconds: from the start of the request to the answer's end.
        first_seconds: from there to the first token.
        pieces: the text of each token; together they are the whole text.
    """

    def __init__(self, side: str, tokenizer: Any, index: int = 0, prompt: int = 0) -> None:
        def decode(ids: list[int]) -> str:
            return str(tokenizer.decode(ids, skip_special_tokens=True))

        self.side, self.index, self.prompt = side, index, prompt
        self.finish = ""
        self.seconds = self.first_seconds = 0.0
        self.pieces: list[str] = []
        self._unsent = ""
        self._assembler = TextAssembler(decode)

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self.pieces)

    @property
    def ids(self) -> list[int]:
        """Its tokens, without an end token."""
        return self._assembler.ids

    def push(self, token: int, seconds: float) -> None:
        """Take a token that belongs to the answer, at so many seconds."""
        self.first_seconds = self.first_seconds or seconds
        piece = self._assembler.push(token)
        self.pieces.append(piece)
        self._unsent += piece

    def end(self, finish: str, seconds: float) -> None:
        """No more tokens; a second end changes nothing."""
        if not self.finish:
            if self.pieces:
                rest = self._assembler.flush()
                self.pieces[-1] += rest
                self._unsent += rest
            self.finish, self.seconds = finish, seconds

    def take_unsent(self) -> str:
        """The text since the last call."""
        piece, self._unsent = self._unsent, ""
        return piece


class CancelCriteria(StoppingCriteria):  # type: ignore[misc]
    """Ends a whole batch of `generate` when asked to."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        stop = self._cancelled()
        return torch.full((input_ids.shape[0],), stop, dtype=torch.bool, device=input_ids.device)
