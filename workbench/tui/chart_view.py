"""How charts are looked at: window, axes, smoothing, cursor and marks, the same for all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.tui.smoothing import OFF, Smoothing

AXIS_NAMES = ("step", "epoch", "tokens", "time")
# Sign, sign in ASCII, what it means, whether a thin line goes up from it.
MARKS = {
    "stage": ("┃", "|", "stage", True),
    "resume": ("↻", "r", "resumed", True),
    "stop": ("■", "s", "stopped", True),
    "eval_best": ("★", "b", "best eval", False),
    "checkpoint": ("▴", "^", "checkpoint", False),
}


@dataclass(frozen=True)
class ChartMark:
    """Something that happened at a place of the x axis; `kind` is a key of `MARKS`."""

    kind: str
    x: float
    label: str = ""


@dataclass(frozen=True)
class ChartView:
    """How to draw a chart. All x values are in the unit of the x axis.

    Attributes:
        x_label: What the x axis counts: one of `AXIS_NAMES` (`time` in seconds), or any other
            word, whose ticks are plain numbers.
        low: Left edge, None for the first point's.
        high: Right edge, None for the last point's.
        log: Whether the y axis is logarithmic; a chart of which it would hide half a curve stays
            linear.
        smoothing: What is done to joined curves; their own points stay behind, dim.
        cursor: Where the cursor stands, None where there is none.
        marks: What is marked on the x axis.
        ascii: Draw with ASCII signs alone.
    """

    x_label: str = "step"
    low: float | None = None
    high: float | None = None
    log: bool = False
    smoothing: Smoothing = field(default=OFF)
    cursor: float | None = None
    marks: tuple[ChartMark, ...] = ()
    ascii: bool = False
