"""The part of the x axis that the charts show."""

from __future__ import annotations

from dataclasses import dataclass

MIN_STEPS = 4.0


@dataclass(frozen=True)
class Window:
    """A part of a range that may grow at its right end.

    Attributes:
        span: Its width, None for the whole range.
        end: Its right edge, None to follow the right end of the range.
    """

    span: float | None = None
    end: float | None = None

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Its edges within a range."""
        if self.span is None or self.span >= high - low:
            return low, high
        end = high if self.end is None else min(high, max(self.end, low + self.span))
        return end - self.span, end

    def zoomed(self, factor: float, low: float, high: float, around: float | None) -> Window:
        """A narrower or wider one.

        Args:
            factor: Of its width; 0.5 shows half of it.
            low, high: The range.
            around: What keeps its place; None for the middle, or the right end where the window
                follows it.
        """
        left, right = self.bounds(low, high)
        span = max(MIN_STEPS, (right - left) * factor)
        if span >= high - low:
            return ALL
        if around is None and self.end is None:
            return Window(span)
        fixed = (left + right) / 2 if around is None else around
        return _at(span, fixed + (right - fixed) * span / (right - left), low, high)

    def panned(self, part: float, low: float, high: float) -> Window:
        """One that is moved by a part of its width; at the right end it follows again."""
        _, right = self.bounds(low, high)
        return self if self.span is None else _at(self.span, right + part * self.span, low, high)

    def with_inside(self, x: float, low: float, high: float) -> Window:
        """The nearest one that holds a value."""
        left, right = self.bounds(low, high)
        if self.span is None or left <= x <= right:
            return self
        return _at(self.span, x if x > right else x + self.span, low, high)

    def at_start(self, low: float, high: float) -> Window:
        """The first one of the range."""
        return self if self.span is None else _at(self.span, low, low, high)

    def at_end(self) -> Window:
        """The last one of the range, from now on."""
        return Window(self.span)


ALL = Window()


def _at(span: float, end: float, low: float, high: float) -> Window:
    return Window(span, None if end >= high else max(end, low + span))
