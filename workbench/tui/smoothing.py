"""Smoothed curves: exponential and running means."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True)
class Smoothing:
    """A way to smooth.

    Attributes:
        kind: `off`, `ema` or `mean`.
        amount: The weight of the past (0 to 1) of `ema`, the number of points of `mean`.
    """

    kind: str = "off"
    amount: float = 0.0

    @property
    def words(self) -> str:
        """What it is called, empty for none."""
        return {"ema": f"EMA {self.amount:g}", "mean": f"mean of {self.amount:g}"}.get(
            self.kind, ""
        )

    def apply(self, points: Sequence[Point]) -> list[Point]:
        """The smoothed curve, a point for each point; the same points where it is off.

        The exponential mean weights the past by `amount` at each point and is corrected for its
        start (Kingma and Ba, Adam, section 3: divided by 1 - amount ** n), so that the first
        values count fully. The running mean is over the last `amount` points, fewer at first.
        """
        if self.kind == "ema":
            return _exponential(points, self.amount)
        if self.kind == "mean":
            return _running(points, int(self.amount))
        return list(points)


OFF = Smoothing()
SMOOTHINGS = (
    OFF,
    Smoothing("ema", 0.6),
    Smoothing("ema", 0.9),
    Smoothing("mean", 10),
    Smoothing("mean", 50),
)


def _exponential(points: Sequence[Point], past: float) -> list[Point]:
    mean, weight = 0.0, 0.0
    smooth = []
    for x, y in points:
        mean = past * mean + (1 - past) * y
        weight = past * weight + (1 - past)
        smooth.append((x, mean / weight))
    return smooth


def _running(points: Sequence[Point], count: int) -> list[Point]:
    window: deque[float] = deque()
    total = 0.0
    smooth = []
    for x, y in points:
        window.append(y)
        total += y
        if len(window) > count:
            total -= window.popleft()
        smooth.append((x, total / len(window)))
    return smooth
