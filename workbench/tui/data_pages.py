"""Rows of a data set as a list that is read in pages: never all of them are here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PAGE_ROWS = 100
PAGES_KEPT = 20

DataRow = Mapping[str, Any]
"""What the process tells of a row in a list: number, beginnings of its texts, names of rules."""


class RowPages:
    """The rows that some rule has found, or that hold some words, or all of them.

    Args:
        ask: Asks for rows: (these pages, first row from 0, how many).
        rule: Name of a rule; empty for every row.
        title: The rule in words.
        search: Words that a row must hold; empty for every row.

    Attributes:
        total: How many there are; None while that is not known.
    """

    def __init__(
        self,
        ask: Callable[[RowPages, int, int], None],
        rule: str = "",
        title: str = "",
        search: str = "",
    ) -> None:
        self.rule = rule
        self.title = title
        self.search = search
        self.total: int | None = None
        self._ask = ask
        self._pages: OrderedDict[int, list[DataRow]] = OrderedDict()
        self._asked: set[int] = set()
        self._stale: set[int] = set()
        self._end = 0

    @property
    def filtered(self) -> bool:
        """Whether these are not all rows."""
        return bool(self.rule or self.search)

    @property
    def known(self) -> int:
        """How many rows a list can have now."""
        return self._end if self.total is None else self.total

    def at(self, index: int) -> DataRow | None:
        """A row by its place in the list, from 0; None where its page is not here."""
        page = self._pages.get(index // PAGE_ROWS, [])
        place = index % PAGE_ROWS
        return page[place] if index >= 0 and place < len(page) else None

    def number(self, index: int) -> int:
        """The row's number in the file, 0 where it is not known."""
        row = self.at(index)
        return int(row.get("number") or 0) if row else 0

    def want(self, first: int, last: int) -> None:
        """See to it that the pages of these places come, unless they are here or asked for."""
        highest = last if self.total is None else min(last, self.total - 1)
        for page in range(max(0, first) // PAGE_ROWS, max(0, highest) // PAGE_ROWS + 1):
            if page in self._pages:
                self._pages.move_to_end(page)
            if page not in self._asked and self._wanting(page):
                self._asked.add(page)
                self._ask(self, page * PAGE_ROWS, PAGE_ROWS)

    def _wanting(self, page: int) -> bool:
        """Whether a page is not here, or only the part of it that was read so far."""
        rows = self._pages.get(page)
        if page in self._stale:
            return True
        if rows is None:
            return self.total is None or page * PAGE_ROWS < self.total or page == 0
        whole = PAGE_ROWS if self.total is None else min(PAGE_ROWS, self.total - page * PAGE_ROWS)
        return len(rows) < whole

    def take(self, start: int, rows: Sequence[DataRow], total: int | None) -> None:
        """Keep a page that came."""
        page = start // PAGE_ROWS
        self._asked.discard(page)
        self._stale.discard(page)
        self.total = total if total is not None else self.total
        self._pages[page] = list(rows)
        self._pages.move_to_end(page)
        self._end = max(self._end, start + len(rows))
        while len(self._pages) > PAGES_KEPT:
            self._pages.popitem(last=False)

    def seed(self, rows: Sequence[DataRow]) -> None:
        """Keep the first rows, which are there before all others."""
        self._pages[0] = list(rows)
        self._end = max(self._end, len(rows))

    def forget(self) -> None:
        """What is here was read before the rows were looked over: ask again."""
        for page in self._pages:
            self._stale.add(page)

    def give_up(self, start: int) -> None:
        """A page does not come."""
        self._asked.discard(start // PAGE_ROWS)


@dataclass
class RowPlace:
    """The row that is shown, which two screens share.

    Attributes:
        index: Its place in the list, from 0.
        part: Which of its pairs, from 0.
    """

    pages: RowPages
    index: int = 0
    part: int = 0

    @property
    def number(self) -> int:
        """The row's number in the file, 0 while it is not known."""
        return self.pages.number(self.index)

    def step(self, by: int) -> bool:
        """Go to another row of the list; whether there is one."""
        there = self.index + by
        if there < 0 or (self.pages.total is not None and there >= self.pages.total):
            return False
        if self.pages.total is None and there >= self.pages.known:
            return False
        self.index, self.part = there, 0
        self.pages.want(there - 1, there + 1)
        return True
