"""Pairs under TRL's own names: read by TRL as they stand, or only nearly."""

from __future__ import annotations

from collections import Counter
from typing import Any

from workbench.data.formats.assemble import answer_pair, refuse_pictures, whole_conversation
from workbench.data.formats.columns import TRL_COLUMNS, Sample, kept
from workbench.data.formats.messages import is_message, trl_messages
from workbench.data.formats.model import TrlRow, UnusableRowError
from workbench.data.formats.names import CONVERSATION, PROMPT
from workbench.data.formats.shape import Reading, Row, Shape

EXPLICIT = ("prompt", "chosen", "rejected")
IMPLICIT = ("chosen", "rejected")
DOUBLED = (
    "The answers hold the prompt once more; messages that both begin with become the prompt, "
    "and the prompt column is not read."
)
NOT_READ = "TRL does not read rows like these as they stand; they become lists of messages."
LOST = "TRL would not read {}; it becomes part of the prompt."
NO_TEMPLATE = "TRL trains texts without a chat template; `data_format: {}` makes messages of them."


def trl_kind(value: Any) -> str:
    """What TRL takes it for: texts, messages, or nothing that it reads."""
    if isinstance(value, str):
        return "texts"
    return "messages" if trl_messages(value) else ""


def one_kind(sample: Sample, columns: tuple[str, ...]) -> str:
    """The kind that every usable row has in all of the columns; empty where they differ."""
    kinds: Counter[str] = Counter()
    for row in sample.rows:
        cells = [row.get(column) for column in columns]
        if any(cell is None or cell == [] for cell in cells):
            continue  # unusable in any case
        found = {trl_kind(cell) for cell in cells}
        kinds[found.pop() if len(found) == 1 else ""] += 1
    return next(iter(kinds)) if len(kinds) == 1 else ""


def own_names(sample: Sample, columns: tuple[str, ...]) -> bool:
    """Whether the columns are there under TRL's names, and nobody said otherwise."""
    return all(name in sample.columns and sample.wished.get(name, name) == name for name in columns)


def lost_columns(sample: Sample, columns: dict[str, str]) -> list[str]:
    """Columns with a system message or earlier turns, which TRL does not read."""
    found = (columns[role] for role in ("system", "history") if role in columns)
    return [name for name in found if sample.kind(name) != "empty"]


def why_mapped(kind: str, lost: list[str]) -> tuple[str, ...]:
    """Why rows under TRL's own names are not left as they are."""
    if kind and lost:
        return (LOST.format(" and ".join(lost)),)
    return () if kind else (NOT_READ,)


def find_explicit(sample: Sample) -> Reading | None:
    """Prompt, chosen and rejected, as texts or messages."""
    if not own_names(sample, EXPLICIT) or _doubled(sample) * 2 > len(sample.rows):
        return None
    columns = {name: name for name in EXPLICIT} | sample.further()
    kind = one_kind(sample, EXPLICIT)
    lost = lost_columns(sample, columns)
    if kind and not lost:
        notes = (NO_TEMPLATE.format("pair_columns"),) if kind == "texts" else ()
        return Reading(columns, {"kind": kind}, as_is=True, notes=notes)
    return Reading(columns, notes=why_mapped(kind, lost))


def _doubled(sample: Sample) -> int:
    """Rows whose answers hold a whole conversation beside the prompt."""
    return sum(
        row.get("prompt") not in (None, "", []) and whole_conversation(row.get("chosen"))
        for row in sample.rows
    )


def find_ultrafeedback(sample: Sample) -> Reading | None:
    """A prompt beside whole conversations."""
    if not own_names(sample, EXPLICIT) or not _doubled(sample):
        return None
    columns = {name: name for name in EXPLICIT} | sample.further()
    return Reading(columns, notes=(DOUBLED,))


def find_implicit(sample: Sample) -> Reading | None:
    """Chosen and rejected with the prompt inside."""
    if not own_names(sample, IMPLICIT) or "prompt" in sample.wished or _asked_apart(sample):
        return None
    columns = {name: name for name in IMPLICIT} | sample.further()
    kind = one_kind(sample, IMPLICIT)
    if kind and not lost_columns(sample, columns) and "prompt" not in sample.columns:
        notes = ("TRL splits texts at the first letter that differs.",) if kind == "texts" else ()
        return Reading(columns, {"kind": kind}, as_is=True, notes=notes)
    if any(whole_conversation(row.get("chosen")) for row in sample.rows):
        return Reading(columns, notes=(NOT_READ,))
    return None


def _asked_apart(sample: Sample) -> bool:
    """Whether another column holds what is asked."""
    whole = any(whole_conversation(row.get("chosen")) for row in sample.rows)
    return not whole and bool(
        sample.role("prompt", PROMPT, "text list") or sample.role("messages", CONVERSATION, "list")
    )


def make_pair(row: Row, reading: Reading) -> list[TrlRow]:
    """The row itself where TRL reads it; else messages."""
    columns = reading.columns
    if reading.as_is:
        return [left_alone(row, reading, EXPLICIT if "prompt" in columns else IMPLICIT)]
    # An explicit shape may have rows with the prompt inside the answers too.
    read = dict(columns)
    if whole_conversation(row.get(columns["chosen"])) or row.get(read.get("prompt", "")) is None:
        read.pop("prompt", None)
    return [answer_pair(row, read, row.get(columns["chosen"]), row.get(columns["rejected"]))]


def left_alone(row: Row, reading: Reading, columns: tuple[str, ...]) -> TrlRow:
    """A row's own cells, if they are of the kind that the others have.

    Raises:
        UnusableRowError: TRL would stop at it, or take it for something else.
    """
    refuse_pictures(row)
    wanted = reading.options.get("kind", "")
    for name in columns:
        kind = trl_kind(row.get(name))
        if row.get(name) is None or row.get(name) == []:
            raise UnusableRowError(f"{name} is missing")
        if kind != wanted:
            found = kind or ("a message" if is_message(row[name]) else "something else")
            raise UnusableRowError(f"{name} is {found}, the other rows have {wanted}")
    cells = {name: row[name] for name in TRL_COLUMNS if name in columns}
    return cells | kept(row)


SHAPES = (
    Shape("explicit", find_explicit, make_pair),
    Shape("ultrafeedback", find_ultrafeedback, make_pair),
    Shape("implicit", find_implicit, make_pair),
)
