"""Tables: quotes, line ends, and cells that are not what they should be."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from workbench.data.readers import table
from workbench.data.readers.row import BrokenRow, SourceRow
from workbench.data.readers.source import open_source

MESSAGES = [{"role": "user", "content": 'it\'s\n"x"'}, {"role": "assistant", "content": "é"}]


def look(path: Path) -> tuple[list[tuple[int, object]], list[tuple[int, str]], list[str], bool]:
    with open_source(path) as source:
        found = list(source.rows())
        rows = [item for item in found if isinstance(item, SourceRow)]
        assert [source.at(row.number) for row in reversed(rows)] == rows[::-1]
        broken = [(item.line, item.what) for item in found if isinstance(item, BrokenRow)]
        return [(row.line, row.values) for row in rows], broken, source.notes, source.as_is


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (b"x", "the row has 1 cell, the header has 2"),
        (b"x,y,z", "the row has 3 cells, the header has 2"),
        (b'"open,y', "a quote is opened in this row and never closed"),
        (b'"say "hi" to",y', "a quote stands inside a cell, where it should be doubled"),
        (b"x\0,y", "the row holds zero bytes"),
        (b"x\ry,z", "a carriage return stands in a cell without quotes"),
    ],
)
def test_one_bad_row_is_named(bad: bytes, what: str, tmp_path: Path) -> None:
    text = b'prompt,chosen\na,"b\nc"\n\n' + bad + b"\nd,e\nf,g\n"
    (tmp_path / "a.csv").write_bytes(text)
    rows, broken, _, as_is = look(tmp_path / "a.csv")
    assert rows == [
        (2, {"prompt": "a", "chosen": "b\nc"}),
        (6, {"prompt": "d", "chosen": "e"}),
        (7, {"prompt": "f", "chosen": "g"}),
    ]
    assert broken == [(5, what)]
    assert not as_is


def test_quotes_that_never_close_do_not_swallow_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "ROW_LIMIT_BYTES", 1 << 14)
    monkeypatch.setattr(table, "SHORTEST_LIMIT_BYTES", 1 << 12)
    good = "".join(f"p{n},{'x' * 90}\n" for n in range(1000))
    (tmp_path / "a.csv").write_text('prompt,chosen\n"a,b\n' + good + '"c,d\n' + good)
    rows, broken, _, _ = look(tmp_path / "a.csv")
    assert len(rows) == 2000
    assert [line for line, _ in broken] == [2, 1003]


def test_long_cells_and_long_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "x" * 200_000
    (tmp_path / "a.csv").write_text(f"prompt,chosen\n{long},b\nc,d\n")
    rows, broken, _, _ = look(tmp_path / "a.csv")
    assert (rows[0][1], len(rows), broken) == ({"prompt": long, "chosen": "b"}, 2, [])
    monkeypatch.setattr(table, "ROW_LIMIT_BYTES", 1 << 16)
    rows, broken, _, _ = look(tmp_path / "a.csv")
    assert (rows, broken) == ([(3, {"prompt": "c", "chosen": "d"})], [(2, table.TOO_LONG)])


def test_columns_without_a_name_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",text,text,text.1\n0,a,b,c\n")
    rows, _, notes, _ = look(tmp_path / "a.csv")
    assert list(dict(rows[0][1]).values()) == ["0", "a", "b", "c"]  # type: ignore[call-overload]
    assert len(notes) == 1
    assert "no name" in notes[0]


@pytest.mark.parametrize(
    "cell",
    [
        json.dumps(MESSAGES),
        repr(MESSAGES),
        "[" + "\n ".join(repr(message) for message in MESSAGES) + "]",
        " " + json.dumps(MESSAGES, indent=1) + "\n",
    ],
)
def test_lists_of_messages_in_cells_are_read(cell: str, tmp_path: Path) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([["prompt", "chosen"], [cell, "[1, 2]"], ["x", '[{"a": 1}]']])
    (tmp_path / "a.csv").write_text(file.getvalue(), newline="")
    rows, _, notes, as_is = look(tmp_path / "a.csv")
    assert [row[1] for row in rows] == [
        {"prompt": MESSAGES, "chosen": "[1, 2]"},
        {"prompt": "x", "chosen": '[{"a": 1}]'},
    ]
    assert notes[-1] == "1 cell holds a list of messages as text, and was read as one"
    assert not as_is


def test_code_in_a_cell_is_never_run(tmp_path: Path) -> None:
    cell = "[{'role': 'user', 'content': __import__('os').getcwd()}]"
    (tmp_path / "a.csv").write_text(f'prompt,chosen\n"{cell}",b\n')
    assert look(tmp_path / "a.csv")[0][0][1] == {"prompt": cell, "chosen": "b"}


def test_letters_of_windows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"prompt,chosen\ncaf\xe9,b\nd,\xc3\xa9\n")
    rows, _, notes, as_is = look(tmp_path / "a.csv")
    assert [row[1] for row in rows] == [
        {"prompt": "café", "chosen": "b"},
        {"prompt": "d", "chosen": "é"},
    ]
    assert notes == ["1 row is not UTF-8 and was read as Windows-1252"]
    assert not as_is


@pytest.mark.parametrize(
    ("text", "as_is"),
    [
        ("id,prompt,chosen\n1,a,b\n2,c,d\n", True),
        ("prompt,chosen\na,1\nb,2\n", False),
        ("prompt,chosen\na,1\nb,two\n", True),
        ("prompt,chosen\na,\nb,c\n", False),
        ("prompt,chosen\na,None\nb,c\n", False),
    ],
)
def test_cells_that_pandas_would_take_for_something_else(
    text: str, as_is: bool, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert look(tmp_path / "a.csv")[3] is as_is


def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,chosen\n")
    assert look(tmp_path / "a.csv")[:2] == ([], [])
