"""A run as the list shows it: the cells of its row, and its story below."""

from __future__ import annotations

import math
from dataclasses import replace

from textual.content import Content

from workbench.run.query import Key
from workbench.tui.board import RunRow
from workbench.tui.history import heading, tag_words, width
from workbench.tui.render import (
    ago,
    duration,
    join,
    lines,
    next_line,
    number,
    plain,
    sentence,
    stage_mark,
    state_mark,
    where_line,
)
from workbench.tui.widgets.row_table import Column

MARK = "*"
NOTE_SHOWN = 300
ONLY_CURVES = "This run was imported: only its curves are here, no weights."
COLUMNS = (
    Column("state", 10),
    Column("run"),
    Column("recipe", 24, from_width=110),
    Column("stage", 5),
    Column("step", 11, right=True),
    Column("started", 8, right=True),
    Column("loss", 7, right=True, from_width=70),
    Column("acc", 5, right=True, from_width=76),
)
SORTED_FROM_WIDTH = 100
"""Where something is sorted by, its column has the room of these in a narrower terminal."""


def turn(row: RunRow) -> tuple[bool, float]:
    """What is at work comes first, then what waits, in its order, then the rest, newest first."""
    return not (row.active or row.submitted), row.place or math.inf


def columns(key: Key | None) -> tuple[Column, ...]:
    """The columns, with that of what is sorted by."""
    if key is None:
        return COLUMNS
    rest = (
        replace(one, from_width=max(one.from_width, SORTED_FROM_WIDTH))
        if one.title in ("loss", "acc")
        else one
        for one in COLUMNS
    )
    return (*rest, Column(heading(key), width(key), right=True))


def _state(row: RunRow) -> Content:
    if not row.place:
        return state_mark(row.state)
    # The column has no cell for a second digit.
    words = f"queued {row.place}" if row.place < 10 else f"queue {row.place}"
    return join(("○ ", "$primary"), words)


def cells(row: RunRow, now: float, mark: bool | None = None) -> tuple[Content, ...]:
    """The cells of a row; `mark` is None where no run is marked, and then takes no room."""
    steps = f"{row.step}/{row.max_steps}" if row.max_steps else "-"
    accuracy = number(row.accuracy, 2) if row.accuracy is not None else "-"
    return (
        _state(row),
        join(
            "" if mark is None else (f"{MARK if mark else ' '} ", "bold $accent"),
            plain(row.label),
            plain(tag_words(row), style="$secondary"),
        ),
        plain(row.title, style="$muted"),
        plain(row.stage or "-"),
        plain(steps),
        plain(ago(row.started or row.created, now), style="$muted"),
        plain(number(row.loss)),
        plain(accuracy),
    )


def story(row: RunRow, now: float) -> Content:
    """What happened to a run, and for one that failed what to do next."""
    took = duration(row.seconds(now)) if row.started else "not started"
    parts = [
        join(plain(row.title or row.label, style="bold"), "  ", plain(row.id, style="$faint")),
        join(
            state_mark(row.state),
            ("   stages ", "$muted"),
            stage_mark(row.stages),
            ("   time ", "$muted"),
            took,
        ),
    ]
    if row.tags or row.note:
        said = plain(f"{row.note[:NOTE_SHOWN]}  ") if row.note else Content("")
        parts.append(join(("note  ", "$muted"), said, plain(tag_words(row), style="$secondary")))
    if row.imported:
        parts.append(sentence(ONLY_CURVES))
        parts.append(where_line(row.imported))
    if row.distrust:
        parts.append(sentence(f"{row.distrust}: it is only shown, nothing is done with it."))
    if row.waiting or (row.active and row.job):
        parts.append(join(("slurm  ", "$muted"), plain(row.waiting or f"job {row.job}")))
    if row.place:
        parts.append(next_line("it starts when its device is free; R starts it now"))
    elif row.error is not None:
        what, where, next_step = row.error
        parts.append(sentence(what, style="$error"))
        if where:
            parts.append(where_line(where))
        if next_step:
            parts.append(next_line(next_step))
    elif row.imported:
        parts.append(next_line("space marks it, o lays it over other runs"))
    elif row.state == "stopped":
        parts.append(next_line("R resumes it from its checkpoint"))
    elif row.state == "finished":
        parts.append(next_line("c compares it with the base model, e scores both"))
    return lines(*parts)
