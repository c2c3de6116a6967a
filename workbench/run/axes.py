"""What a step is worth on other axes: epochs, tokens, seconds of training."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from workbench.run.curves import Curve, Points

AXES = ("step", "epoch", "tokens", "time")
AXIS_POINTS = 16_384


@dataclass(frozen=True)
class Axis:
    """Values of an axis by step; the steps rise, the values do not fall.

    Attributes:
        kind: One of `AXES`.
        steps, values: What was logged, thinned; both empty where nothing was. The axis of steps
            has none and knows every step.
    """

    kind: str
    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()

    def at(self, step: float) -> float | None:
        """The value at a step, on a straight line between the nearest two; None outside of them."""
        if self.kind == "step":
            return float(step)
        place = bisect_left(self.steps, step)
        if place == len(self.steps) or step < self.steps[0]:
            return None
        right = self.steps[place]
        if right == step:
            return self.values[place]
        left = self.steps[place - 1]
        low, high = self.values[place - 1], self.values[place]
        return low + (high - low) * (step - left) / (right - left)


def make_axis(kind: str, points: Points, *, from_nothing: bool = True) -> Axis:
    """The axis through `(step, value)` points, made to rise where they do not.

    Args:
        from_nothing: At step 0 the value was 0, so the axis begins there.
    """
    if points and from_nothing and points[0][0] > 0:
        points = ((0, 0.0), *points)
    steps = tuple(step for step, _ in points)
    return Axis(kind, steps, tuple(accumulate((value for _, value in points), max)))


class AxisCurve:
    """What an axis was when each step was first reached; only higher steps are taken."""

    def __init__(self) -> None:
        self._curve = Curve(AXIS_POINTS)

    def add(self, step: int, value: float) -> None:
        """Take a point, unless the step or a higher one is known."""
        if step > self._curve.last_step:
            self._curve.add(step, value)

    def extend(self, steps: array[int], values: array[float]) -> None:
        """Take points whose steps do not fall; as `add` of each."""
        start = bisect_right(steps, self._curve.last_step)
        steps, values = steps[start:], values[start:]
        if len(set(steps)) < len(steps):
            first = [
                0,
                *(place for place in range(1, len(steps)) if steps[place] > steps[place - 1]),
            ]
            steps = array("q", [steps[place] for place in first])
            values = array("d", [values[place] for place in first])
        self._curve.extend(steps, values)

    def forget_after(self, step: int) -> None:
        """Forget the points of higher steps."""
        self._curve.forget_after(step)

    def points(self) -> Points:
        """The points, thinned."""
        return self._curve.points()


class TrainingClock:
    """Seconds of training since a stage began, from the times (unix seconds) that were logged.

    The pause between the last sign of life before a resume and the resume is left out. Steps
    behind the checkpoint are trained twice, and the seconds of their first attempt count.

    Attributes:
        known_start: The stage told when it began; otherwise the first time seen counts as that.
    """

    def __init__(self) -> None:
        self.known_start = False
        self._zero: float | None = None
        self._begun: float | None = None
        self._last: float | None = None
        self._ended = False

    def begin(self, time: float | None) -> None:
        """The stage begins, or is about to go on."""
        self._begun = time
        self._ended = False
        if self._last is None:
            self.begin_anew()

    def begin_anew(self) -> None:
        """What was trained before has no part in it."""
        self._zero = self._begun
        self.known_start = self._zero is not None
        self._last = None

    def go_on(self, time: float | None) -> None:
        """The stage goes on from a checkpoint."""
        if time is not None and self._last is not None and self._zero is not None:
            self._zero += max(0.0, time - self._last)

    def end(self, time: float) -> None:
        """The run ended; an attempt to go on that fails ends it again, which tells nothing."""
        if not self._ended and self._zero is not None:
            self.see(time)
        self._ended = True

    def see(self, time: float) -> None:
        """A sign of life of the training."""
        if self._zero is None:
            self._zero = time
        self._last = time

    def seconds(self, times: Iterable[float]) -> list[float]:
        """Seconds of training at these times, in their order; to be seen before they are asked."""
        zero = self._zero or 0.0
        return [time - zero for time in times]
