"""One row of the data, in TRL's columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.data.formats.catalogue import LEFT_ALONE
from workbench.data.formats.columns import TRL_COLUMNS, kept
from workbench.data.formats.model import Recognised, TrlRow, UnusableRowError, Wish
from workbench.data.formats.registry import ALL
from workbench.data.formats.shape import Reading


def map_row(found: Recognised, row: Mapping[str, Any], wish: Wish | None = None) -> list[TrlRow]:
    """What a trainer gets of one row: a row of TRL's, several, or none where answers tie.

    Args:
        found: What `recognise` said of the data; rows that TRL reads as they stand are only
            checked.
        wish: The one that it was asked with.

    Raises:
        UnusableRowError: nothing can be made of it.
    """
    if found.shape == LEFT_ALONE:
        return [_left_alone(row)]
    if not found.stage or found.shape not in ALL:
        raise UnusableRowError(found.missing or "no stage can train on it")
    reading = Reading(
        found.columns,
        found.options,
        as_is=found.as_is,
        pairs=wish.pairs if wish else "all",
    )
    return ALL[found.shape].make(row, reading)


def _left_alone(row: Mapping[str, Any]) -> TrlRow:
    cells = {name: row[name] for name in TRL_COLUMNS if row.get(name) is not None}
    pair = cells.keys() & {"chosen", "rejected"}
    if pair:
        cells = {name: cell for name, cell in cells.items() if name in ("prompt", *pair)}
    if not cells or len(pair) == 1:
        raise UnusableRowError("the row lacks one of TRL's columns")
    kinds = {_kind(name, cell) for name, cell in cells.items()}
    if pair and len(kinds) > 1:
        raise UnusableRowError("prompt, chosen and rejected are not of one kind")
    return cells | kept(row)


def _kind(name: str, cell: Any) -> str:
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, list) and cell and all(map(_has_role, cell)):
        return "messages"
    raise UnusableRowError(f"{name} is neither a text nor a list of messages with a role")


def _has_role(message: Any) -> bool:
    return isinstance(message, Mapping) and "role" in message
