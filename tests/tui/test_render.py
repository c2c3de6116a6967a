"""Values and outside text as they are shown."""

from __future__ import annotations

import pytest
from tui_fakes import HOSTILE

from workbench.base.problems import Problem
from workbench.tui import render


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.6931, "0.693"),
        (12.345, "12.35"),
        (4.1e-06, "4.1e-6"),
        (-0.31, "-0.310"),
        (0.0, "0"),
        (None, "-"),
        (float("nan"), "NaN"),
        (1234.5, "1234"),
    ],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert render.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:00"), (252, "00:04:12"), (90_061, "1d 01:01:01"), (None, "--:--:--")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert render.duration(seconds) == text


def test_counts_sizes_and_shares() -> None:
    assert [render.count(n) for n in (512, 460_800, 1.1e9, None)] == ["512", "461 k", "1.1 B", "?"]
    assert render.size(1.25e9) == "1.2 GB"
    assert render.share(460_800, 135e6) == "0.34 %"


def test_outside_text_keeps_its_brackets_and_loses_its_escapes() -> None:
    shown = render.plain(HOSTILE).plain
    assert "[/INST]" in shown
    assert "[@click=app.quit]x[/]" in shown
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert "\u202e" not in shown
    assert "52;c" not in shown


def test_a_problem_says_what_where_and_next() -> None:
    line = render.problem_line(Problem("beta is below 0", "r.yaml:3:7", "Write 0.1.")).plain
    assert line == "✗ r.yaml:3:7: beta is below 0. Write 0.1."


def test_yaml_text_is_the_text() -> None:
    text = "# c\nbeta: 0.1  # why\n- path: x\n  [/INST]\nurl: http://x#y"
    assert render.yaml_text(text).plain == text
