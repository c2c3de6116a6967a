"""A metric's curve in bounded memory: however long a run, it keeps the points that show."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

KEPT_POINTS = 1000
LIMIT_POINTS = 2 * KEPT_POINTS

Points = tuple[tuple[int, float], ...]


class Curve:
    """`(step, value)` points by rising step; one value a step, the newest.

    Beyond `LIMIT_POINTS` it is thinned to at most `KEPT_POINTS` of its own points: the lowest
    and the highest of each stretch of steps, and the ends. A shorter curve is exact.
    """

    def __init__(self) -> None:
        self._steps = array("q")
        self._values = array("d")
        self._points: Points | None = None

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def last(self) -> float | None:
        """The value at the highest step."""
        return self._values[-1] if self._values else None

    def add(self, step: int, value: float) -> None:
        """Take a point; a step that is known already gets the new value."""
        self._points = None
        if not self._steps or step > self._steps[-1]:
            self._steps.append(step)
            self._values.append(value)
        else:
            place = bisect_left(self._steps, step)
            if self._steps[place] == step:
                self._values[place] = value
            else:
                self._steps.insert(place, step)
                self._values.insert(place, value)
        if len(self._steps) > LIMIT_POINTS:
            self._thin()

    def forget_after(self, step: int) -> None:
        """Forget the points of higher steps."""
        place = bisect_right(self._steps, step)
        del self._steps[place:], self._values[place:]
        self._points = None

    def points(self) -> Points:
        """The points; the same tuple until something changes."""
        if self._points is None:
            self._points = tuple(zip(self._steps, self._values, strict=True))
        return self._points

    def _thin(self) -> None:
        steps, values = self._steps, self._values
        count = KEPT_POINTS // 2 - 1
        low, span = steps[0], steps[-1] - steps[0] + 1
        kept = {0, len(steps) - 1}
        start = 0
        for number in range(count):
            end = bisect_left(steps, low + -(-span * (number + 1) // count), start)
            if end > start:
                stretch = range(start, end)
                kept.add(min(stretch, key=values.__getitem__))
                kept.add(max(stretch, key=values.__getitem__))
            start = end
        order = sorted(kept)
        self._steps = array("q", (steps[place] for place in order))
        self._values = array("d", (values[place] for place in order))
