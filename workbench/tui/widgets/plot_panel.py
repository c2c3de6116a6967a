"""One chart in a frame: drawn when it changed, and repainted only where it differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from workbench.tui.chart_picture import (
    Row,
    Runs,
    Sketch,
    Words,
    frame,
    runs_length,
    sketch,
    value_text,
    values_at,
)
from workbench.tui.chart_view import ChartView
from workbench.tui.plot import Series, legend_sign, narrow
from workbench.tui.render import number
from workbench.tui.ticks import x_text

TITLE_VALUES = 2


class PlotPanel(Widget, can_focus=True):
    """A framed chart of up to eight curves.

    Args:
        title: What the chart shows, until `show` is called.
        ascii_only: Draw with ASCII signs instead of braille and lines, whatever the view says.
    """

    DEFAULT_CSS = "PlotPanel { height: 1fr; width: 1fr; min-height: 5; }"

    class Focused(Message):
        """The panel got the focus."""

        def __init__(self, panel: PlotPanel) -> None:
            super().__init__()
            self.panel = panel

    def __init__(self, title: str, *, ascii_only: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._title = title
        self._ascii_only = ascii_only
        self._view = ChartView(ascii=ascii_only)
        self._note: Runs = ()
        self._series: tuple[Series, ...] = ()
        self._sketch: Sketch | None = None
        self._sketched: object = None
        self._rows: tuple[Row, ...] = ()
        self._styles: dict[tuple[str, str], RichStyle] = {}

    @property
    def metric(self) -> str:
        """What the chart shows now."""
        return self._title

    @property
    def text(self) -> str:
        """The panel as plain text, line by line."""
        return "\n".join("".join(text for text, _ in row) for row in self._rows)

    def show(
        self,
        title: str,
        series: Sequence[Series],
        view: ChartView | None = None,
        note: Runs = (),
    ) -> None:
        """Show these curves; the newest values of one or two lines stand in the frame's title.

        Args:
            title: What the chart shows.
            series: Up to eight curves over one x axis.
            view: How to look at them.
            note: Runs of (text, style) at the right below the frame, in the place of the name of
                the x axis; the cursor's values stand there while there is a cursor.
        """
        view = view or ChartView()
        if self._ascii_only and not view.ascii:
            view = replace(view, ascii=True)
        new = (title, tuple(series), view, note)
        if new == (self._title, self._series, self._view, self._note) and self._rows:
            return
        self._title, self._series, self._view, self._note = new
        self._draw()

    def _draw(self) -> None:
        """Make the picture anew and repaint what differs from the last one."""
        width, height = self.size
        if not width or not height:
            return
        key = (self._series, replace(self._view, cursor=None), width, height)
        if key != self._sketched:
            self._sketch = sketch(self._series, self._view, width, height)
            self._sketched = key
        rows = frame(self._sketch, self._words(), self._view, (width, height), focus=self.has_focus)
        old, self._rows = self._rows, rows
        if len(old) != len(rows):
            self.refresh()
            return
        changed = [
            Region(0, y, columns, 1)
            for y, (before, after) in enumerate(zip(old, rows, strict=True))
            if (columns := _changed_columns(before, after))
        ]
        if changed:
            self.refresh(*changed)

    def on_resize(self, event: events.Resize) -> None:
        """Draw at the new size."""
        self._rows = ()
        self._draw()

    def watch_has_focus(self, has_focus: bool) -> None:
        """A stronger frame, or the quiet one again."""
        super().watch_has_focus(has_focus)
        self._draw()
        if has_focus:
            self.post_message(self.Focused(self))

    def render_line(self, y: int) -> Strip:
        """One row of the picture."""
        if y >= len(self._rows):
            return Strip.blank(self.size.width, self._style(""))
        row = self._rows[y]
        width = sum(len(text) for text, _ in row)
        return Strip([Segment(text, self._style(style)) for text, style in row], width)

    def _style(self, name: str) -> RichStyle:
        """A style by its name, in the present theme."""
        key = (name, self.app.theme)
        known = self._styles.get(key)
        if known is None:
            known = (self.visual_style + Style.parse(name)).rich_style
            self._styles[key] = known
        return known

    def notify_style_update(self) -> None:
        """Another theme or another background: the styles are no longer known."""
        self._styles.clear()
        super().notify_style_update()

    def _words(self) -> Words:
        title: Runs = ((narrow(self._title), "bold" if self.has_focus else "$foreground"),)
        lines = [one for one in self._series if one.joined]
        for one in lines if len(lines) <= TITLE_VALUES else lines[:1]:
            if one.points:
                title += ((f" {number(one.points[-1][1])}", f"bold {one.style}"),)
        extras = [self._view.smoothing.words, "log" if self._sketch and self._sketch.log else ""]
        for words in reversed([words for words in extras if words]):
            if runs_length(title) + len(words) + 5 <= self.size.width:
                title += ((f" {words}", "$secondary"),)
        notes = self._cursor_notes() or ((self._note,) if self._note else ())
        return Words(title, self._legends(), notes)

    def _legends(self) -> tuple[Runs, ...]:
        """All curves, then fewer; of two at last the second: the title has the first one."""
        parts = [
            ((f" {legend_sign(i, one, ascii_only=self._view.ascii)} ", one.style),
             (narrow(one.label), "$muted"))
            for i, one in enumerate(self._series)
            if one.points
        ]  # fmt: skip
        if len(parts) < 2:
            return ()
        choices = [parts[:count] for count in range(len(parts), 1, -1)]
        if len(parts) == 2:
            choices.append(parts[1:])
        return tuple((*(run for part in some for run in part), (" ", "")) for some in choices)

    def _cursor_notes(self) -> tuple[Runs, ...]:
        """The exact values of all curves at the cursor; shorter ones name less."""
        x = self._view.cursor
        if x is None:
            return ()
        place = (x_text(self._view.x_label, x), "bold")
        named, signed = [], []
        several = sum(bool(one.points) for one in self._series) > 1
        for index, point in values_at(self._series, x):
            one = self._series[index]
            value = (value_text(self._view, x, point), one.style)
            sign = legend_sign(index, one, ascii_only=self._view.ascii)
            named += [(f"  {narrow(one.label)} " if several else "  ", "$muted"), value]
            signed += [(f" {sign} " if several else " ", one.style), value]
        return (place, *named), (place, *signed), tuple(signed)


def _changed_columns(before: Row, after: Row) -> int:
    """How many columns from the left have everything that differs.

    Textual sends a row of a widget from its left edge on, so where the first difference is does
    not matter.
    """
    if before == after:
        return 0
    old, new = _spread(before), _spread(after)
    if len(old) != len(new):
        return len(new)
    return next(column for column in range(len(new), 0, -1) if old[column - 1] != new[column - 1])


def _spread(row: Row) -> list[tuple[str, str]]:
    return [(char, style) for text, style in row for char in text]
