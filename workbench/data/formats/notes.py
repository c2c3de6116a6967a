"""What else a person should know of the values in a sample."""

from __future__ import annotations

import re
from typing import Any

from workbench.data.formats.columns import FURTHER_TRL_COLUMNS, KEPT, Sample
from workbench.data.formats.shape import Reading

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][\w ]{0,40}?)\s*\}\}")
_WEIGHTS = ("loss_weight", "weight", "train_on_turn")
NAMES_SHOWN = 8


def of_values(sample: Sample, reading: Reading) -> tuple[str, ...]:
    """Sentences on placeholders, weights of turns, and columns that nothing is made of."""
    found = (
        _placeholders(sample, reading),
        _weights(sample, reading),
        _unread(sample, reading),
    )
    return tuple(sentence for sentence in found if sentence)


def _texts(value: Any) -> list[str]:
    """The texts of a cell: its own, or those of its messages."""
    if isinstance(value, str):
        return [value]
    messages = value if isinstance(value, list) else [value]
    held = [message for message in messages if isinstance(message, dict)]
    parts = [cell for message in held for cell in message.values()]
    typed = [part for cell in parts if isinstance(cell, list) for part in cell]
    parts += [text for part in typed if isinstance(part, dict) for text in part.values()]
    return [part for part in parts if isinstance(part, str)]


def _placeholders(sample: Sample, reading: Reading) -> str:
    names: dict[str, None] = {}
    rows = 0
    for row in sample.rows:
        texts = [text for column in reading.columns.values() for text in _texts(row.get(column))]
        found = [name for text in texts for name in _PLACEHOLDER.findall(text)]
        names |= dict.fromkeys(found)
        rows += bool(found)
    if not rows:
        return ""
    shown = ", ".join(f"{{{{{name}}}}}" for name in list(names)[:NAMES_SHOWN])
    total = len(sample.rows)
    return f"{rows} of the {total} rows looked at hold {shown}: fill them in before training."


def _weights(sample: Sample, reading: Reading) -> str:
    for column in reading.columns.values():
        for value in sample.values(column):
            messages = value if isinstance(value, list) else []
            keys = {key for one in messages if isinstance(one, dict) for key in one}
            named = next((name for name in _WEIGHTS if name in keys), "")
            if named:
                return f"{named} of the messages is not read: TRL has no weights of turns."
    return ""


def _unread(sample: Sample, reading: Reading) -> str:
    read = {*reading.columns.values(), *KEPT, *FURTHER_TRL_COLUMNS}
    unread = [str(name)[:60] for name in sample.columns if name not in read]
    if not unread:
        return ""
    more = len(unread) - NAMES_SHOWN
    return f"Not read: {', '.join(unread[:NAMES_SHOWN])}" + (f", {more} more." if more > 0 else ".")
