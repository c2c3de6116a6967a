from __future__ import annotations

import time

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
        ("lost\x1b]0;never closed\nthe next line", "lost\nthe next line"),
        ("\x1b]0;cut\x1b[2Jafter", "after"),
        ("\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\x", "x"),
        ("pass\u200bw\u200do\u2060rd\u00ad", "password"),
        ("Z" + "\u0301" * 90, "Z" + "\u0301" * 4),
        ("x" + "".join(map(chr, range(0xFE00, 0xFE10))), "x\ufe00\ufe01"),
    ],
)
def test_outside_text_becomes_inert(raw: str, shown: str) -> None:
    assert clean(raw) == shown


@pytest.mark.parametrize(
    "text",
    [
        "می‌خواهم",
        "क्‍ष नमस्ते हिन्दी",
        "👩‍👩‍👧‍👦 ❤️‍🔥 🏴‍☠️",
        "שָׁלוֹם",
        "ที่นี่ น้ำ",
        "tiếng Việt e\u0302\u0301",
        "葛\U000e0100城",
        "السَّلَامُ عَلَيْكُمْ",
    ],
)
def test_every_script_stays_as_it_is_written(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    "unit",
    ["log line\n", "\x1b", "\x1b[", "\x9d", "\x9b1", "\x1b]0;", "あ\u200d", "x\ufe0f\ufe0e", "\r"],
)
def test_the_time_grows_with_the_length_and_not_with_its_square(unit: str) -> None:
    text = unit * (1_000_000 // len(unit)) + "\x1bx"
    began = time.process_time()
    clean(text)
    assert time.process_time() - began < 2


def test_one_line() -> None:
    assert clean("a\nb\r\nc", newlines=False) == "a b c"


@given(st.text())
def test_nothing_dangerous_is_ever_left(raw: str) -> None:
    result = clean(raw)
    assert not any(ord(c) < 32 and c != "\n" for c in result)
    assert not any(0x7F <= ord(c) < 0xA0 for c in result)
    assert clean(result) == result
