"""A run's checkpoints as the screen shows them: a slider, measures under it, marked answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content
from textual.message import Message

from workbench.base.text import clean
from workbench.tui.render import join, lines, plain

if TYPE_CHECKING:
    from workbench.judge.differences import Piece
    from workbench.judge.timeline import Mark, Timeline
    from workbench.run.directory import RunDirectory

COLUMN = 7
LABEL = 12
NONE = "-"


@dataclass
class TimelineRead(Message):
    """The timeline of a run as its files hold it now."""

    run_id: str
    timeline: Timeline


class TimelineWatcher:
    """Keeps a run's metrics between looks. Use it from one thread at a time."""

    def __init__(self, run: RunDirectory) -> None:
        from workbench.run.metrics import MetricsReader

        self.run = run
        self._metrics = MetricsReader(run)
        self._samples = (-1, -1)

    def look(self) -> Timeline | None:
        """The timeline, or None where nothing is new."""
        from workbench.judge.timeline import read_timeline

        changed = self._metrics.poll()
        while self._metrics.more:
            self._metrics.poll()
        try:
            status = self.run.samples.stat()
            samples = status.st_size, status.st_mtime_ns
        except OSError:
            samples = (0, 0)
        if not changed and samples == self._samples:
            return None
        self._samples = samples
        return read_timeline(self.run, self._metrics)


def visible(count: int, place: int, width: int) -> range:
    """The places that fit into a width, the chosen one among them, near the middle."""
    room = max(1, (width - LABEL) // COLUMN)
    first = min(max(0, place - room // 2), max(0, count - room))
    return range(first, min(count, first + room))


def slider(timeline: Timeline, place: int, width: int) -> Content:
    """The checkpoints side by side, the chosen one in brackets, with their measures below."""
    marks = timeline.marks
    shown = visible(len(marks), place, width)
    some = [marks[number] for number in shown]
    steps = []
    for number, mark in zip(shown, some, strict=True):
        name = str(mark.step) if mark.stage else "base"
        name += "*" if mark == timeline.best else ""
        chosen = number == place
        text = f"[{name}]" if chosen else name
        steps.append(plain(f"{text:>{COLUMN}}", style="bold reverse" if chosen else ""))
    more = "<" if shown.start else " "
    end = " >" if shown.stop < len(marks) else ""
    return lines(
        _row(f"stage {more}", _stages(some)),
        join((f"{'step':<{LABEL}}", "$muted"), *steps, end),
        _row("accuracy", [_two(mark.accuracy) for mark in some]),
        _row("margin", [_two(mark.margin) for mark in some]),
        _row("repetition", [_two(mark.repetition) for mark in some]),
    )


def _row(name: str, cells: Sequence[str]) -> Content:
    text = "".join(f"{clean(cell, newlines=False):>{COLUMN}}" for cell in cells)
    return join((f"{name:<{LABEL}}", "$muted"), text)


def _stages(marks: Sequence[Mark]) -> list[str]:
    """A stage's name where it begins, and a line below its further checkpoints."""
    names = []
    for number, mark in enumerate(marks):
        again = number > 0 and marks[number - 1].stage == mark.stage
        names.append("-" * COLUMN if again else f" {mark.stage[: COLUMN - 1]:-<{COLUMN - 1}}"
                     if mark.stage else "")  # fmt: skip
    return names


def _two(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def marked(pieces: Sequence[Piece], *, gone: bool, signs: bool) -> Content:
    """An answer whose new words are underlined, with those that are gone struck out if wanted.

    Args:
        signs: Put `{+ +}` and `[- -]` around them, where there is no colour.
    """
    parts: list[Content] = []
    for kind, piece in pieces:
        text = clean(piece)
        if kind == "same" or not text.strip():
            parts += [Content(text)] if kind != "first" or gone else []
            continue
        inner = text.strip()
        before, after = text[: text.index(inner)], text[text.index(inner) + len(inner) :]
        if kind == "second":
            shown = f"{{+{inner}+}}" if signs else inner
            parts += [Content(before), Content.styled(shown, "underline $success"), Content(after)]
        elif gone:
            shown = f"[-{inner}-]" if signs else inner
            parts += [Content(before), Content.styled(shown, "strike $error"), Content(after)]
    return join(*parts)
