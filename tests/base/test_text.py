from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.base.text import clean


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b]52;c;aGk=\x07after", "after"),
        ("\x1b]0;title\x1b\\after", "after"),
        ("a\x1b[2Jb\x1b[31;1mc\x1b[0m", "abc"),
        ("\x1bPq#0;2;0;0;0\x1b\\x", "x"),
        ("\x9b2Jx\x9d0;t\x9cy", "xy"),
        ("open\x1b]52;c;never closed", "open"),
        ("\x1b(B\x1b7x\x1bc", "x"),
        ("bell\x07 null\x00 del\x7f nel\x85", "bell null del nel"),
        ("\u202egnp.exe\u2066x\ufeff", "gnp.exex"),
        ("10%\r20%\r\n30%", "10%\n20%\n30%"),
        ("tab\there", "tab    here"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("[/INST] [bold]x[/] stays", "[/INST] [bold]x[/] stays"),
        ("grün 日本語 👩‍🔬", "grün 日本語 👩‍🔬"),
    ],
)
def test_outside_text_becomes_inert(raw: str, shown: str) -> None:
    assert clean(raw) == shown


def test_one_line() -> None:
    assert clean("a\nb\r\nc", newlines=False) == "a b c"


@given(st.text())
def test_nothing_dangerous_is_ever_left(raw: str) -> None:
    result = clean(raw)
    assert not any(ord(c) < 32 and c != "\n" for c in result)
    assert not any(0x7F <= ord(c) < 0xA0 for c in result)
    assert clean(result) == result
