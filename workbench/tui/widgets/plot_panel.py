"""One chart in a frame: its newest value in the title, redrawn only when its data changed."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from workbench.tui.plot import LEGEND_SIGNS, Series, draw, marker
from workbench.tui.render import join, number, plain


class PlotPanel(Static):
    """A framed chart.

    Args:
        title: The metric's name, TRL's own.
        ascii_only: Draw with ASCII markers instead of braille.
    """

    DEFAULT_CSS = """
    PlotPanel {
        border: round $line; border-title-color: $foreground; padding: 0 1;
        height: 1fr; width: 1fr; min-height: 6;
    }
    PlotPanel.-empty { color: $muted; content-align: center middle; }
    """

    def __init__(self, title: str, *, ascii_only: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__("", id=id, markup=False)
        self._title = title
        self._ascii_only = ascii_only
        self._series: tuple[Series, ...] = ()
        self._drawn: tuple[int, int] | None = None
        self._chart = Content("")

    @property
    def metric(self) -> str:
        """What the chart shows now."""
        return self._title

    def show(self, title: str, series: Sequence[Series]) -> None:
        """Show these curves; the first one's newest value stands in the frame's title."""
        new = tuple(series)
        if new == self._series and title == self._title:
            return
        self._title, self._series, self._drawn = title, new, None
        self.border_title = self._heading()
        self.border_subtitle = self._legend()
        self.set_class(not any(one.points for one in new), "-empty")
        self.refresh()

    def render(self) -> Content:
        """The chart at the panel's present size."""
        width, height = self.content_size
        if self.has_class("-empty") or not self._series:
            return plain("no values yet", style="$muted")
        if self._drawn != (width, height):
            self._chart = draw(self._series, width, height, ascii_only=self._ascii_only)
            self._drawn = (width, height)
        return self._chart

    def _heading(self) -> Content:
        first = self._series[0] if self._series else None
        newest = number(first.points[-1][1]) if first and first.points else ""
        return join(plain(self._title), (f" {newest}" if newest else "", "bold $primary"))

    def _legend(self) -> Content:
        shown = [(i, one) for i, one in enumerate(self._series) if one.points]
        if len(shown) < 2:
            return Content("")
        parts: list[Content | tuple[str, str]] = []
        for index, one in shown:
            sign = marker(index, ascii_only=self._ascii_only)
            parts.append((f" {LEGEND_SIGNS.get(sign, sign)} ", one.style))
            parts.append(plain(one.label, style="$muted"))
        return join(*parts, (" ", ""))
