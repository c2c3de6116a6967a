"""Where in a metrics file the records of which steps lie, so that a few can be read again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbench.base.tail import open_regular

KEPT_PIECES = 1024
"""For each stage; a file of a million records has pieces of about a megabyte then."""


@dataclass
class Piece:
    """Some whole lines of the file, and which of their steps still count.

    Attributes:
        start, end: Bytes.
        low, high: Steps of one stage.
        cut: Of the records up to here, those behind `high` count no more.
    """

    start: int
    end: int
    low: int
    high: int
    cut: bool = False


class StepIndex:
    """The pieces of a file that is read from its beginning, by stage and in its order."""

    def __init__(self) -> None:
        self._stages: dict[str, list[Piece]] = {}
        self._start = self._end = 0

    def enter(self, start: int, end: int) -> None:
        """What is noted from now on stands between these bytes."""
        self._start, self._end = start, end

    def note(self, stage: str, low: int, high: int) -> None:
        """The part of the file that was entered has records of these steps."""
        pieces = self._stages.setdefault(stage, [])
        if pieces and pieces[-1].start == self._start:
            piece = pieces[-1]
            piece.low, piece.high = min(piece.low, low), max(piece.high, high)
            return
        if len(pieces) >= KEPT_PIECES:
            pairs = zip(pieces[::2], pieces[1::2], strict=False)
            pieces[: len(pieces) // 2 * 2] = [_merge(first, second) for first, second in pairs]
        pieces.append(Piece(self._start, self._end, low, high))

    def forget_after(self, stage: str, step: int) -> None:
        """Records of higher steps count no more."""
        kept = [piece for piece in self._stages.get(stage, ()) if piece.low <= step]
        for piece in kept:
            if piece.high > step:
                piece.high, piece.cut = step, True
        self._stages[stage] = kept

    def pieces(self, stage: str, low: float, high: float) -> list[Piece]:
        """The pieces that have some of these steps."""
        known = self._stages.get(stage, ())
        return [piece for piece in known if piece.low <= high and piece.high >= low]


def _merge(first: Piece, second: Piece) -> Piece:
    low, high = min(first.low, second.low), max(first.high, second.high)
    return Piece(first.start, second.end, low, high, first.cut or second.cut)


def read_lines_between(path: Path, start: int, end: int) -> list[bytes]:
    """The lines between two bytes of a file.

    Raises:
        OSError: It cannot be read any more.
    """
    with open_regular(path) as file:
        file.seek(start)
        return file.read(end - start).split(b"\n")
