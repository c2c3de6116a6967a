"""Broken JSON: one bad place is named, the rest is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.data.readers import json_lines as lines_module
from workbench.data.readers import json_stream, json_text, text_lines
from workbench.data.readers.row import BrokenRow, SourceRow
from workbench.data.readers.source import open_source

DEEP = "[" * 100_000


def look(path: Path) -> tuple[list[tuple[int, object]], list[tuple[int, str]], list[str], bool]:
    """Rows as (line, values), broken places as (line, what), notes, and whether it is as_is."""
    with open_source(path) as source:
        found = list(source.rows())
        rows = [item for item in found if isinstance(item, SourceRow)]
        assert [source.at(row.number) for row in rows] == rows
        broken = [(item.line, item.what) for item in found if isinstance(item, BrokenRow)]
        return [(row.line, row.values) for row in rows], broken, source.notes, source.as_is


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (b"not json", "the line is not JSON (expecting value, column 1)"),
        (b'{"a": 2', "the line is not JSON (expecting ',' delimiter, column 8)"),
        (b'{"a": tru}', "the line is not JSON (expecting value, column 7)"),
        (b'{"a": "x\ty"}', "the line is not JSON (invalid control character, column 9)"),
        (b"[1, 2]", "the line is not a JSON object but a list"),
        (b'"x"', "the line is not a JSON object but a text"),
        (b"7", "the line is not a JSON object but a number"),
        (b"null", "the line is not a JSON object but null"),
        (b'{"a": 2} x', "the line is not JSON (expecting value, column 10)"),
        (b"\0\0\0\0", "the line is zero bytes only"),
        (b'{"a": "\0"}', "the line holds zero bytes"),
        (b'{"a": ' + DEEP.encode(), "the line is not JSON (nested too deeply)"),
        (b'{"a": ' + b"1" * 5000 + b"}", "the line is not JSON (Exceeds the limit"),
    ],
    ids=range(13),
)
def test_one_bad_line_is_named(bad: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n\n' + bad + b'\n{"a": 3}')
    rows, broken, _, as_is = look(tmp_path / "a.jsonl")
    assert rows == [(1, {"a": 1}), (4, {"a": 3})]
    assert [line for line, _ in broken] == [3]
    assert broken[0][1].startswith(what)
    assert not as_is


def test_a_first_line_may_be_the_bad_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('# my data\n{"a": 1}\n{"a": 2}\n')
    rows, broken, _, _ = look(tmp_path / "a.jsonl")
    assert ([line for line, _ in rows], [line for line, _ in broken]) == ([2, 3], [1])
    (tmp_path / "a.jsonl").write_text('{"a": 1\n{"a": 2}\n{"a": 3}\n')
    rows, broken, _, _ = look(tmp_path / "a.jsonl")
    assert ([line for line, _ in rows], [line for line, _ in broken]) == ([2, 3], [1])


@pytest.mark.parametrize(
    ("line", "values", "note"),
    [
        (b'{"a": "caf\xe9 \x93x\x94"}', ["café “x”"], "1 row is not UTF-8"),
        (b'{"a": NaN}', [None], "1 value is NaN or Infinity"),
        (b'{"a": "\\ud83d"}', ["\ufffd"], "half a surrogate pair"),
        (b'{"a": "\\ud83d\\ude00"}', ["\U0001f600"], ""),
        (b'{"a": 2},', [2], "1 line ends with a comma"),
        (b'{"a": 2}{"a": "\xc3\xa9"} {"a": 4}', [2, "é", 4], "1 line holds several rows"),
        (b'  {"a": 2}\r', [2], "lines end with CRLF"),
        (b'\xef\xbb\xbf{"a": 2}', [2], ""),
    ],
)
def test_odd_lines_are_rows(line: bytes, values: list[object], note: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n' + line + b'\n{"a": 9}\n')
    rows, broken, notes, as_is = look(tmp_path / "a.jsonl")
    assert broken == []
    assert [row[1] for row in rows] == [{"a": value} for value in [1, *values, 9]]
    assert rows[-1][0] == 3
    assert as_is is (note in ("", "lines end with CRLF"))
    assert note in "".join(notes)


def test_a_second_reading_counts_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a": "\xe9"}\n{"a": "\xe8"}\n')
    with open_source(tmp_path / "a.jsonl") as source:
        for _ in range(2):
            list(source.rows())
            assert source.notes == ["2 rows are not UTF-8 and were read as Windows-1252"]


def test_a_line_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (json_text, lines_module, json_stream, text_lines):
        monkeypatch.setattr(module, "ROW_LIMIT_BYTES", 1 << 16)
    long = json.dumps({"a": "x" * (3 << 20)})
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n' + long + '\n{"a": 3}\n')
    rows, broken, _, _ = look(tmp_path / "a.jsonl")
    assert [row[0] for row in rows] == [1, 3]
    assert broken == [(2, text_lines.TOO_LONG)]
    (tmp_path / "a.json").write_text('[{"a": 1},\n' + long + ',\n{"a": 3}]')
    rows, broken, _, _ = look(tmp_path / "a.json")
    assert [row[1] for row in rows] == [{"a": 1}, {"a": 3}]
    assert broken == [(2, text_lines.TOO_LONG)]


ROWS = [{"prompt": f"p{n} é }}, {{\\", "meta": {"prompt": n}, "chosen": "c"} for n in range(6)]


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("broken_one", [1, 4])
def test_a_broken_element_of_a_list_costs_itself(
    indent: int | None, broken_one: int, tmp_path: Path
) -> None:
    parts = [json.dumps(row, indent=indent, ensure_ascii=False) for row in ROWS]
    parts[broken_one] = parts[broken_one].replace('"c"', "c")
    text = "[" + ",\n".join(parts) + "]"
    (tmp_path / "a.json").write_text(text)
    rows, broken, _, as_is = look(tmp_path / "a.json")
    assert [row[1] for row in rows] == ROWS[:broken_one] + ROWS[broken_one + 1 :]
    line = 1 + text[: text.index('"chosen": c')].count("\n")
    assert [place for place, _ in broken] == [line]
    assert broken[0][1].startswith(f"element {broken_one + 1} is not JSON (expecting value")
    assert not as_is
    (tmp_path / "b.json").write_text(json.dumps({"data": 1})[:-1] + ', "rows": ' + text + "}")
    assert [row[1] for row in look(tmp_path / "b.json")[0]] == [row[1] for row in rows]


@pytest.mark.parametrize(
    ("text", "count", "what"),
    [
        ('[{"a": 1}, {"a": 2}', 2, "the list has no end"),
        ('[{"a": 1}, {"a": 2}, {"a": ', 2, "no row was found behind it"),
        ('[{"a": 1}, {"a": "x', 1, "no row was found behind it"),
        ('[{"a": 1}, 2, {"a": 3}]', 2, "element 2 is not a JSON object but a number"),
        ('[{"a": 1}, ["x"], {"a": 3}]', 2, "element 2 is not a JSON object but a list"),
        ('[{"a": 1}] and more', 1, "something follows the end"),
        ('[{a: 1}, {a: 2}]', 0, "element 1 is not JSON"),
        ('[{"a": 1}, ' + DEEP, 1, "nested too deeply"),
    ],
    ids=range(8),
)  # fmt: skip
def test_broken_lists(text: str, count: int, what: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    rows, broken, _, as_is = look(tmp_path / "a.json")
    assert len(rows) == count
    assert len(broken) == 1
    assert what in broken[0][1]
    assert not as_is


def test_a_broken_name_in_an_object_of_rows(tmp_path: Path) -> None:
    text = json.dumps(dict(zip("wxyz", ROWS[:4], strict=True))).replace('"y": {', '"y {')
    (tmp_path / "a.json").write_text(text)
    rows, broken, notes, _ = look(tmp_path / "a.json")
    assert [row[1] for row in rows] == [ROWS[0], ROWS[1], ROWS[3]]
    assert len(broken) >= 1
    assert notes == ["rows are values of one object"]


def test_lists_are_forgiven_their_commas(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"a": 1} {"a": 2},, {"a": 3}, {"a": NaN}]\n[{"a": 5}]')
    rows, broken, notes, as_is = look(tmp_path / "a.json")
    assert ([row[1] for row in rows], broken) == (
        [{"a": 1}, {"a": 2}, {"a": 3}, {"a": None}, {"a": 5}],
        [],
    )
    assert any("comma" in note for note in notes)
    assert not as_is


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_the_window_may_end_anywhere(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elements, letters of several bytes, escapes and numbers are cut by it."""
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", size)
    rows = [{"n": n * 1.5e10, "é": "\U0001f600 \\ \" }{ é" * (n % 7), "t": [True, None]}
            for n in range(60)]  # fmt: skip
    for ascii_only in (True, False):
        text = json.dumps(rows, ensure_ascii=ascii_only, indent=1)
        (tmp_path / "a.json").write_text(text)
        found, broken, _, _ = look(tmp_path / "a.json")
        assert broken == []
        assert [row[1] for row in found] == rows
        starts = [n for n, line in enumerate(text.split("\n"), start=1) if line == " {"]
        assert [row[0] for row in found] == starts


def test_bytes_that_are_no_utf8_in_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'[{"a": "\xc3\xa9"},\n{"a": "\xe9"},\n{"a": "x"}]')
    rows, _, notes, as_is = look(tmp_path / "a.json")
    assert [row[1] for row in rows] == [{"a": "é"}, {"a": "é"}, {"a": "x"}]
    assert notes == ["1 row is not UTF-8 and was read as Windows-1252"]
    assert not as_is
