"""A whole chart in its frame: title, curves, axes, marks, cursor.

The lower line of the frame is the x axis; the numbers stand below it. So a chart of 38 x 11
cells has eight rows for its curves.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from workbench.tui.chart_view import MARKS, ChartView
from workbench.tui.plot import (
    RAW_ASCII_MARKER,
    Bounds,
    Cells,
    Layer,
    Point,
    Series,
    curves,
    finite,
    marker,
    thin,
    window,
)
from workbench.tui.render import number
from workbench.tui.ticks import (
    log_labels,
    log_ticks,
    round_step,
    tick_labels,
    ticks,
    x_text,
    x_ticks,
)

MIN_WIDTH, MIN_HEIGHT = 14, 5
FRAMES = {
    # corners from the top left clockwise, horizontal, vertical, tick
    (False, False): "╭╮╯╰─│┬",
    (False, True): "┏┓┛┗━┃┯",
    (True, False): "++++-|+",
    (True, True): "++++=|+",
}
FRAME_STYLES = {False: "$line", True: "$primary"}
MARK_STYLES = {"resume": "$primary", "stop": "$warning", "eval_best": "$success"}
RAW_STYLE = "$faint"
Y_GRAINS = 12
# Below it powers of ten are no longer exact.
LOG_FLOOR = 1e-290

Runs = tuple[tuple[str, str], ...]
Row = Runs


@dataclass(frozen=True)
class Sketch:
    """Everything of a chart but its frame's texts and the cursor.

    Attributes:
        cells: The plane of the curves, marks included.
        bounds: Its edges.
        y_labels: Row and text.
        x_labels: Column and text.
        axis_marks: Column, sign and style.
        left_out: Points that a logarithmic axis cannot show.
        log: Whether the y axis is logarithmic.
    """

    cells: Cells
    bounds: Bounds
    y_labels: tuple[tuple[int, str], ...]
    x_labels: tuple[tuple[int, str], ...]
    axis_marks: tuple[tuple[int, str, str], ...]
    left_out: int = 0
    log: bool = False


@dataclass(frozen=True)
class Words:
    """The texts of the frame as runs of (text, style).

    Attributes:
        title: At the upper left.
        legends: At the upper right, from long to short; the first that fits is taken, or none.
        notes: At the lower right, from long to short; the last is cut where none fits.
    """

    title: Runs
    legends: tuple[Runs, ...] = ()
    notes: tuple[Runs, ...] = ()


def sketch(series: Sequence[Series], view: ChartView, width: int, height: int) -> Sketch | None:
    """The costly part of a chart of `width` x `height` cells; None where nothing can be drawn.

    Args:
        series: Up to eight curves over one x axis.
        view: How to look at them; its cursor does not matter here.
        width: Cells, frame included.
        height: Cells, frame and numbers below included.
    """
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return None
    layers, left_out, log = _layers(series, view)
    layers = [layer for layer in layers if layer.points]
    if not layers:
        return None
    bounds = _bounds([point for layer in layers for point in layer.points], view)
    rows = height - 3
    wanted = max(2, round(rows / 2.5))
    places = (log_ticks if log else ticks)(bounds.y_low, bounds.y_high, wanted)
    labels = (log_labels if log else tick_labels)(places)
    columns = width - 3 - max(map(len, labels))
    if columns < 4:
        return None
    thinned = [
        replace(layer, points=thin(layer.points, columns, bounds.x_low, bounds.x_high))
        for layer in layers
    ]
    cells = curves(thinned, bounds, columns, rows)
    signs = _marks(cells, view, bounds)
    x_places, x_texts = x_ticks(view.x_label, bounds.x_low, bounds.x_high, max(2, columns // 10))
    fine = not view.ascii
    x_columns = [bounds.column(place, columns, fine=fine) for place in x_places]
    heights = [math.log10(place) if log else place for place in places]
    return Sketch(
        cells,
        bounds,
        tuple(
            (bounds.row(y, rows, fine=fine), text) for y, text in zip(heights, labels, strict=True)
        ),
        tuple((c, t) for c, t in zip(x_columns, x_texts, strict=True) if c is not None),
        signs,
        left_out,
        log,
    )


def _layers(series: Sequence[Series], view: ChartView) -> tuple[list[Layer], int, bool]:
    """What is drawn of each curve, how many points a log axis cannot show, and if it is one."""
    every = [finite(one.points) for one in series]
    log = view.log and all(_mostly_positive(points) for points in every)
    left_out = sum(y <= LOG_FLOOR for points in every for _, y in points) if log else 0
    below: list[Layer] = []
    above: list[Layer] = []
    for index, (one, points) in enumerate(zip(series, every, strict=True)):
        sign = marker(index, ascii_only=view.ascii, sign=one.sign)
        smooth = view.smoothing.kind != "off" and one.joined and len(points) > 2
        if smooth:
            raw = RAW_ASCII_MARKER if view.ascii else "braille"
            below.append(Layer(_shown(points, view, log, one.joined), RAW_STYLE, raw, one.joined))
            points = view.smoothing.apply(points)
        shown = _shown(points, view, log, one.joined)
        above.append(Layer(shown, one.style, sign, one.joined, one.sign))
    # Points that are not joined stand on the curves, not under them.
    above.sort(key=lambda layer: not layer.joined)
    return [*below, *above], left_out, log


def _mostly_positive(points: Sequence[Point]) -> bool:
    """Whether a log axis would show what a curve is; it must not hide one without a word."""
    return 2 * sum(y > LOG_FLOOR for _, y in points) >= len(points)


def _shown(points: Sequence[Point], view: ChartView, log: bool, joined: bool) -> list[Point]:
    """The part of a curve that the window shows, in the scale of the y axis."""
    if log:
        points = [(x, math.log10(y)) for x, y in points if y > LOG_FLOOR]
    low = -math.inf if view.low is None else view.low
    high = math.inf if view.high is None else view.high
    return window(points, low, high, joined=joined)


def _bounds(points: Sequence[Point], view: ChartView) -> Bounds:
    x_low = min(x for x, _ in points) if view.low is None else view.low
    x_high = max(x for x, _ in points) if view.high is None else view.high
    y_low, y_high = min(y for _, y in points), max(y for _, y in points)
    if x_high - x_low < 1e-9 * max(1.0, abs(x_low)):
        x_high = x_low + max(1.0, 1e-6 * abs(x_low))
    # A flat line would have no height to stand in.
    if y_high - y_low < 1e-12 + 1e-6 * abs(y_high):
        margin = abs(y_high) * 0.1 if abs(y_high) > 1e-12 else 0.1
        y_low, y_high = y_low - margin, y_high + margin
    # Round edges stay where they are while new points come, and with them the whole picture.
    grain = round_step((y_high - y_low) / Y_GRAINS)
    y_low = math.floor(y_low / grain + 1e-9) * grain
    y_high = math.ceil(y_high / grain - 1e-9) * grain
    return Bounds(x_low, x_high, y_low, y_high)


def _marks(cells: Cells, view: ChartView, bounds: Bounds) -> tuple[tuple[int, str, str], ...]:
    """Thin lines through blank cells, and the signs for the axis."""
    signs = []
    order = list(MARKS)
    for mark in sorted(view.marks, key=lambda mark: -order.index(mark.kind)):
        column = bounds.column(mark.x, cells.width, fine=not view.ascii)
        if column is None:
            continue
        sign, plain_sign, _, line = MARKS[mark.kind]
        style = MARK_STYLES.get(mark.kind, "$muted")
        signs.append((column, plain_sign if view.ascii else sign, style))
        if line:
            for row in range(cells.height):
                cells.put_if_blank(column, row, ":" if view.ascii else "┊", "$faint")
        for offset, char in enumerate(mark.label if mark.kind == "stage" else "", start=2):
            if column + offset < cells.width:
                cells.put_if_blank(column + offset, 0, char, "$muted")
    return tuple(signs)


def frame(
    drawn: Sketch | None, words: Words, view: ChartView, size: tuple[int, int], *, focus: bool
) -> tuple[Row, ...]:
    """The chart's rows, each as runs of (text, style), `size[1]` of them, `size[0]` cells wide."""
    width, height = size
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return (((" " * width, ""),),) * height
    signs, style = FRAMES[view.ascii, focus], FRAME_STYLES[focus]
    whole = Cells(width, height)
    bottom = height - 2
    whole.put(0, 0, signs[0] + signs[4] * (width - 2) + signs[1], style)
    whole.put(0, bottom, signs[3] + signs[4] * (width - 2) + signs[2], style)
    for row in range(1, bottom):
        whole.put(0, row, signs[5], style)
        whole.put(width - 1, row, signs[5], style)
    _head(whole, words)
    if drawn is None:
        text = "no values yet"
        whole.put((width - len(text)) // 2, height // 2 - 1, text, "$muted")
        return _rows(whole)
    left = width - 1 - drawn.cells.width
    _plane(whole, drawn, left)
    for column in _foot(whole, drawn, words, view, left):
        whole.put(left + column, bottom, signs[6], style)
    for column, sign, mark_style in drawn.axis_marks:
        whole.put(left + column, bottom, sign, mark_style)
    if view.cursor is not None:
        _cursor(whole, drawn, view, left)
    return _rows(whole)


def _head(whole: Cells, words: Words) -> None:
    """The title, and the longest legend that the width takes."""
    end = _put_runs(whole, 1, 0, ((" ", ""), *words.title, (" ", "")), whole.width - 1)
    for legend in words.legends:
        length = runs_length(legend)
        if legend and end + length + 2 <= whole.width - 1:
            _put_runs(whole, whole.width - 2 - length, 0, legend, whole.width - 1)
            return


def _plane(whole: Cells, drawn: Sketch, left: int) -> None:
    for row, (chars, styles) in enumerate(
        zip(drawn.cells.chars, drawn.cells.styles, strict=True), start=1
    ):
        whole.chars[row][left : left + drawn.cells.width] = chars
        whole.styles[row][left : left + drawn.cells.width] = styles
    for row, text in drawn.y_labels:
        whole.put(left - 1 - len(text), row + 1, text, "$faint")


def _cursor(whole: Cells, drawn: Sketch, view: ChartView, left: int) -> None:
    column = drawn.bounds.column(view.cursor or 0.0, drawn.cells.width, fine=not view.ascii)
    if column is None:
        return
    for row in range(1, whole.height - 2):
        whole.put_if_blank(left + column, row, "|" if view.ascii else "│", "$foreground")
    whole.put(left + column, whole.height - 2, "+" if view.ascii else "┷", "$foreground")


def _foot(whole: Cells, drawn: Sketch, words: Words, view: ChartView, left: int) -> list[int]:
    """The numbers of the x axis with the note at the right; returns the columns that have one."""
    labelled = []
    row = whole.height - 1
    choices: tuple[Runs, ...] = words.notes or (((view.x_label, "$faint"),),)
    if drawn.left_out and view.cursor is None:
        choices = (((f"{drawn.left_out} not above 0 left out", "$warning"),),)
    room = whole.width - 2
    notes = next((runs for runs in choices if runs_length(runs) <= room), choices[-1])
    begin = whole.width - 1 - runs_length(notes)
    for column, text in drawn.x_labels:
        place = max(1, min(left + column - (len(text) - 1) // 2, whole.width - 1 - len(text)))
        free = all(char == " " for char in whole.chars[row][max(0, place - 1) : place + len(text)])
        if free and place + len(text) + 1 < begin:
            whole.put(place, row, text, "$faint")
            labelled.append(column)
    _put_runs(whole, max(1, begin), row, notes, whole.width - 1)
    return labelled


def runs_length(runs: Runs) -> int:
    """How many cells runs take."""
    return sum(len(text) for text, _ in runs)


def _put_runs(whole: Cells, column: int, row: int, runs: Runs, end: int) -> int:
    """Write runs side by side, cut at `end`; returns the column behind them."""
    for text, style in runs:
        whole.put(column, row, text[: max(0, end - column)], style)
        column += len(text)
    return column


def _rows(whole: Cells) -> tuple[Row, ...]:
    rows = []
    for chars, styles in zip(whole.chars, whole.styles, strict=True):
        runs, start = [], 0
        for style, group in itertools.groupby(styles):
            end = start + sum(1 for _ in group)
            runs.append(("".join(chars[start:end]), style))
            start = end
        rows.append(tuple(runs))
    return tuple(rows)


def values_at(series: Sequence[Series], x: float) -> list[tuple[int, Point]]:
    """Index of each curve with its last point at or before an x value."""
    found = []
    for index, one in enumerate(series):
        points = window(finite(one.points), -math.inf, x, joined=False)
        if points:
            found.append((index, points[-1]))
    return found


def value_text(view: ChartView, x: float, point: Point) -> str:
    """A value under the cursor; where it is of an earlier place, that place too."""
    earlier = "" if point[0] == x else f" @{x_text(view.x_label, point[0]).removeprefix('step ')}"
    return f"{number(point[1], 4)}{earlier}"
