"""A process that looks at data, and says of it what a test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tui_fakes import HOSTILE

RULES: dict[str, dict[str, Any]] = {
    "identical_answers": {
        "name": "identical_answers",
        "title": "chosen and rejected are the same",
        "severity": "error",
        "why": "Such a pair holds no preference: its gradient is zero.",
        "next_step": "Delete it, or let f leave it out.",
        "fix": "drop",
        "count": 3,
        "rows": [3, 7, 12],
    },
    "duplicate_prompt": {
        "name": "duplicate_prompt",
        "title": "the prompt is there more than once",
        "severity": "note",
        "why": "It weighs more than the others.",
        "next_step": "Nothing, if that is meant.",
        "fix": "",
        "count": 2,
        "rows": [5, 6],
    },
    "control_characters": {
        "name": "control_characters",
        "title": "control or escape characters",
        "severity": "warning",
        "why": "The model learns to write them.",
        "next_step": "Let f take them out.",
        "fix": "mend",
        "count": 1,
        "rows": [2],
    },
}
CHOSEN = "Air scatters blue light far more than red light, so the sky looks blue to us."
REJECTED = "Air scatters blue light more than red light, because the ocean is blue to us."


def spread(low: int, high: int) -> dict[str, float]:
    """Percentiles between two lengths."""
    middle = (low + high) // 2
    return {"p50": middle, "p95": high - 1, "p99": high, "max": high, "mean": float(middle)}


class FakeData:
    """Answers as soon as it is asked; a test may hold some kinds of requests back.

    Args:
        rows: How many rows the data have.
        hold: Names of requests that are answered by `answer` only.
        text: What a row's texts are instead of an ordinary answer.
    """

    def __init__(
        self,
        job: Any,
        on_event: Callable[[dict[str, Any]], None],
        *,
        rows: int = 12,
        hold: Sequence[str] = (),
        text: str = "",
        rules: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.job, self.emit = job, on_event
        self.count, self.hold, self.text = rows, set(hold), text
        self.rules = RULES if rules is None else rules
        self.requests: list[tuple[str, Any]] = []
        self.ended = threading.Event()
        self.alive = True
        self.about_all: list[dict[str, Any]] = []
        self.held: dict[int, Callable[[], None]] = {}
        self.refuse: dict[str, dict[str, str]] = {}

    @property
    def closed(self) -> bool:
        """Whether the app has let it go."""
        return self.ended.is_set()

    def _ask(self, name: str, about: Any, *events: dict[str, Any]) -> int:
        self.requests.append((name, about))
        number = len(self.requests)

        def answer() -> None:
            if name in self.refuse:
                self.emit({"event": "error", "id": number, **self.refuse[name]})
                return
            for event in events:
                self.emit({"id": number, **event})
            self.emit({"event": "done", "id": number})

        self.held[number] = answer
        if name not in self.hold:
            self.answer(name)
        return number

    def answer(self, name: str) -> None:
        """Answer what was asked under that name."""
        for number, call in list(self.held.items()):
            if self.requests[number - 1][0] == name:
                del self.held[number]
                # As the real one: on another thread than the one that asks.
                threading.Thread(target=call, daemon=True).start()

    def asked(self, name: str) -> list[Any]:
        """What was asked under that name."""
        return [about for one, about in self.requests if one == name]

    def short(self, number: int) -> dict[str, Any]:
        """A row of a list."""
        found = [name for name, rule in self.rules.items() if number in rule["rows"]]
        texts = {
            "prompt": f"({number}) Why is the sky blue?",
            "chosen": CHOSEN,
            "rejected": REJECTED,
        }
        if self.text:
            texts = dict.fromkeys(texts, self.text)
        return {"number": number, "line": number, "file": "prefs.jsonl", "pairs": 1,
                "rules": found, **texts}  # fmt: skip

    def scan(self) -> int:
        self.alive = True
        path = str(self.job.files[0]) if self.job.files else "hub/data"
        words = self.text or "TRL's preference pairs"
        source = {
            "event": "source", "path": path, "kind": "jsonl", "compression": "", "size": 123_456,
            "as_is": False, "notes": [self.text] if self.text else ["lines end with CRLF"],
            "shape": "explicit", "title": words, "stage": "dpo", "confidence": 0.96,
            "shape_as_is": False, "shape_notes": [], "missing": "", "next_step": "",
            "columns": {"prompt": self.text or "question", "chosen": "chosen"},
        }  # fmt: skip
        first = {
            "event": "first",
            "rows": [self.short(n) for n in range(1, min(50, self.count) + 1)],
        }
        report = {
            "event": "report", "rows": self.count, "pairs": self.count - 1,
            "usable": self.count - 1, "unusable": 1, "broken": 0, "without_pair": 0,
            "chosen_longer": self.count // 2, "rejected_longer": self.count // 4,
            "letters_chosen": 412 * self.count, "letters_rejected": 380 * self.count,
            "stage": "dpo", "findings": {name: rule["count"] for name, rule in self.rules.items()},
            "rules": self.rules, "about_all": self.about_all, "notes": [], "seconds": 0.84,
        }  # fmt: skip
        return self._ask("scan", None, source, first, report)

    def rows(self, start: int, count: int, *, rule: str = "", search: str = "") -> int:
        numbers = list(range(1, self.count + 1))
        if rule:
            numbers = list(self.rules[rule]["rows"])
        if search:
            numbers = [n for n in numbers if search in self.short(n)["prompt"]]
        rows = [self.short(n) for n in numbers[start : start + count]]
        event = {"event": "rows", "start": start, "total": len(numbers), "rows": rows}
        return self._ask("rows", (start, count, rule, search), event)

    def row(self, number: int) -> int:
        short = self.short(number)
        found = [
            {"rule": rule, "row": number, "line": number, "detail": self.text or "twice",
             "others": [1]}
            for rule in short["rules"]
        ]  # fmt: skip
        pair = {"prompt": short["prompt"], "answers": [short["chosen"], short["rejected"]],
                "messages": False}  # fmt: skip
        event = {**short, "event": "row", "source": {"question": short["prompt"]},
                 "pairs": [pair], "findings": found}  # fmt: skip
        return self._ask("row", number, event)

    def tokens(self, most: int = 0) -> int:
        edges = [25 * at for at in range(25)]
        hill = [max(0, 40 - (at - 6) ** 2) for at in range(24)]
        event = {
            "event": "tokens", "tokenizer": "tiny", "max_length": 512, "exact": not most,
            "truncation_mode": "keep_start", "measured": most or self.count, "kept": self.count - 2,
            "dropped": 1, "truncated": 2, "steps": None if most else 84,
            "parts": {"prompt": spread(20, 90), "chosen": spread(60, 400),
                      "rejected": spread(50, 590), "whole": spread(100, 600)},
            "histogram": {"edges": edges, "prompt": hill, "chosen": [*hill[6:], *hill[:6]],
                          "rejected": [1] * 24},
            "padding": {"batch": 4, "padded": 9, "real": 7, "waste": 0.23,
                        "bucketed_waste": 0.06},
            "findings": {"answer_truncated": 1},
            "rules": {"answer_truncated": {
                "name": "answer_truncated", "title": "an answer is cut at max_length",
                "severity": "warning", "why": "The model learns to stop nowhere.",
                "next_step": "Raise max_length.", "fix": "", "count": 1, "rows": [4]}},
            "advice": [self.text] if self.text else [],
        }  # fmt: skip
        return self._ask("tokens", most, event)

    def xray(self, number: int, part: int = 0) -> int:
        def pieces(text: str) -> list[dict[str, Any]]:
            words = text.split(" ")
            found = [{"id": 7 + at, "text": " " * (at > 0) + word, "special": False}
                     for at, word in enumerate(words)]  # fmt: skip
            return [*found, {"id": 2, "text": self.text or "<|im_end|>", "special": True},
                    {"id": 3, "text": "\n", "special": False}]  # fmt: skip

        short = self.short(number)
        names = ("prompt", "chosen", "rejected")
        made = {name: pieces(short[name]) for name in names}
        event = {
            "event": "xray", "number": number, "part": part, "pairs": 1, "pieces": made,
            "scored": {name: [True] * len(made[name]) for name in names[1:]},
            "cut": {"chosen": None, "rejected": len(made["prompt"]) + 8}, "keeps_start": True,
            "first_difference": 4, "dropped": False, "max_length": len(made["prompt"]) + 8,
            "notes": [self.text] if self.text else [],
        }  # fmt: skip
        return self._ask("xray", (number, part), event)

    def fix(self, out: Path, *, rules: Any = None, mend: bool = True, force: bool = False) -> int:
        event = {"event": "fixed", "out": str(out), "report": f"{out}.report.json",
                 "rows": self.count, "kept": self.count - 3, "dropped": 3, "mended": 1,
                 "by_rule": {}}  # fmt: skip
        return self._ask("fix", (out, rules), event)

    def cancel(self, request: int) -> None:
        self.requests.append(("cancel", request))

    def close(self) -> None:
        self.ended.set()


def hostile(job: Any, on_event: Callable[[dict[str, Any]], None]) -> FakeData:
    """Rows, notes and rules that try to do something to the terminal."""
    rules = {
        "identical_answers": {**RULES["identical_answers"], "title": HOSTILE, "why": HOSTILE,
                              "next_step": HOSTILE, "rows": [1, 3]},
    }  # fmt: skip
    return FakeData(job, on_event, text=HOSTILE, rules=rules)
