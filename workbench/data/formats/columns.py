"""Which column of a data set is which part of a row: the names that people give them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workbench.data.formats.names import BETTER, HISTORY, INPUT, NOUNS, PROMPT, SYSTEM, WORSE

ROLES = {
    "prompt": "what is asked: a text, or messages",
    "input": "a further part of the prompt",
    "system": "the system message",
    "history": "earlier turns: messages, or [question, answer] pairs",
    "chosen": "the better answer",
    "rejected": "the worse answer",
    "first": "one of two answers that a label, votes or scores tell apart",
    "second": "the other one",
    "completion": "the only answer",
    "messages": "a conversation",
    "text": "a plain text",
    "label": "which answer is better, or whether the only one is good",
    "answers": "a list of answers",
    "ratings": "a list of their ratings",
    "tools": "the tools that may be called",
}
"""The keys that `columns:` may have."""

KEPT = ("category", "source", "topic", "task", "dataset", "language")
"""Columns that mean nothing to TRL and by which figures are told apart later."""

TRL_COLUMNS = ("prompt", "chosen", "rejected", "completion", "messages", "text")
FURTHER_TRL_COLUMNS = ("tools", "chat_template_kwargs")

FEW_OF = 8
"""So many texts tell whether they are answers or always the same few words."""


def plain(name: str) -> str:
    """A column's name as it is compared: `rejectedResponse` and `Rejected-Response` are one."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name))
    return re.sub(r"[\s.\-_]+", "_", words).strip("_").lower()


def kind_of(value: Any) -> str:
    """What a cell holds: empty, text, list, object, number or truth."""
    if value is None or value == "" or value == []:
        return "empty"
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list | tuple):
        return "list"
    return "object" if isinstance(value, Mapping) else "number"


class Sample:
    """The first rows of a data set, and what somebody said of their columns.

    Args:
        rows: At least one.
        wished: Part of a row to column, as a person said it; the columns are there.
    """

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], wished: Mapping[str, str] | None = None
    ) -> None:
        self.rows = rows
        self.wished = dict(wished or {})
        self.columns = tuple(dict.fromkeys(name for row in rows for name in row))
        self._by_plain: dict[str, str] = {}
        for name in self.columns:
            self._by_plain.setdefault(plain(name), name)
        self._kinds: dict[str, str] = {}

    def kind(self, column: str) -> str:
        """What most of the cells of a column hold that are not empty."""
        if column not in self._kinds:
            counted = Counter(kind_of(row.get(column)) for row in self.rows)
            counted.pop("empty", None)
            self._kinds[column] = counted.most_common(1)[0][0] if counted else "empty"
        return self._kinds[column]

    def values(self, column: str) -> list[Any]:
        """The cells of a column that are not empty."""
        return [row[column] for row in self.rows if kind_of(row.get(column)) != "empty"]

    def named(self, name: str, kinds: str = "text list object empty") -> str:
        """The column of that name, if it is of one of the kinds; else nothing."""
        column = self._by_plain.get(name, "")
        return column if column and self.kind(column) in kinds.split() else ""

    def role(self, role: str, names: Iterable[str], kinds: str = "text") -> str:
        """The column that was wished for a part of a row, or the first that is called so."""
        if role in self.wished:
            return self.wished[role]
        taken = set(self.wished.values())
        found = (self.named(name, kinds) for name in names)
        return next((column for column in found if column and column not in taken), "")

    def roles(self, **found: str) -> dict[str, str]:
        """Parts with their columns, without those that have none."""
        return {role: column for role, column in found.items() if column}

    def pair(self) -> tuple[str, str]:
        """The columns of the better and the worse answer; empty where there are none."""
        wished = self.wished.get("chosen", ""), self.wished.get("rejected", "")
        if all(wished):
            return wished
        for better, worse in _answer_names():
            chosen, rejected = self.named(better), self.named(worse)
            chosen, rejected = wished[0] or chosen, wished[1] or rejected
            if "_" not in better and self._few_values(chosen):
                continue  # whose answer it is, not the answer
            if chosen and rejected and chosen != rejected:
                return chosen, rejected
        return "", ""

    def _few_values(self, column: str) -> bool:
        """Whether a column of texts holds the same few again and again."""
        values = [value for value in self.values(column) if isinstance(value, str)]
        return len(values) >= FEW_OF and len(set(values)) * 4 < len(values)

    def asked(self, *taken: str) -> tuple[dict[str, str], tuple[str, ...]]:
        """The columns of everything before an answer, and what to say of them.

        Args:
            taken: Columns that hold something else.
        """
        free = (name for name in PROMPT if self._by_plain.get(name) not in taken)
        prompt = self.role("prompt", free, "text list object")
        columns = self.roles(prompt=prompt) | self.further()
        second = self.wished.get("input", "")
        if not second and plain(prompt) in ("instruction", "question"):
            names = (name for name in INPUT if name != plain(prompt))
            second = self.role("input", names, "text empty")
        if not prompt or not second or second in taken:
            return columns, ()
        if self.kind(second) == "empty":
            return columns | {"input": second}, ()
        joined = f"{prompt} and {second} become one user turn, with a line break between them."
        return columns | {"input": second}, (joined,)

    def further(self) -> dict[str, str]:
        """System message and earlier turns, where the data have columns for them."""
        return self.roles(
            system=self.role("system", SYSTEM, "text empty"),
            history=self.role("history", HISTORY, "list empty"),
            tools=self.role("tools", ("tools",), "text list"),
        )


def _answer_names() -> Iterable[tuple[str, str]]:
    """Names of the two answers that belong together, the surest first."""
    for better in BETTER:
        yield from ((better, worse) for worse in WORSE)
    for noun in NOUNS:
        for better in BETTER:
            for worse in WORSE:
                yield f"{better}_{noun}", f"{worse}_{noun}"
                yield f"{noun}_{better}", f"{noun}_{worse}"
    for noun in NOUNS:
        yield noun, f"rejected_{noun}"
    yield "response_j", "response_k"


def kept(row: Mapping[str, Any], *, tools: str = "") -> dict[str, Any]:
    """What of a row goes along with each pair: TRL's further columns, and words to slice by."""
    found: dict[str, Any] = {}
    called = row.get(tools or "tools")
    if isinstance(called, list) and called:
        # As a text, every row has the same type; TRL reads either.
        called = json.dumps(called, ensure_ascii=False)
    if isinstance(called, str) and called.strip():
        found["tools"] = called
    if isinstance(row.get("chat_template_kwargs"), dict):
        found["chat_template_kwargs"] = row["chat_template_kwargs"]
    return found | {name: row[name] for name in KEPT if isinstance(row.get(name), str)}
