"""What the screens share: bar, footer, the notice for a tiny terminal, the app by its type."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import Worker

from workbench.tui.render import join
from workbench.tui.widgets.key_footer import KeyFooter
from workbench.tui.widgets.top_bar import TopBar

if TYPE_CHECKING:
    from workbench.tui.app import WorkbenchApp
    from workbench.tui.board import RunRow

MIN_COLUMNS, MIN_LINES = 60, 15


class WorkbenchScreen(Screen[None]):
    """A screen with the bar on top and its keys at the bottom.

    Attributes:
        MODE: The app's mode that the screen belongs to.
        HELP_TITLE, HELP_TEXT: What the help dialog says above the keys.
        SPEAKING: Actions that say why they cannot be done, when their key is dim.
    """

    MODE: ClassVar[str] = ""
    HELP_TITLE: ClassVar[str] = ""
    HELP_TEXT: ClassVar[str] = ""
    SPEAKING: ClassVar[tuple[str, ...]] = ()
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny-width"), (MIN_COLUMNS, "-narrow"), (100, "-wide")]
    AUTO_FOCUS = ""
    VERTICAL_BREAKPOINTS = [(0, "-tiny-height"), (MIN_LINES, "-short"), (30, "-tall")]
    DEFAULT_CSS = """
    WorkbenchScreen { background: $background; layers: base notice; }
    WorkbenchScreen > #too-small {
        layer: notice; display: none; dock: top; width: 100%; height: 100%;
        background: $background; color: $warning; content-align: center middle;
        text-align: center;
    }
    WorkbenchScreen.-tiny-width > #too-small { display: block; }
    WorkbenchScreen.-tiny-height > #too-small { display: block; }
    """

    class Shown(Message):
        """The app was asked for this screen while it was shown already."""

    @property
    def bench(self) -> WorkbenchApp:
        """The app, by its own type."""
        return cast("WorkbenchApp", self.app)

    def compose(self) -> ComposeResult:
        """Bar, body, footer."""
        yield TopBar(self.MODE)
        yield from self.compose_body()
        yield KeyFooter(show_command_palette=False, compact=True)
        yield Static("", id="too-small", markup=False)

    def compose_body(self) -> ComposeResult:
        """What stands between the bar and the footer."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Follow the runs."""
        self.bench.runs_changed.subscribe(self, self._runs_changed)
        self._runs_changed(self.bench.rows)

    def on_screen_resume(self) -> None:
        """Catch up with what happened while another screen was shown."""
        self._runs_changed(self.bench.rows)
        self.shown()

    @on(Shown)
    def _asked_again(self) -> None:
        self.shown()

    @on(Worker.StateChanged)
    def _worker_changed(self, event: Worker.StateChanged) -> None:
        self.bench.worker_changed(event)

    async def on_key(self, event: events.Key) -> None:
        """A dim key that is pressed all the same gets a sentence instead of silence."""
        for binding in self.BINDINGS:
            if not isinstance(binding, Binding) or event.key not in binding.key.split(","):
                continue
            if binding.action in self.SPEAKING and not self.check_action(binding.action, ()):
                event.stop()
                getattr(self, f"action_{binding.action}")()

    def shown(self) -> None:
        """The screen came to the front; screens that follow something override it."""

    def on_resize(self, event: events.Resize) -> None:
        """Say what to do about a terminal that is too small."""
        self.query_one("#too-small", Static).update(
            f"The terminal is {event.size.width} x {event.size.height}.\n"
            f"Make it at least {MIN_COLUMNS} x {MIN_LINES}; 80 x 24 shows everything.\n"
            "ctrl+q quits, runs go on."
        )

    def _runs_changed(self, rows: tuple[RunRow, ...]) -> None:
        live = [row for row in rows if row.active]
        bar = self.query_one(TopBar)
        where = "" if self.MODE in ("runs", "monitor") else ": press 2"
        hint = join(("● ", "$success"), f"{len(live)} training{where}")
        bar.show_live(hint if live else join(""))
        self.runs_changed(rows)

    def runs_changed(self, rows: tuple[RunRow, ...]) -> None:
        """Another state of the runs; screens that show runs override it."""
