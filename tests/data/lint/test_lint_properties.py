from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lint_rows import example, said, user

from workbench.data.formats.texts import implicit_split
from workbench.data.lint.controls import control_kinds, mended_controls
from workbench.data.lint.fixing import MENDERS, mended
from workbench.data.lint.lint import Lint

ODD = st.sampled_from(
    ["\ud800", "\x00", "", " ", "</s>", "<s>", "[INST]", "\u200d", "\x1b[", "Ã©", "â€™", "\u202e",
     "\n", "\r", "\t", "I can't help", "\ufeff", "क", "👨", "<|im_start|>user\n"]
)  # fmt: skip
TEXT = st.lists(ODD | st.text(st.characters(codec=None, exclude_categories=()), max_size=8)).map(
    "".join
)
ROWS = st.one_of(
    st.builds(lambda p, c, r: {"prompt": p, "chosen": c, "rejected": r}, TEXT, TEXT, TEXT),
    st.builds(lambda c, r: {"chosen": c, "rejected": r}, TEXT, TEXT),
    st.builds(
        lambda p, c, r: {"prompt": user(p), "chosen": said(c), "rejected": said(r)},
        TEXT, TEXT, TEXT,
    ),
)  # fmt: skip


@settings(deadline=None)  # each set opens files of its own
@given(st.lists(ROWS, max_size=4), st.lists(TEXT, max_size=3))
def test_no_text_stops_the_lint(rows: list[dict[str, Any]], texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lint = Lint("dpo", lambda finding: None, folder=Path(folder))
        for number, row in enumerate(rows, start=1):
            lint.see(example(row, number))
            lint.see(example(row, number), split="test")
        lint.finish()
        lint = Lint("sft", lambda finding: None, folder=Path(folder))
        for number, text in enumerate(texts, start=1):
            lint.see(example({"text": text}, number, "sft"))
            lint.see(example({"messages": [*user(text), *said(text)]}, number, "sft"))
        lint.finish()


@given(TEXT)
def test_mending_only_takes_away(text: str) -> None:
    rules = [rule for rule in MENDERS if rule != "broken_encoding"]
    row, done = mended({"text": text, "other": 1}, rules)
    letters = iter(text)
    assert all(letter in letters for letter in row["text"])
    assert bool(done) == (row["text"] != text)
    assert row["other"] == 1


@given(TEXT)
def test_what_is_named_is_taken_out(text: str) -> None:
    after = mended_controls(text)
    assert bool(control_kinds(text)) == (after != text)
    assert mended({"text": text}, ["control_characters"])[0]["text"] == after


@given(st.text("ab "), st.text("ab "), st.text("ab "))
def test_the_split_is_that_of_trl(front: str, chosen: str, rejected: str) -> None:
    chosen, rejected = front + chosen, front + rejected
    if chosen and rejected:
        assert implicit_split(chosen, rejected) == _by_letters(chosen, rejected)


def _by_letters(chosen: str, rejected: str) -> int:
    """As `trl.extract_prompt` goes through them."""
    at = 0
    for at in range(min(len(chosen), len(rejected))):
        if chosen[at] != rejected[at]:
            return at - 1 if chosen[at - 1] == " " else at
    return at
