"""Frames and signs as ASCII."""

from __future__ import annotations

from pathlib import Path

import pytest

import workbench
from workbench.tui.plain_letters import ascii_table, plain_driver

WRITTEN_WITH_ACCENTS = "é"


def test_each_sign_becomes_one_ascii_letter() -> None:
    for sign, plain in ascii_table().items():
        assert plain.isascii(), chr(sign)
        assert plain.isprintable(), chr(sign)
        assert len(plain) == 1, chr(sign)


def test_every_sign_that_the_app_draws_is_known() -> None:
    """A sign in the source that is not in the table would be drawn as it is."""
    unknown = set()
    for file in Path(workbench.__file__).parent.joinpath("tui").rglob("*.py"):
        text = file.read_text(encoding="utf-8").translate(ascii_table())
        unknown |= {letter for letter in text if not letter.isascii()}
    assert unknown <= set(WRITTEN_WITH_ACCENTS), sorted(unknown)


@pytest.mark.parametrize(
    ("drawn", "plain"),
    [
        ("╭─ loss ─╮", "+- loss -+"),
        ("━━━──", "===--"),
        ("▁▂▃▄▅▆▇█", ".:-=+*##"),
        ("⠀⠁⠛⣿", " .**"),
        ("● running → dpo…", "* running > dpo~"),
        ("Grüße, 世界", "Grüße, 世界"),
    ],
)
def test_a_driver_writes_plain_letters_and_sequences_as_they_are(drawn: str, plain: str) -> None:
    class Recorder:
        def __init__(self) -> None:
            self.written: list[str] = []

        def write(self, data: str) -> None:
            self.written.append(data)

    driver = plain_driver(Recorder)()  # type: ignore[arg-type, call-arg]
    driver.write(f"\x1b[1;1H{drawn}\x1b[0m")
    assert driver.written == [f"\x1b[1;1H{plain}\x1b[0m"]  # type: ignore[attr-defined]
