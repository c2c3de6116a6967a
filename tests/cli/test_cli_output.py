"""Units, tables and panes."""

import io

import pytest

from workbench.cli import output
from workbench.cli.panes import side_by_side, wrap


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (0.4, "0 s"), (59.4, "59 s"), (60, "1:00"), (252, "4:12"), (11044, "3:04:04")],
)
def test_durations(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


@pytest.mark.parametrize(
    ("byte_count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (3.2e9, "3.2 GB"), (5e13, "50 TB")],
)
def test_sizes(byte_count: float, text: str) -> None:
    assert output.size(byte_count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.5123, "0.512"),
        (-1.25, "-1.25"),
        (1711, "1711"),
        (12345, "12.3k"),
        (-4.04e8, "-404M"),
        (5e-5, "5.0e-05"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert output.number(value) == text


def test_a_table_keeps_its_columns_whatever_the_cells_hold() -> None:
    lines = output.table(("NAME", "TITLE"), [("a", "日本\x1b[2J\nx"), ("long-name", "[/INST]")])
    assert lines == ["NAME       TITLE", "a          日本 x", "long-name  [/INST]"]


def test_a_terminal_s_table_is_not_wider_than_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "10")
    assert output.table(("NAME",), [("日本語日本語",)]) == ["NAME", "日本語日…"]


def test_wrap_breaks_between_words_and_inside_too_long_ones() -> None:
    assert wrap("one two three\n\nfour", 8) == ["one two", "three", "", "four"]
    assert wrap("a" * 10, 4) == ["aaaa", "aaaa", "aa"]
    assert wrap("x " + "日" * 5, 4) == ["x", "日日", "日日", "日"]
    assert wrap("", 4) == [""]


def test_wide_panes_stand_side_by_side() -> None:
    lines = side_by_side([("base", "word " * 12), ("tuned", "short")], 75)
    assert all(len(line) <= 75 for line in lines)
    assert [line.split("|")[0].rstrip() for line in lines] == [
        "base",
        "-" * 36,
        "word word word word word word word",
        "word word word word word",
    ]
    assert lines[2].endswith(" | short")


def test_narrow_panes_stand_in_turn_and_are_inert() -> None:
    panes = [("base", "\x1b]52;c;aGk=\x07one\rtwo"), ("tuned", " ")]
    assert side_by_side(panes, 60) == ["base:", "  one", "  two", "tuned:", "  (no text)"]


def test_moments_beyond_every_calendar_are_not_shown() -> None:
    for moment in (1e17, 1e300, -1e300):
        assert output.local_time(moment) == ""
