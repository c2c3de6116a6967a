"""About how many tokens the longest batches of a stage hold, by a look at its local data files.

Tokens are estimated from bytes of text: a tokenizer would be exact, and far too slow to ask at each
edit of a recipe.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from workbench.base.problems import ProblemError
from workbench.data.formats.mapping import map_row
from workbench.data.formats.model import UnusableRowError, Wish
from workbench.data.formats.recognise import recognise
from workbench.data.rows import first_rows
from workbench.data.sources import SAMPLE_ROWS
from workbench.recipe.check_data import data_parts
from workbench.recipe.recipe import Recipe

LIMIT_BYTES = 4_000_000
LETTERS_PER_TOKEN, BYTES_PER_TOKEN = 4.3, 2.0
"""SmolLM2 makes a token of 4.3 to 5.0 letters of English (measured on three data sets). Bytes of
UTF-8 beyond one a letter count on top: other scripts take more tokens."""
MESSAGE_TOKENS, SYSTEM_TOKENS = 5, 25
"""What a chat template adds to a message, and to a row that brings no system prompt (measured)."""
UNKNOWN_LENGTH = 1024
KEPT_ROWS = 256
FILES_LIMIT = 20


@dataclass(frozen=True)
class Row:
    """Tokens of a row: of the prompt, and of one answer (SFT) or two (DPO)."""

    prompt: int
    first: int
    second: int = 0

    @property
    def total(self) -> int:
        """All of them, the prompt once."""
        return self.prompt + self.first + self.second


@dataclass(frozen=True)
class Batch:
    """Tokens of the rows that go through the model at once.

    Attributes:
        packed: Without padding, and the prompt of a pair once.
        padded: As TRL lays them out: each row as long as the longest, a pair as two rows.
        labels: Those that are scored.
        seen_again: Those whose keys the second answers of pairs read again, and their own.
    """

    packed: int
    padded: int
    labels: int
    seen_again: int = 0


def batch_of(recipe: Recipe, stage: str, count: int, split: str = "train") -> Batch:
    """The longest batch of `count` rows; rows of max_length where the data are not known here."""
    length = recipe.get("max_length", stage)
    limit = length if isinstance(length, int) and length > 0 else 0
    rows = _longest(recipe, stage, split)
    pairs = stage == "dpo"
    if not rows or (stage == "sft" and recipe.get("packing", stage)):
        size = limit or UNKNOWN_LENGTH
        rows = [Row(0, size, size if pairs else 0)]
    cut = [_cut(row, limit) for row in rows]
    cut = sorted(cut, key=lambda row: row.total, reverse=True)[:count]
    # A file that was not read to its end may hold more rows like the longest.
    cut += [cut[-1]] * (count - len(cut) if len(rows) >= KEPT_ROWS or rows == cut[:1] else 0)
    widest = max(row.prompt + max(row.first, row.second) for row in cut)
    labels = sum(row.first + row.second for row in cut)
    if stage == "sft" and recipe.get("completion_only_loss", stage) is False:
        labels = sum(row.total for row in cut)
    again = sum(row.prompt + row.second for row in cut) if pairs else 0
    packed = sum(row.total for row in cut)
    return Batch(packed, widest * len(cut) * (2 if pairs else 1), labels, again)


def _cut(row: Row, limit: int) -> Row:
    """As TRL cuts: the end of an answer goes first."""
    if not limit:
        return row
    prompt = min(row.prompt, limit)
    return Row(prompt, min(row.first, limit - prompt), min(row.second, limit - prompt))


def _longest(recipe: Recipe, stage: str, split: str) -> list[Row]:
    """The longest rows of all files; none where one of them is not on this machine."""
    rows: list[Row] = []
    wish = json.dumps(asdict(recipe.wish(stage)))
    parts = data_parts(recipe, stage, split)
    for part in parts:
        if not part.files:
            return []
        for file in part.files[:FILES_LIMIT]:
            try:
                status = file.stat()
            except OSError:
                return []
            rows += _rows_of(file, stage, wish, status.st_mtime_ns, status.st_size)
    return heapq.nlargest(KEPT_ROWS, rows, key=lambda row: row.total)


@functools.lru_cache(maxsize=64)
def _rows_of(file: Path, stage: str, wish: str, changed: int, size: int) -> tuple[Row, ...]:
    """The longest rows of a file; `changed` and `size` tell one version of it from another."""
    measure: Callable[[dict[str, Any]], Row | None] = _pair if stage == "dpo" else _answer
    rows = _as_trained(first_rows(file, LIMIT_BYTES), Wish(**json.loads(wish)))
    found = (measure(row) for row in rows)
    return tuple(heapq.nlargest(KEPT_ROWS, (r for r in found if r), key=lambda row: row.total))


def _as_trained(rows: Iterator[dict[str, Any]], wish: Wish) -> Iterator[dict[str, Any]]:
    """Rows in TRL's columns, where their shape is another one."""
    sample = list(islice(rows, SAMPLE_ROWS))
    try:
        shape = recognise(sample, wish) if sample else None
    except ProblemError:
        shape = None
    for row in chain(sample, rows):
        if shape is None or shape.as_is or not shape.stage:
            yield row
            continue
        with contextlib.suppress(UnusableRowError):
            yield from map_row(shape, row, wish)


def _pair(row: dict[str, Any]) -> Row | None:
    """A row of DPO; without a prompt its answers begin with it."""
    chosen, rejected, prompt = (row.get(name) for name in ("chosen", "rejected", "prompt"))
    texts = isinstance(chosen, str) and isinstance(rejected, str)
    lists = isinstance(chosen, list) and isinstance(rejected, list)
    if chosen is None or rejected is None or not (texts or lists):
        return None
    shared = 0
    if prompt is None:
        ends = (n for n, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b)
        shared = next(ends, min(len(chosen), len(rejected)))
    before = _tokens(prompt) + _tokens(chosen[:shared])
    before += SYSTEM_TOKENS if lists else 0
    return Row(before, _tokens(chosen[shared:]), _tokens(rejected[shared:]))


def _answer(row: dict[str, Any]) -> Row | None:
    """A row of SFT."""
    if isinstance(row.get("messages"), list):
        return Row(0, _tokens(row["messages"]) + SYSTEM_TOKENS)
    if "completion" in row:
        prompt, answer = row.get("prompt"), row["completion"]
        extra = SYSTEM_TOKENS if isinstance(prompt, list) else 0
        return Row(_tokens(prompt) + extra, _tokens(answer))
    return Row(0, _tokens(row["text"])) if isinstance(row.get("text"), str) else None


def _tokens(value: Any) -> int:
    """About how many tokens a text or a list of messages has."""
    if isinstance(value, str) and value:
        letters = len(value)
        more = len(value.encode(errors="replace")) - letters
        return int(letters / LETTERS_PER_TOKEN + more / BYTES_PER_TOKEN) + 1
    if not isinstance(value, list):
        return 0
    contents = [item.get("content") for item in value if isinstance(item, dict)]
    texts = [content for content in contents if isinstance(content, str)]
    return sum(_tokens(text) + MESSAGE_TOKENS for text in texts)
