"""What happens to a run as lines of text for any terminal, and as JSON lines."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from workbench.base.files import json_safe
from workbench.cli.follow import left_words, value_words
from workbench.cli.output import columns, number, one_line
from workbench.cli.watch_items import EVAL, Item
from workbench.run.pace import Eta
from workbench.run.states import label

GAP = "  "
CLOCK_CELLS = 8
INSET = " " * (CLOCK_CELLS + 2)
LONGEST_CHARACTERS = 1000
FINDING = ("severity", "title", "since", "evidence", "advice")


class TextLines:
    """Items as lines: the time of day, the place, what happened; none wider than the terminal."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._day = time.strftime("%Y-%m-%d")

    def show(self, item: Item, left: Eta | None = None) -> None:
        """Say one item."""
        if not (words := describe(item, left)):
            return
        clock = ""
        if item.time:
            day, clock = _moment(item.time)
            if day and day != self._day:
                self._say(f"-- {day}")
                self._day = day
        text = one_line(words[:LONGEST_CHARACTERS])
        if item.kind == "metrics":
            # A line for each record: the last values go where there is no room.
            while len(text) > columns() - len(INSET) and GAP in text:
                text = text.rpartition(GAP)[0]
        for line in textwrap.wrap(
            text,
            columns(),
            initial_indent=f"{clock:<{CLOCK_CELLS}}  ",
            subsequent_indent=INSET,
            break_on_hyphens=False,
            # The blanks between two values keep them apart.
            replace_whitespace=False,
        ):
            self._say(line)


def _moment(seconds: float) -> tuple[str, str]:
    """Day and time of day, local; empty where it is no moment."""
    try:
        moment = time.localtime(seconds)
    except (OverflowError, OSError, ValueError):
        return "", ""
    return time.strftime("%Y-%m-%d", moment), time.strftime("%H:%M:%S", moment)


def describe(item: Item, left: Eta | None = None) -> str:
    """An item in words; empty for one that is not worth a line."""
    text = str(item.values.get("text") or "")
    if item.kind == "metrics":
        return _values(item, left)
    if item.kind == "eval":
        words = value_words(item.stage, lambda name: _number(item.values, EVAL + name))
        return f"{_place(item)}  held-out  {GAP.join(words)}" if words else ""
    if item.kind == "note":
        return f"note: {text}"
    if item.kind == "progress":
        return text
    if item.kind == "state":
        state = str(item.values.get("state", ""))
        return f"{label(state)}: {text}" if text else f"{label(state)}"
    if item.kind == "fault":
        return f"{_place(item)}  {text} was not a finite number"
    if item.kind == "finding":
        return _finding(item.values)
    return _event(item)


def _values(item: Item, left: Eta | None) -> str:
    parts = [_place(item)]
    if item.max_steps:
        parts[0] += f" {min(1.0, item.step / item.max_steps):.0%}"
    if left is not None:
        parts.append(left_words(left))
    parts += value_words(item.stage, lambda name: _number(item.values, name))
    if (speed := _number(item.values, "tokens_per_second")) is not None:
        parts.append(f"{number(speed)} tok/s")
    if (exposed := _number(item.values, "ranks/exposed_share")) is not None:
        parts.append(f"comm {100 * exposed:.0f} %")
    return GAP.join(parts)


def _event(item: Item) -> str:
    said = item.values.get("reason") or item.values.get("what") or ""
    words = {
        "stage": f"{item.stage} begins: {item.max_steps} steps",
        "resume": f"{item.stage} goes on from step {item.step}",
        "checkpoint": f"{_place(item)}  checkpoint saved",
        "checkpoint_skipped": f"{item.values.get('checkpoint')} is passed over: {said}",
        "save_failed": f"{_place(item)}  the checkpoint could not be saved: {said}",
        "stalled": f"{_place(item)}  no sign of life",
    }
    return words.get(item.kind, "")


def _finding(values: Mapping[str, Any]) -> str:
    if values.get("severity") == "hint":
        return ""
    severity, title, since, evidence, advice = (str(values.get(name) or "") for name in FINDING)
    return f"{severity}: {title} ({since}). {evidence} -> {advice}"


def _place(item: Item) -> str:
    of = f"/{item.max_steps}" if item.max_steps else ""
    return f"{item.stage} {item.step}{of}"


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


class JsonLines:
    """Items as JSON objects, one a line."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say

    def show(self, item: Item, left: Eta | None = None) -> None:
        """Say one item."""
        content = asdict(item)
        if left is not None:
            content["left"] = asdict(left)
        self._say(json.dumps(json_safe(content)))
