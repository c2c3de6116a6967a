"""What is noticed of a file while its rows are read."""

from __future__ import annotations

from dataclasses import dataclass, field

SENTENCES = {
    "not_utf8": ("1 row is not UTF-8 and was read as Windows-1252",
                 "{} rows are not UTF-8 and were read as Windows-1252"),
    "not_finite": ("1 value is NaN or Infinity and was read as empty",
                   "{} values are NaN or Infinity and were read as empty"),
    "half_pair": ("1 row has half a surrogate pair, read as \\ufffd",
                  "{} rows have half a surrogate pair, read as \\ufffd"),
    "comma": ("1 line ends with a comma", "{} lines end with a comma"),
    "glued": ("1 line holds several rows", "{} lines hold several rows"),
    "commas": ("1 row is not parted by one comma", "{} rows are not parted by one comma"),
    "lists": ("another list follows the first one", "{} lists follow the first one"),
    "messages": ("1 cell holds a list of messages as text, and was read as one",
                 "{} cells hold lists of messages as text, and were read as such"),
}  # fmt: skip


@dataclass
class Remarks:
    """Notes on a file; a second reading says nothing twice.

    Attributes:
        fixed: What was seen when it was opened.
        as_is: `datasets` reads the file to the same rows, as far as it was read.
    """

    fixed: list[str] = field(default_factory=list)
    as_is: bool = True
    _counts: dict[str, int] = field(default_factory=dict)
    _now: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        """A reading starts from the first row."""
        self._now = {}

    def count(self, name: str) -> None:
        """One more of something that `datasets` would stumble over."""
        self._now[name] = self._now.get(name, 0) + 1
        self._counts[name] = max(self._counts.get(name, 0), self._now[name])
        self.as_is = False

    def notes(self) -> list[str]:
        """All notes, a sentence each."""
        counted = [
            SENTENCES[name][0] if count == 1 else SENTENCES[name][1].format(count)
            for name, count in self._counts.items()
        ]
        return self.fixed + counted
