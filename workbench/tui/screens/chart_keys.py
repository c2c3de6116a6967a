"""What the monitor's keys do to its charts."""

from __future__ import annotations

from textual import on
from textual.widgets import Input

from workbench.tui.chart_deck import ChartDeck
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.plot_panel import PlotPanel

WIDE_PANEL = 50
MOVES_FAR = 10


class ChartScreen(WorkbenchScreen):
    """A screen with a deck of charts on the panels `#plot-0` and so on.

    Attributes:
        deck: What is shown; set by the screen that has it.
    """

    deck: ChartDeck

    @property
    def per_page(self) -> int:
        """How many charts have room."""
        raise NotImplementedError

    @property
    def room(self) -> int:
        """How many charts have room when none is large."""
        raise NotImplementedError

    def show_charts(self) -> None:
        """Draw what the deck says."""
        raise NotImplementedError

    def want(self) -> None:
        """Ask for what the deck wants of the run, as soon as can be."""
        raise NotImplementedError

    def panel(self, number: int) -> PlotPanel:
        """The n-th panel of the page."""
        return self.query_one(f"#plot-{number}", PlotPanel)

    def show_chosen(self) -> None:
        """Draw, and let the chosen chart have the focus."""
        self.show_charts()
        self.panel(self.deck.chosen).focus(scroll_visible=False)

    @on(PlotPanel.Focused)
    def _chart_focused(self, event: PlotPanel.Focused) -> None:
        event.stop()
        number = int((event.panel.id or "-0").rpartition("-")[2])
        if number != self.deck.chosen:
            self.deck.choose(number, self.per_page)

    def action_page(self, by: int) -> None:
        """Show the next or the previous charts."""
        self.deck.turn(by, self.per_page)
        self.show_charts()
        self.want()

    def action_choose(self, by: int) -> None:
        """Choose another chart."""
        self.deck.choose(self.deck.chosen + by, self.per_page)
        self.show_chosen()
        self.want()

    def action_zoom(self) -> None:
        """Give the chosen chart all the room, or take it back."""
        self.deck.enlarge(self.room)
        self.show_chosen()
        self.want()

    def action_closer(self, closer: bool) -> None:
        """Show fewer or more steps."""
        self.deck.zoom(closer)
        self.show_charts()
        self.want()

    def action_whole(self) -> None:
        """Show all steps."""
        self.deck.show_all()
        self.show_charts()
        self.want()

    def action_move(self, by: int) -> None:
        """Move the cursor, or else the window, or else go to another chart."""
        if self.deck.cursor is not None:
            self.deck.move_cursor(by)
        elif self.deck.zoomed:
            self.deck.pan(by)
        else:
            self.action_choose(max(-1, min(1, by)))
            return
        self.show_charts()
        self.want()

    def action_edge(self, last: bool) -> None:
        """Go to the first or the last steps."""
        self.deck.go_to_edge(last)
        self.show_charts()
        self.want()

    def action_cursor(self) -> None:
        """Show or hide the cursor."""
        self.deck.turn_cursor()
        self.show_charts()

    def action_smooth(self) -> None:
        """Smooth in the next way."""
        self.deck.next_smoothing()
        self.show_charts()

    def action_axis(self) -> None:
        """Count something else along the x axis."""
        self.deck.next_axis()
        self.show_charts()
        self.want()

    def action_log_axis(self) -> None:
        """Logarithmic y axes, or linear ones again."""
        self.deck.log = not self.deck.log
        self.show_charts()

    def action_filter(self) -> None:
        """Type which charts to show."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.value = self.deck.pattern
        field.focus()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        event.stop()
        if event.input.display and event.value != self.deck.pattern:
            self.deck.filter(event.value)
            self.show_charts()

    @on(Input.Submitted, "#filter")
    def _filter_done(self, event: Input.Submitted) -> None:
        event.stop()
        event.input.display = False
        self.show_chosen()
        self.want()

    def step_back(self) -> bool:
        """Take back the newest way of looking that hides something; whether there was one."""
        field = self.query_one("#filter", Input)
        if field.display or self.deck.pattern:
            field.display = False
            self.deck.filter("")
        elif self.deck.cursor is not None:
            self.deck.cursor = None
        elif self.deck.alone:
            self.deck.enlarge(self.room)
        elif self.deck.zoomed:
            self.deck.show_all()
        else:
            return False
        self.show_chosen()
        self.want()
        return True
