"""Trees of messages whose replies are ranked, as Open Assistant keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbench.data.formats.assemble import pair_row
from workbench.data.formats.columns import Sample, kept
from workbench.data.formats.messages import Message, to_message
from workbench.data.formats.model import TrlRow, UnusableRowError
from workbench.data.formats.pairwise import number
from workbench.data.formats.ranked import pairs_of
from workbench.data.formats.shape import Reading, Row, Shape

REPLIES = "replies"


def find(sample: Sample) -> Reading | None:
    """A column that holds the first message with its replies, or a row that is that message."""
    column = sample.role("prompt", ("prompt", "root", "tree"), "object")
    if column and any(_is_node(value) for value in sample.values(column)):
        return Reading({"prompt": column})
    if any(_is_node(row) for row in sample.rows):
        return Reading({"answers": REPLIES})
    return None


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get(REPLIES), list) and "role" in value


def make(row: Row, reading: Reading) -> list[TrlRow]:
    """A pair for each two ranked replies to one message, wherever in the tree."""
    root = row.get(reading.columns["prompt"]) if "prompt" in reading.columns else row
    if not isinstance(root, Mapping) or not isinstance(root.get(REPLIES), list):
        raise UnusableRowError("the tree has no first message with replies")
    rest = kept(row)
    return [
        pair_row(list(before), chosen, rejected, rest)
        for before, replies in _ranked_replies(root)
        for chosen, rejected in pairs_of(replies, reading.pairs)
    ]


def _ranked_replies(
    root: Mapping[str, Any],
) -> Iterator[tuple[list[Message], list[tuple[list[Message], float]]]]:
    """Each message that has replies: the turns down to it, and its ranked answers."""
    waiting: list[tuple[Mapping[str, Any], list[Message]]] = [(root, [])]
    while waiting:
        node, above = waiting.pop()
        before = [*above, to_message(node, "the tree")]
        below = node.get(REPLIES)
        replies = [
            reply
            for reply in (below if isinstance(below, list) else [])
            if isinstance(reply, Mapping) and reply.get("deleted") is not True
        ]
        ranked = [
            ([message], -rank)
            for reply in replies
            if (rank := number(reply.get("rank"))) is not None
            and (message := to_message(reply, "the tree"))["role"] == "assistant"
        ]
        if before[-1]["role"] != "assistant":
            yield before, ranked
        waiting += [(reply, before) for reply in reversed(replies)]


SHAPES = (Shape("answer_tree", find, make),)
