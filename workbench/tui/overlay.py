"""Runs over one another as the screen shows them: curves, the table of outcomes, differences."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content
from textual.message import Message

from workbench.base.text import clean
from workbench.run.overlay_words import cautions, verdict
from workbench.tui.plot import Series
from workbench.tui.render import join, lines, number, plain

if TYPE_CHECKING:
    from workbench.run.overlay import Line, Member, Overlay

STYLES = ("$primary", "$accent", "$success", "$error", "$secondary", "$foreground", "$muted",
          "bold $primary")  # fmt: skip
STAR = "*"
NOTHING_SHARED = "No two runs have a metric in common by which they could be judged."
LABEL = 24
NARROWEST, WIDEST = 8, 18
STEP_FROM = 14
"""A column of so many cells has room for the step of the best value."""


@dataclass
class OverlayRead(Message):
    """The runs as their files hold them now."""

    overlay: Overlay


def style_of(place: int) -> str:
    """The style of the n-th run."""
    return STYLES[place % len(STYLES)]


def series(
    found: Overlay, metric: str, stage: str, by: str, hidden: Collection[str]
) -> list[Series]:
    """A curve for each run that is not hidden."""
    return [
        Series(
            plain(one.label).plain,
            () if one.run.id in hidden else one.curve(metric, stage, by),
            style_of(place),
            sign=one.sign,
        )
        for place, one in enumerate(found.members)
    ]


def matching(names: Sequence[str], words: str) -> tuple[str, ...]:
    """The metrics whose name has all words; all where none has."""
    wanted = words.casefold().split()
    chosen = tuple(name for name in names if all(word in name.casefold() for word in wanted))
    return chosen or tuple(names)


def sign_mark(one: Member, place: int, *, hidden: bool) -> Content:
    """The letter that stands for a run; in brackets where its curve is hidden."""
    return join((f"({one.sign})" if hidden else f" {one.sign} ", f"bold {style_of(place)}"))


def verdict_text(found: Overlay, stage: str) -> Content:
    """Which run is best, in one line."""
    said = verdict(found, stage)
    return plain(said, style="bold") if said else plain(NOTHING_SHARED, style="$muted")


def caution_text(found: Overlay, stage: str) -> Content:
    """Where metrics of two runs say different things."""
    parts = [join(("! ", "$warning"), plain(text)) for text in cautions(found, stage)]
    parts += [plain(f"! {fault}", style="$warning") for fault in found.faults]
    return lines(*parts) if parts else Content("")


def table_text(
    found: Overlay, rows: Sequence[Line], by: str, end: float | None, metric: str, width: int
) -> Content:
    """The outcomes: a column for each run, the best of all with a star."""
    room = _column(found, width)
    parts = [join((f"{'the last value':<{LABEL}}", "$faint"), *_headings(found, room))]
    for line in rows:
        parts += _line(line, by, end, room, chosen=line.metric == metric)
    return lines(*parts)


def _column(found: Overlay, width: int) -> int:
    return max(NARROWEST, min(WIDEST, (width - LABEL) // max(1, len(found.members)) - 1))


def _headings(found: Overlay, room: int) -> list[tuple[str, str]]:
    return [
        (f" {_fit(f'{one.sign} {one.label}', room):>{room}}", f"bold {style_of(place)}")
        for place, one in enumerate(found.members)
    ]


def _line(line: Line, by: str, end: float | None, room: int, *, chosen: bool) -> list[Content]:
    """The rows of a metric: last, best where there is one, and at the common end."""
    name = f"{'> ' if chosen else '  '}{line.metric}"
    rows = [_row(name, "final", line, line.final, room, "bold" if chosen else "")]
    if any(line.best):
        steps = [f" @{one[1]}" if one else "" for one in line.best]
        values = [one[0] if one else None for one in line.best]
        rows.append(_row("    best", "best", line, values, room, "$muted", steps))
    if end is not None and line.tells_at:
        rows.append(_row(f"    at {by} {end:.4g}", "at", line, line.at, room, "$muted"))
    return rows


def _row(
    name: str,
    kind: str,
    line: Line,
    values: Sequence[float | None],
    room: int,
    style: str,
    tails: Sequence[str] = (),
) -> Content:
    parts: list[Content | tuple[str, str]] = [plain(f"{_fit(name, LABEL):<{LABEL}}", style=style)]
    for place, value in enumerate(values):
        best = place in line.winners[kind]
        tail = tails[place] if tails and room >= STEP_FROM else ""
        text = f"{number(value)}{STAR if best else ' '}{tail}"
        parts.append((f" {text:>{room}}", f"bold {style_of(place)}" if best else style))
    return join(*parts)


def _fit(text: str, width: int) -> str:
    """Outside text in exactly so many cells at most; of a path the end stays."""
    text = clean(text, newlines=False)
    if text.startswith("/") and len(text) > width:
        text = f"…{text[-width + 1 :]}"
    cut = Content(text).truncate(width, ellipsis=True)
    return cut.plain


def differences_text(found: Overlay, width: int) -> Content:
    """What is not the same for all runs: a column for each."""
    if found.faults:
        return lines(*(plain(f"! {fault}", style="$warning") for fault in found.faults))
    if not found.differences:
        return plain("Nothing differs but the outcomes.", style="$muted")
    room = max(NARROWEST, (width - LABEL) // max(1, len(found.members)) - 1)
    parts = [join((" " * LABEL, ""), *_headings(found, room))]
    group = ""
    for row in found.differences:
        if row.group != group:
            group = row.group
            parts.append(plain(group, style="bold $secondary"))
        shown = [_fit(row.shown(place), room) for place in range(len(row.values))]
        cells: list[Content | tuple[str, str]] = [
            plain(f"{_fit('  ' + row.key, LABEL):<{LABEL}}", style="$muted")
        ]
        cells += [plain(f" {text:>{room}}") for text in shown]
        parts.append(join(*cells))
    return lines(*parts)
