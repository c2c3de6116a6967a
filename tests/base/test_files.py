from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.base.files import (
    amount,
    append_json,
    is_number,
    json_safe,
    make_private_dir,
    write_atomic,
)
from workbench.base.tail import LineTail, read_jsonl


def test_atomic_write_replaces_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    write_atomic(file, "old")
    write_atomic(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "run.json"
    write_atomic(file, "old")

    def no_space(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write_atomic(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_private_dir_with_parents(tmp_path: Path) -> None:
    make_private_dir(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_json_lines_are_strict_json(tmp_path: Path) -> None:
    """Row 27."""
    file = tmp_path / "m.jsonl"
    append_json(file, {"loss": float("nan"), "path": tmp_path, "list": (1, float("inf"))})
    text = file.read_text()
    assert json.loads(text) == {"loss": None, "path": str(tmp_path), "list": [1, None]}
    assert text.endswith("\n")


def test_reading_takes_glued_lines_and_skips_torn_and_foreign_ones(tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    file.write_bytes(b'{"a": 1}\n{"a": 2}{"a": 3}\n[1]\n\xff\n{"a": 4}\n{"a": ')
    assert read_jsonl(file) == [{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}]
    assert read_jsonl(tmp_path / "missing") == []


def test_nested_values_become_json_safe() -> None:
    assert json_safe({"a": [{"b": float("-inf")}], 1: {2}}) == {"a": [{"b": None}], "1": [2]}


@given(
    lines=st.lists(st.text(st.characters(exclude_characters="\n\r"), max_size=20), max_size=20),
    cuts=st.lists(st.integers(0, 400), max_size=6),
    limit=st.integers(1, 50),
)
def test_tail_gives_every_line_once_however_the_file_grows(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], cuts: list[int], limit: int
) -> None:
    data = "".join(line + "\n" for line in lines).encode("utf-8", "replace")
    file = tmp_path_factory.mktemp("tail") / "log"
    tail = LineTail(file, limit_bytes=limit)
    got: list[str] = []
    previous = 0
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        with file.open("ab") as handle:
            handle.write(data[previous:cut])
        previous = cut
        for _ in range(len(data) // limit + 2):
            got += tail.read()
    assert got == data.decode("utf-8", "replace").split("\n")[:-1]


def test_tail_starts_again_when_the_file_is_cut_or_replaced(tmp_path: Path) -> None:
    """Row 28."""
    file = tmp_path / "log"
    tail = LineTail(file)
    assert tail.read() == []
    file.write_text("one\ntwo\n")
    assert tail.read() == ["one", "two"]
    file.write_text("x\n")
    assert tail.read() == ["x"]
    assert tail.restarted
    other = tmp_path / "other"
    other.write_text("replaced, and longer than before\n")
    other.replace(file)
    assert tail.read() == ["replaced, and longer than before"]
    assert tail.restarted
    assert tail.read() == []
    assert not tail.restarted


def test_tail_can_begin_near_the_end(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("first\nsecond\nthird\n")
    tail = LineTail(file)
    tail.skip_to_last(6)
    assert tail.read() == ["third"]


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 10**400, True, None, "1", [1]])
def test_what_is_no_number(value: object) -> None:
    assert not is_number(value)
    assert is_number(0)
    assert is_number(-1.5)


def test_an_amount_is_a_positive_finite_number_or_nothing() -> None:
    row = {"a": 2, "b": -1.0, "c": "3", "d": True, "e": float("inf"), "f": None}
    assert [amount(row, name) for name in "abcdefg"] == [2.0, 0, 0, 0, 0, 0, 0]
