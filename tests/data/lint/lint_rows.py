"""Rows without a fault, each near to one, and what the lint says of rows."""

# ruff: noqa: RUF001
from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.data.formats.texts import example_parts
from workbench.data.lint.lint import Lint
from workbench.data.lint.model import Example, Finding

Row = dict[str, Any]

SOLUTION = "Each box holds 12 eggs. Three boxes hold 3 * 12 = {} eggs. So the answer is {}."

PAIRS: tuple[tuple[str, str, str], ...] = (
    ("What is 2+2?", "2+2=4", "2+2=5"),
    ("Solve x + 7 = 3.", "-4", "4"),
    ("Write one half as a decimal.", "0.5", "5"),
    ("How much is 4.5 in words of digits?", "4.5", "45"),
    ("Write the number of ways to order five books.", "5!", "5"),
    ("Is 7 a prime?", "Yes", "No"),
    ("Is 8 a prime?", "No", "Yes"),
    ("Is 11 odd?", "yes", "no"),
    ("Which letter is right?", "B", "D"),
    ("Eggs in three boxes of twelve?", SOLUTION.format(36, 36), SOLUTION.format(30, 30)),
    ("Negate a flag in C.", "ready = !ready;", "ready = ready;"),
    ("Compare two numbers in Python.", "a == b", "a = b"),
    ("Indent the body.", "if ok:\n    run()\nstop()", "if ok:\n    run()\n    stop()"),
    ("Name the variable.", "`max_len`", "`maxlen`"),
    ("Quote the string for me.", "print('a')", "print(a)"),
    ("Which word fits: its or it's raining?", "it's", "its"),
    ("Is it well or we'll go?", "we'll", "well"),
    (
        "Translate to Russian: good morning, my friends",
        "Доброе утро, друзья мои",
        "Good morning, mates",
    ),
    ("Say 'where is the station' in Japanese.", "駅はどこにありますか", "Eki wa doko desu ka"),
    (
        "What is the Hindi for 'water is life'?",
        "जल ही जीवन है, यह सच है",
        "Water is life, truly said",
    ),
    (
        "Explain this line: Всё будет хорошо",
        "Всё будет хорошо, значит надежда",
        "It says it will be fine",
    ),
    ("How do you greet people in Arabic?", "مرحبا بكم جميعا", "Hello to all of you"),
    ("Write a word in Persian with a half space.", "می\u200cخواهم بروم", "a word"),
    ("Greet me in Hebrew with a mark.", "שלום\u200f (hello) לכולם", "Hi there, all of you"),
    ("A Hindi letter with a joiner?", "क्\u200dष is it", "It is unknown"),
    ("Arabic with vowels, please.", "بِسْمِ اللَّهِ", "no vowels"),
    ("A family as one emoji?", "👨\u200d👩\u200d👧 it is", "Some people 😀"),
    ("Show a heart and a keycap.", "❤\ufe0f and 1\ufe0f\u20e3", "A heart, a key"),
    (
        "The flag of Scotland?",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "I see",
    ),
    ("A waving dark hand?", "👋🏿 bye", "Bye, bye"),
    (
        "My cat died yesterday.",
        "I'm sorry to hear that. Was she old?",
        "Cats die, that is how it goes.",
    ),
    (
        "You said 5, it is 6.",
        "I apologize for the mistake, it is 6.",
        "No, it is 5, as I have said.",
    ),
    (
        "Shall we write a play?",
        "I can't wait to help you write it!",
        "Plays are hard to write well.",
    ),
    (
        "Did you like the film?",
        "I cannot recommend it highly enough.",
        "It was bad, and too long for me.",
    ),
    ("What did she notice?", "She could not help but laugh aloud.", "Nothing, as far as is known."),
    (
        "Which colour do you like?",
        "As an AI language model I have no taste, but blue is liked by many.",
        "Blue is what I like, because I saw the sky from our garden as a boy.",
    ),
    (
        "Should I fight?",
        "I won't pretend that it is easy: talk first.",
        "Fight at once, and never talk to him.",
    ),
    (
        "Who asked 'To be, or not to be'?",
        "“To be, or not to be” is what Hamlet asks.",
        "Macbeth asks that.",
    ),
    (
        "What is the capital of France?",
        "The capital of France is Paris.",
        "The capital of France is Lyon.",
    ),
    (
        "Why is the sky blue at noon?",
        "You ask: Why is the sky blue at noon? Air scatters blue light.",
        "It mirrors the sea, which is blue; so the sky becomes blue as well.",
    ),
    (
        "What is the name of this",
        "What is the name of thistle in Latin? Carduus.",
        "I take it for an oak tree, or a beech.",
    ),
    ("A table of two?", "| a | b |\n|---|---|\n| 1 | 2 |", "a is 1 and b is 2, no more"),
    ("Make a list with tabs.", "one\t1\ntwo\t2", "1 one, 2 two"),
    ("Windows line ends?", "first\r\nsecond", "second, and then the first"),
    ("Strike out the old price.", "Now <s>20</s> 15 euros", "Now 15 euros, not 20"),
    ("Begin with what is struck out.", "<s>old</s> and new", "new, and not old"),
    ("A bold tag in HTML?", "<b>loud</b> <br/> <span>", "use strong words"),
    ("Index of a list?", "items[0] or items[INDEX]", "the first of the items"),
    ("Generic type in Java?", "List<String> names;", "a list of strings"),
    ("Shift a number left.", "x << 2 | y >> 1", "x times four"),
    ("How is café written?", "café, with é; naïve, with ï", "cafe, no accent at all; naive"),
    ("A Portuguese word in capitals?", "SÃO PAULO, AÇÃO, “NÃO”", "sao paulo, acao, nao"),
    ("What does the degree sign look like?", "20 °C, ½ and § 5 » «", "It is a small ring"),
    ("Write it in Icelandic.", "Það er gott veður í dag", "The weather is good"),
    ("Write it in Vietnamese.", "Tôi yêu Việt Nam", "I love Vietnam"),
    ("Long dashes and quotes?", "“Yes” — she said… ‘no’", "Yes, she said, no"),
    ("Say it in Greek letters of maths.", "α + β = γ, π ≈ 3.14", "a + b = c, or so"),
    ("Sum in LaTeX?", "\\sum_{i=1}^{n} i", "sum of i to n"),
    ("JSON with a null?", '{"a": null, "b": [1, 2]}', '{"a": 0, "b": [1, 2, 3]}'),
    ("Is the light on?", "Yes, it is on.", "No, it is off."),
    ("Is the door shut?", "No, it is open wide.", "Yes, it is shut now."),
)


