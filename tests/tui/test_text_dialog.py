"""Texts of several lines: what is shown is inert, what is not touched stays."""

from __future__ import annotations

import pytest

from workbench.tui.dialogs.text import restored, shown_text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a\n",
        "a: 1\r\nb: 2\r\n",
        "a\tb\n",
        "\ufeffa\u200b: \x1b[31m1\n",
        "a\r\nb\nc",
        "\n\n",
    ],
)
def test_a_text_that_nobody_touches_stays(text: str) -> None:
    assert restored(text, shown_text(text)) == text


def test_what_is_shown_has_no_escapes() -> None:
    assert shown_text("a: \x1b[31m1\x1b[0m\r\nb: \u202e2\n") == "a: 1\nb: 2\n"


def test_an_edited_line_takes_the_files_line_ends_and_leaves_its_neighbours() -> None:
    assert restored("a:\t1\r\nb: 2\r\n", "a:    1\nb: 3\nc: 4\n") == "a:\t1\r\nb: 3\r\nc: 4\r\n"
    assert restored("a: 1\r\nb: 2", "a: 1\nb: 2\nc: 3") == "a: 1\r\nb: 2\r\nc: 3"
    assert restored("a: 1\r\nb: 2\r\n", "a: 1") == "a: 1"
