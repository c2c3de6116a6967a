"""How much of a run's time the answers at its checkpoints may take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

SHARE = 0.05
"""Of the time that the run has taken so far, answers at checkpoints not counted."""
MIN_TOKENS = 8
"""A shorter beginning of an answer shows nothing."""
MAX_TOKENS = 64


class AnswerBudget:
    """The account of a run: what has been spent on answers, and how long the next may be.

    The answers of a batch grow together, so their length is what costs. How long a token takes is
    learnt from every batch, those before the training included.

    Args:
        clock: Seconds of a clock that never goes back.

    Attributes:
        spent: Seconds that answers at checkpoints have taken.
        pace: Seconds a token of a whole batch, with the reading of the prompts; 0 while unknown.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self.spent = 0.0
        self.pace = 0.0

    def left(self) -> float:
        """Seconds that may be spent now."""
        return SHARE * (self._clock() - self._began - self.spent) - self.spent

    def tokens(self) -> int:
        """How long answers may be now; 0 where they would be too short to show anything."""
        left = self.left()
        if left <= 0:
            return 0
        if not self.pace:
            return MIN_TOKENS
        tokens = min(MAX_TOKENS, int(left / self.pace))
        return tokens if tokens >= MIN_TOKENS else 0

    def deadline(self) -> Callable[[], bool]:
        """Says, once called, whether what was left by now has been used up."""
        end = self._clock() + self.left()
        return lambda: self._clock() >= end

    def learn(self, seconds: float, tokens: int) -> None:
        """Take the pace of a batch whose longest answer had so many tokens.

        It counts half, so that one slow batch does not shorten all later answers for good.
        """
        pace = seconds / max(1, tokens)
        self.pace = (self.pace + pace) / 2 if self.pace else pace

    @contextlib.contextmanager
    def spending(self) -> Iterator[None]:
        """Count the time of a block."""
        began = self._clock()
        try:
            yield
        finally:
            self.spent += self._clock() - began
