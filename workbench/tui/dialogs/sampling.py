"""How answers are drawn: temperature and the like."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Button, Input, Static

from workbench.judge.limits import MAX_ANSWERS, MAX_NEW_TOKENS
from workbench.tui.dialogs.base import FormDialog
from workbench.tui.render import join
from workbench.tui.widgets.steady_input import SteadyInput

if TYPE_CHECKING:
    from workbench.judge.answers import Sampling

# Name -> (lowest, highest, meaning).
RANGES: dict[str, tuple[float, float, str]] = {
    "temperature": (0, 5, "0 = the likeliest word"),
    "top_p": (0.01, 1, "1 = off"),
    "top_k": (0, 1000, "0 = off"),
    "max_new_tokens": (1, MAX_NEW_TOKENS, "longest answer"),
    "repetition_penalty": (0.5, 5, "1 = off"),
    "seed": (0, 2**31 - 1, "same seed, same answer"),
    "answers": (1, MAX_ANSWERS, "of each side, seed + 1 each"),
}
WHOLE = {"top_k", "max_new_tokens", "seed", "answers"}


class SamplingDialog(FormDialog["tuple[Sampling, int]"]):
    """Changes the sampling settings, and how many answers each side gives.

    Args:
        sampling: The present ones.
        answers: How many answers now.
    """

    DEFAULT_CSS = """
    SamplingDialog .row { height: 1; }
    SamplingDialog .row > .name { width: 20; }
    SamplingDialog .row > Input { width: 12; }
    SamplingDialog .row > .meaning { width: 1fr; padding: 0 0 0 2; color: $muted; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "app.focus_previous", "Up", show=False, id="sampling.up"),
        Binding("down", "app.focus_next", "Down", show=False, id="sampling.down"),
    ]

    def __init__(self, sampling: Sampling, answers: int = 1) -> None:
        super().__init__("Sampling")
        self._sampling = sampling
        self._answers = answers

    def compose_body(self) -> ComposeResult:
        """One row for each setting."""
        for name, value in {**asdict(self._sampling), "answers": self._answers}.items():
            if name not in RANGES:
                continue
            with Horizontal(classes="row"):
                yield Static(name, classes="name", markup=False)
                yield SteadyInput(f"{value:g}" if isinstance(value, float) else str(value), id=name)
                yield Static(RANGES[name][2], classes="meaning", markup=False)
        yield Static("", id="complaint", classes="complaint", markup=False)
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="no", compact=True)
            yield Button("Use", id="yes", compact=True)

    def on_mount(self) -> None:
        """Temperature is what most people change."""
        self.query_one("#temperature").focus()
        self.query_one("#frame").border_subtitle = "up and down move, enter uses"

    def finish(self) -> None:
        """Answer, or say what is wrong with what was typed."""
        from workbench.judge.answers import Sampling

        values: dict[str, float] = {}
        for name, (low, high, _) in RANGES.items():
            field = self.query_one(f"#{name}", Input)
            value = parse_number(field.value, whole=name in WHOLE)
            kind = "whole number" if name in WHOLE else "number"
            if value is None or not low <= value <= high:
                complaint = join((f"{name} must be a {kind} from {low:.10g} to {high:.10g}.", ""))
                self.query_one("#complaint", Static).update(complaint)
                field.focus()
                return
            values[name] = value
        answers = int(values.pop("answers"))
        self.dismiss((Sampling(**values), answers))  # type: ignore[arg-type]


def parse_number(text: str, *, whole: bool) -> float | int | None:
    """A typed number, None where it is none."""
    try:
        return int(text) if whole else float(text)
    except ValueError:
        return None