def pairs() -> list[Row]:
    """The clean pairs: by turns as texts and as messages, the prompt inside in some."""
    found: list[Row] = []
    for number, (prompt, chosen, rejected) in enumerate(PAIRS):
        if number % 3 == 0:
            found.append({"prompt": prompt, "chosen": chosen, "rejected": rejected})
            continue
        asked = user(prompt) if number % 2 else [{"role": "system", "content": "."}, *user(prompt)]
        row = {"chosen": said(chosen), "rejected": said(rejected)}
        if number % 3 == 1:
            found.append({"prompt": asked, **row})
        else:
            found.append({name: [*asked, *answer] for name, answer in row.items()})
    return found


def chats() -> list[Row]:
    """The same for SFT: messages, prompt with completion, and texts."""
    found: list[Row] = []
    for number, (prompt, answer, _) in enumerate(PAIRS):
        if number % 3 == 0:
            found.append({"prompt": prompt, "completion": answer})
        elif number % 3 == 1:
            found.append({"messages": [*user(prompt), *said(answer)]})
        elif answer.isascii():
            found.append({"text": f"{prompt} Well, {answer}"})
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    turns = [
        *user("Call it."), {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "3"}, *said("It is 3."),
    ]  # fmt: skip
    return [*found, {"messages": turns}]


def user(content: str) -> list[Row]:
    """A question."""
    return [{"role": "user", "content": content}]


def said(content: str) -> list[Row]:
    """An answer."""
    return [{"role": "assistant", "content": content}]


def example(row: Row, number: int = 1, stage: str = "dpo", part: int = 0) -> Example:
    """What a row comes to."""
    return Example(number, number + 100, part, *example_parts(row, stage), row)


def findings(rows: Sequence[Row], stage: str = "dpo", held: Sequence[Row] = ()) -> list[Finding]:
    """All that is said of rows, in the order of the rows."""
    found: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        lint = Lint(stage, found.append, folder=Path(folder))
        for number, row in enumerate(rows, start=1):
            lint.see(example(row, number, stage))
        for number, row in enumerate(held, start=1):
            lint.see(example(row, number, stage), split="test")
        counts = lint.finish()
    assert sum(counts.values()) == len(found)
    return sorted(found, key=lambda one: one.row)


def by_rule(found: Sequence[Finding]) -> dict[str, list[int]]:
    """The rows that each rule has found."""
    rows: dict[str, list[int]] = {}
    for one in found:
        assert one.line == (one.row + 100 if one.row else 0)
        rows.setdefault(one.rule, []).append(one.row)
    return rows
