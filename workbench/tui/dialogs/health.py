"""What the rules on a run's metrics found, with reasons and cures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from workbench.tui.dialogs.base import Dialog
from workbench.tui.health import health_line, health_story
from workbench.tui.render import join, plain

if TYPE_CHECKING:
    from workbench.run.health import Finding

LINE_WIDTH = 110


class HealthDialog(Dialog[None]):
    """Shows all findings on a run; what is longer than the screen scrolls.

    Args:
        name: The run, as lists call it.
        findings: Worst first.
        ended: The run is over.
    """

    DEFAULT_CSS = """
    HealthDialog > #frame { width: 96%; max-width: 110; padding: 0 1; }
    HealthDialog VerticalScroll { height: auto; max-height: 100%; }
    HealthDialog Static { padding-right: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h,q,enter", "dismiss", "Close", show=False, id="health.close"),
        Binding("y", "copy", "Copy", id="health.copy", tooltip="Copy the findings as text"),
    ]

    def __init__(self, name: str, findings: Sequence[Finding], *, ended: bool = False) -> None:
        super().__init__(join("Health of ", plain(name)))
        self._findings = tuple(findings)
        self._ended = ended

    def compose_body(self) -> ComposeResult:
        """The summary, then each finding."""
        ascii_only = self.bench.ascii_only
        with VerticalScroll():
            line = health_line(self._findings, LINE_WIDTH, ended=self._ended, ascii_only=ascii_only)
            yield Static(line, markup=False, id="summary")
            yield Static("", markup=False)
            yield Static(
                health_story(self._findings, ascii_only=ascii_only), markup=False, id="story"
            )

    def on_mount(self) -> None:
        """The arrows scroll."""
        self.query_one(VerticalScroll).focus()
        self.query_one("#frame").border_subtitle = "y copies, escape closes"

    def action_copy(self) -> None:
        """Copy the findings as text."""
        self.bench.copy(health_story(self._findings).plain)
