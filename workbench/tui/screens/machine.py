"""The machine: GPUs, CPU, memory, disk, and what a run takes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from workbench.tui.machine import MachineSeen, machine_blocks, real_looks
from workbench.tui.screens.base import WorkbenchScreen

if TYPE_CHECKING:
    from textual.content import Content

    from workbench.run.machine.view import MachineView

LOOK_SECONDS = 2.0
MARGIN = 5
"""Two cells at each side, and the scrollbar's."""


class MachineScreen(WorkbenchScreen):
    """What the machine is busy with.

    Args:
        run_id: The run whose worker and devices are told; empty for none.
        look: Takes one look, in a thread; `machine.real_looks` when None.
    """

    MODE = "monitor"
    CSS_PATH = "machine.tcss"
    HELP_TITLE = "Machine"
    HELP_TEXT = (
        "What this machine is busy with, every two seconds. Of a GPU's memory the full part is "
        "taken by runs of yours, the shaded part by others, the light part is free (without "
        "colour # + .). Small bars are the last five minutes. Temperature, power and owners are "
        "there as far as the driver tells them; without a GPU, or without nvidia-ml-py, there is "
        "no GPU data, and nothing is wrong with that. The energy of a run is that of its GPUs, "
        "and of the CPU where the system tells it. Of several processes that train "
        "together each has a row: how much of the time it computes, how much it waits for the "
        "others' data, and how much of their exchange goes on behind its own work."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll(-1)", "Up", key_display="↑", id="machine.up"),
        Binding("down,j", "scroll(1)", "Down", key_display="↓", id="machine.down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="machine.page-up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="machine.page-down"),
        Binding("home", "end(-1)", "Top", show=False, id="machine.top"),
        Binding("end", "end(1)", "Bottom", show=False, id="machine.bottom"),
        Binding("y", "copy", "Copy", id="machine.copy", tooltip="Copy what is shown, as text"),
        Binding("escape,g", "back", "Back", key_display="esc", id="machine.back", tooltip="Back"),
    ]

    def __init__(self, run_id: str = "", look: Callable[[], MachineView] | None = None) -> None:
        super().__init__()
        self._run_id = run_id
        self._look_at = look
        self._looking = False
        self._view: MachineView | None = None
        self._shown: dict[str, tuple[Static, Content]] = {}

    def compose_body(self) -> ComposeResult:
        """Blocks that come with the first look."""
        yield Static("Looking ...", id="none", classes="empty", markup=False)
        yield VerticalScroll(id="blocks", can_focus=False)

    def on_mount(self) -> None:
        """Look every two seconds while the screen is shown."""
        self.query_one("#blocks").display = False
        if self._look_at is None:
            run = self.bench.actions.directory(self._run_id) if self._run_id else None
            self._look_at = real_looks(self.bench, run)
        self.set_interval(LOOK_SECONDS, self._look)
        self._look()

    def shown(self) -> None:
        """Catch up."""
        self._look()

    def _look(self) -> None:
        look = self._look_at
        if self._looking or look is None or not self.is_current:
            return
        self._looking = True

        def work() -> None:
            try:
                view = look()
            finally:
                self._looking = False
            self.post_message(MachineSeen(view))

        self.run_worker(work, thread=True, exit_on_error=False, group="watch")

    @on(MachineSeen)
    def _seen(self, event: MachineSeen) -> None:
        event.stop()
        self._view = event.view
        self._show()

    def _show(self) -> None:
        """Draw the blocks that have changed; what is the same is not touched."""
        if self._view is None:
            return
        self.query_one("#none").display = False
        pane = self.query_one("#blocks", VerticalScroll)
        pane.display = True
        width = max(20, self.size.width - MARGIN)
        blocks = machine_blocks(self._view, width, ascii_only=self.bench.ascii_only)
        for name in [name for name in self._shown if name not in blocks]:
            self._shown.pop(name)[0].remove()
        for name, content in blocks.items():
            known = self._shown.get(name)
            if known is None:
                widget = Static(content, markup=False)
                pane.mount(widget)
                self._shown[name] = (widget, content)
            elif not known[1].is_same(content):
                known[0].update(content)
                self._shown[name] = (known[0], content)

    def on_resize(self, event: events.Resize) -> None:
        """Bars have another width now."""
        self.call_after_refresh(self._show)

    def action_scroll(self, by: int) -> None:
        """Scroll by a line."""
        self.query_one("#blocks").scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        """Scroll by a page."""
        pane = self.query_one("#blocks")
        pane.scroll_relative(y=by * max(1, pane.size.height - 1), animate=False)

    def action_end(self, by: int) -> None:
        """Scroll to the top or the bottom."""
        pane = self.query_one("#blocks")
        if by < 0:
            pane.scroll_home(animate=False)
        else:
            pane.scroll_end(animate=False)

    def action_copy(self) -> None:
        """Copy all blocks as text."""
        self.bench.copy("\n\n".join(content.plain for _, content in self._shown.values()))

    def action_back(self) -> None:
        """Back to where one came from."""
        self.dismiss()
