"""A metric's curve in bounded memory: exact for as long as it can be, then the points that show."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal

LIMIT_POINTS = 2000
"""As many points a view of a curve has at most."""
KEPT_POINTS = 65_536
"""As many points a curve keeps at most."""
THINNED_SHARE = 8
"""A curve that is full goes on with so many times fewer stretches, two points in each."""

Points = tuple[tuple[int, float], ...]


class Curve:
    """`(step, value)` points by rising step; one value a step, the newest.

    Beyond its limit it is thinned to a quarter, about, of its own points: the lowest and the
    highest of each stretch of `2^n` steps, and the ends. A shorter curve is exact.

    Attributes:
        exact_from: No step from here on was thinned.
    """

    def __init__(self, limit: int = KEPT_POINTS) -> None:
        self._limit = limit
        self._steps = array("q")
        self._values = array("d")
        self._points: Points | None = None
        self._view = _View()
        self._width = 1
        self.exact_from = 0

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def last(self) -> float | None:
        """The value at the highest step."""
        return self._values[-1] if self._values else None

    @property
    def last_step(self) -> int:
        """The highest step, -1 before there is one."""
        return self._steps[-1] if self._steps else -1

    def add(self, step: int, value: float) -> None:
        """Take a point; a step that is known already gets the new value."""
        self._points = None
        if step > self.last_step:
            self._steps.append(step)
            self._values.append(value)
        else:
            self._view = _View()
            place = bisect_left(self._steps, step)
            if self._steps[place] == step:
                self._values[place] = value
            else:
                self._steps.insert(place, step)
                self._values.insert(place, value)
        if len(self._steps) > self._limit:
            self._thin()

    def extend(self, steps: array[int], values: array[float]) -> None:
        """Take points whose steps rise and are all behind the last one; as `add` of each."""
        self._points = None
        done = 0
        if len(self._steps) + len(steps) <= self._limit:
            self._steps += steps
            self._values += values
            return
        while done < len(steps):
            end = done + self._limit + 1 - len(self._steps)
            self._steps += steps[done:end]
            self._values += values[done:end]
            done = end
            if len(self._steps) > self._limit:
                self._thin()

    def restrict(self, limit: int) -> None:
        """Keep fewer points from now on."""
        self._limit = limit
        if len(self._steps) > limit:
            self._points = None
            self._thin()

    def forget_after(self, step: int) -> None:
        """Forget the points of higher steps."""
        place = bisect_right(self._steps, step)
        if place < len(self._steps):
            del self._steps[place:], self._values[place:]
            self._points, self._view = None, _View()
        self.exact_from = min(self.exact_from, step + 1)

    def points(self) -> Points:
        """At most `LIMIT_POINTS` of the points; the same tuple until something changes."""
        if self._points is None:
            if len(self._steps) <= LIMIT_POINTS:
                self._points = tuple(zip(self._steps, self._values, strict=True))
            else:
                self._points = self._view.read(self._steps, self._values)
        return self._points

    def window(self, low: float, high: float, limit: int = LIMIT_POINTS) -> Points:
        """The points from one step to another, and the next one on either side.

        All that are kept where they are no more than `limit`, else the extremes of stretches.
        """
        start = max(0, bisect_left(self._steps, low) - 1)
        end = bisect_right(self._steps, high) + 1
        steps, values = self._steps[start:end].tolist(), self._values[start:end].tolist()
        if len(steps) <= limit:
            return tuple(zip(steps, values, strict=True))
        return tuple((steps[place], values[place]) for place in _thinned(steps, values, limit))

    def best(self, better: Literal["lower", "higher"]) -> tuple[float, int] | None:
        """The lowest or highest value of all that were added, and its step, the earliest kept."""
        if not self._values:
            return None
        value = min(self._values) if better == "lower" else max(self._values)
        return value, self._steps[self._values.index(value)]

    def _thin(self) -> None:
        """Thin what is exact like the rest, and all of it where stretches grow longer."""
        span, width = self._steps[-1] - self._steps[0], self._width
        while span // width >= self._limit // THINNED_SHARE:
            width *= 2
        exact = bisect_left(self._steps, self.exact_from)
        self._thin_behind(0 if width > self._width else exact, width)
        if len(self._steps) > self._limit // 2:
            self._thin_behind(0, width)
        self._width = width
        self._view = _View()
        # What was forgotten since may have had the last one that was thinned.
        self.exact_from = max(self.exact_from, self._steps[-1])

    def _thin_behind(self, place: int, width: int) -> None:
        if place == len(self._steps):
            return
        steps, values = self._steps[place:].tolist(), self._values[place:].tolist()
        places = with_ends(extremes(steps, values, _edges(steps, width)), len(steps))
        self._steps[place:] = array("q", [steps[place] for place in places])
        self._values[place:] = array("d", [values[place] for place in places])


class _View:
    """The extremes of stretches of `2^n` steps, of which only the last one is still open."""

    def __init__(self) -> None:
        self._width = 0
        self._closed: list[tuple[int, float]] = []
        self._open = 0

    def read(self, steps: array[int], values: array[float]) -> Points:
        """At most `LIMIT_POINTS`; asks only for what has come since the last call."""
        first, last = steps[0], steps[-1]
        most = LIMIT_POINTS // 2 - 2
        if not self._width or last // self._width - first // self._width >= most:
            while not self._width or last // self._width - first // self._width >= most:
                self._width = 2 * self._width or 1
            self._closed, self._open = [(first, values[0])], 0
        edge = last // self._width * self._width
        start, end = self._open, bisect_left(steps, edge, self._open)
        self._closed += self._extremes(steps[start:end], values[start:end], start == 0)
        self._open = end
        rest = self._extremes(steps[end:], values[end:], end == 0)
        tip = ((last, values[-1]),) if not rest or rest[-1][0] != last else ()
        return tuple(chain(self._closed, rest, tip))

    def _extremes(
        self, steps: array[int], values: array[float], without_first: bool
    ) -> list[tuple[int, float]]:
        if not steps:
            return []
        edges = _edges(steps, self._width)
        found = [(steps[place], values[place]) for place in extremes(steps, values.tolist(), edges)]
        return found[1:] if without_first and found[0][0] == steps[0] else found


def _edges(steps: Sequence[int], width: int) -> Iterator[int]:
    """The first step behind each stretch of so many steps, counted from 0."""
    return iter(range((steps[0] // width + 1) * width, steps[-1] + width + 1, width))


def thin_points(points: Points, limit: int) -> Points:
    """At most `limit` of the points (four at least): of equal stretches the extremes, the ends.

    Args:
        points: By rising step.
    """
    if len(points) <= limit:
        return points
    steps, values = zip(*points, strict=True)
    return tuple(points[place] for place in _thinned(steps, values, limit))


def _thinned(steps: Sequence[int], values: Sequence[float], limit: int) -> list[int]:
    count = max(1, limit // 2 - 1)
    low, span = steps[0], steps[-1] - steps[0] + 1
    edges = (low - (-span * (number + 1) // count) for number in range(count))
    return with_ends(extremes(steps, values, edges), len(steps))


def with_ends(places: list[int], count: int) -> list[int]:
    """Some of the places from 0 to `count`, rising, with the first and the last one."""
    first = [] if places[0] == 0 else [0]
    return [*first, *places, *([] if places[-1] == count - 1 else [count - 1])]


def extremes(steps: Sequence[int], values: Sequence[float], edges: Iterator[int]) -> list[int]:
    """Places of the lowest and the highest value of each stretch of steps.

    Args:
        edges: Of each stretch the first step behind it, rising.
    """
    places: list[int] = []
    start = 0
    for edge in edges:
        end = bisect_left(steps, edge, start)
        if end - start > 2:
            part = values[start:end]
            low = start + part.index(min(part))
            high = start + part.index(max(part))
            places += (low,) if low == high else (low, high) if low < high else (high, low)
        elif end > start:
            places += range(start, end)
        start = end
    return places
