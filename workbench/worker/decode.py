"""Several answers out of one `generate` call: streamed, each with its own end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

FLUSH_SECONDS = 0.05
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
    """One answer of a batch while it grows.

    Attributes:
        side: whose answer it is.
        finish: `eos`, `length` or `cancelled` once it has ended, before that an empty text.
        seconds: from the start of the request to the answer's end.
    """

    def __init__(self, side: str, tokenizer: Any) -> None:
        def decode(ids: list[int]) -> str:
            return str(tokenizer.decode(ids, skip_special_tokens=True))

        self.side = side
        self.finish = ""
        self.seconds = 0.0
        self.text = ""
        self.unsent = ""
        self._assembler = TextAssembler(decode)

    @property
    def tokens(self) -> int:
        """Tokens of the answer, its end token not counted."""
        return len(self._assembler.ids)

    def push(self, token: int) -> None:
        """Take a token that belongs to the answer."""
        self._grow(self._assembler.push(token))

    def end(self, finish: str, seconds: float) -> None:
        """No more tokens; a second end changes nothing."""
        if not self.finish:
            self._grow(self._assembler.flush())
            self.finish, self.seconds = finish, seconds

    def _grow(self, piece: str) -> None:
        self.text += piece
        self.unsent += piece

    def take_unsent(self) -> str:
        """The text since the last call."""
        piece, self.unsent = self.unsent, ""
        return piece


class AnswerStreamer(BaseStreamer):  # type: ignore[misc]
    """Takes one token per row and step from `generate`, for any number of rows.

    Args:
        answers: one per row of the batch.
        ends: token ids that end a row; what follows them in that row is padding.
        emit: called with a side and its new text, at most about 20 times a second a side.
        cancelled: tells at the end of the batch why its last rows ended.
    """

    def __init__(
        self,
        answers: Sequence[Answer],
        ends: set[int],
        emit: Callable[[str, str], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._answers = answers
        self._ends = ends
        self._emit = emit
        self._cancelled = cancelled
        self._prompt_seen = False
        self._began = time.monotonic()
        self._flushed = 0.0

    def put(self, value: torch.Tensor) -> None:
        """A step's tokens, shape (rows,); the first call brings the prompts instead."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        elapsed = time.monotonic() - self._began
        for answer, token in zip(self._answers, value.reshape(-1).tolist(), strict=True):
            if answer.finish:
                continue
            if token in self._ends:
                answer.end("eos", elapsed)
            else:
                answer.push(token)
        if elapsed - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def end(self) -> None:
        """The batch has ended: the rows that are still open were cancelled or cut by length."""
        reason = "cancelled" if self._cancelled() else "length"
        for answer in self._answers:
            answer.end(reason, time.monotonic() - self._began)
        self.flush()

    def flush(self) -> None:
        """Hand on what has become certain since the last time."""
        self._flushed = time.monotonic() - self._began
        for answer in self._answers:
            if piece := answer.take_unsent():
                self._emit(answer.side, piece)


class CancelCriteria(StoppingCriteria):  # type: ignore[misc]
    """Ends the whole batch when asked to, or when the parent process, if one is named, is gone."""

    def __init__(self, cancelled: Callable[[], bool], parent: int | None = None) -> None:
        self._cancelled = cancelled
        self._parent = parent

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        orphan = self._parent is not None and os.getppid() != self._parent
        stop = self._cancelled() or orphan
        return torch.full((input_ids.shape[0],), stop, dtype=torch.bool, device=input_ids.device)
