"""Where each row of a text file begins."""

from __future__ import annotations

from array import array


class Index:
    """Twelve bytes a row: its place in the text, and its line."""

    def __init__(self) -> None:
        self.offsets = array("Q")
        self.lines = array("I")

    def add(self, number: int, offset: int, line: int) -> None:
        """Note where row `number` begins, from 1; a row that is known already stays."""
        if number > len(self.offsets):
            self.offsets.append(offset)
            self.lines.append(line)

    def place(self, number: int) -> tuple[int, int]:
        """Offset and line of a row.

        Raises:
            IndexError: There is no such row, or it was not passed yet.
        """
        if not 1 <= number <= len(self.offsets):
            raise IndexError(f"row {number} was not read")
        return self.offsets[number - 1], self.lines[number - 1]
