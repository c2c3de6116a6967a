"""What is said to be read as it stands, is: `datasets` itself reads the same rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.data.readers.row import SourceRow
from workbench.data.readers.source import open_source

pytestmark = pytest.mark.model
ROWS = [{"prompt": f"p{n} é", "chosen": "x " * n + "c", "rejected": "b"} for n in range(5)]
CHAT = [{"prompt": [{"role": "user", "content": "é"}], "chosen": [{"role": "assistant"}]}] * 3
PRETTY = "\n".join(json.dumps({**row, "long": "x" * 2000}, indent=1) for row in ROWS * 200)
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
TABLE = b"id,prompt,chosen\n" + b"".join(b'%d,p%d,"a\n""b"""\n' % (n, n) for n in range(5))


def zstd(data: bytes) -> bytes:
    return bytes(pytest.importorskip("zstandard").ZstdCompressor().compress(data))


def lists(rows: Any, **options: Any) -> bytes:
    return json.dumps(rows, ensure_ascii=False, **options).encode()


SAME: dict[str, Callable[[], bytes]] = {
    "lines.jsonl": lambda: LINES,
    "lines.json": lambda: LINES,
    "no_end.jsonl": lambda: LINES[:-1],
    "mark.jsonl": lambda: b"\xef\xbb\xbf" + LINES,
    "crlf.jsonl": lambda: LINES.replace(b"\n", b"\r\n"),
    "blank.jsonl": lambda: b"\n" + LINES.replace(b"\n", b"\n\n"),
    "spaces.jsonl": lambda: LINES.replace(b"{", b"  {"),
    "mixed.jsonl": lambda: b'{"a": 1}\n{"a": "x"}\n{"b": [1]}\n',
    "chat.jsonl": lambda: b"\n".join(map(lists, CHAT)),
    "one.json": lambda: lists(ROWS[0]),
    "list.json": lambda: lists(ROWS),
    "pretty.json": lambda: lists(ROWS, indent=2),
    "mark.json": lambda: b"\xef\xbb\xbf" + lists(ROWS),
    "blank.json": lambda: b"\n " + lists(ROWS),
    "chat.json": lambda: lists(CHAT),
    "lines.jsonl.gz": lambda: gzip.compress(LINES),
    "list.json.gz": lambda: gzip.compress(lists(ROWS)),
    "unnamed.jsonl": lambda: gzip.compress(LINES),
    "members.jsonl.gz": lambda: gzip.compress(LINES) * 2,
    "lines.jsonl.zst": lambda: zstd(LINES),
    "members.jsonl.zst": lambda: zstd(LINES) * 2,
    "a.csv": lambda: TABLE,
    "mark.csv": lambda: b"\xef\xbb\xbf" + TABLE,
    "blank.csv": lambda: TABLE.replace(b'"""\n', b'"""\n\n'),
    "names.csv": lambda: b"prompt,prompt,\na,b,c\nd,e,f\n",
    "a.csv.gz": lambda: gzip.compress(TABLE),
}
OTHER: dict[str, Callable[[], bytes]] = {
    "bad.jsonl": lambda: LINES + b"{broken\n",
    "number.jsonl": lambda: LINES + b"7\n",
    "zero.jsonl": lambda: LINES + b"\0\0\n" + LINES,
    "commas.jsonl": lambda: LINES.replace(b"}\n", b"},\n"),
    "infinity.jsonl": lambda: b'{"a": Infinity}\n{"a": 1.5}\n',
    "half.jsonl": lambda: b'{"a": "\\ud83d"}\n',
    "utf16.jsonl": lambda: LINES.decode().encode("utf-16"),
    "windows.jsonl": lambda: LINES.decode().encode("cp1252"),
    "no_gzip.jsonl.gz": lambda: LINES,
    "cut.jsonl.gz": lambda: gzip.compress(LINES)[:-9],
    "objects.json": lambda: PRETTY.encode(),
    "wrapped.json": lambda: lists({"data": ROWS}),
    "keyed.json": lambda: lists({"a": ROWS[0], "b": ROWS[1]}),
    "cut.json": lambda: lists(ROWS)[:-1],
    "commas.json": lambda: b'[{"a": 1} {"a": 2}]',
    "lists.json": lambda: lists(ROWS) + b"\n" + lists(ROWS),
    "more.json": lambda: lists(ROWS) + b" x",
    "a.tsv": lambda: TABLE.replace(b",", b"\t"),
    "semicolons.csv": lambda: TABLE.replace(b",", b";"),
    "windows.csv": lambda: b"prompt,chosen\ncaf\xe9,b\n",
    "few.csv": lambda: TABLE + b"x,y\n",
    "many.csv": lambda: TABLE + b"x,y,z,w\n",
    "quote.csv": lambda: TABLE + b'"a "b" c",d,e\n',
    "open.csv": lambda: TABLE + b'"a,b,c\n',
    "numbers.csv": lambda: b"prompt,chosen\na,1\nb,2\n",
    "none.csv": lambda: b"prompt,chosen\na,None\nb,c\n",
    "empty.csv": lambda: b"prompt,chosen\na,\nb,c\n",
    "messages.csv": lambda: b"prompt,chosen\na,\"[{'role': 'user', 'content': 'x'}]\"\n",
}


def both(path: Path, cache: Path) -> tuple[list[Any], list[Any] | None, bool]:
    """Our rows, those of `datasets` (None where it fails), and whether they should be equal."""
    import datasets

    with open_source(path) as source:
        ours = [item.values for item in source.rows() if isinstance(item, SourceRow)]
        loader = {"jsonl": "json", "tsv": "csv"}.get(source.kind, source.kind)
        claim = source.as_is
    try:
        found = datasets.load_dataset(
            loader, data_files=str(path), split="train", cache_dir=str(cache)
        )
        return ours, list(found), claim
    except Exception:  # noqa: BLE001 - whatever it is, the file was not read
        return ours, None, claim


def plain(value: Any, column: str = "") -> Any:
    """A value without what may differ: columns that are missing, and numbers that were text."""
    if isinstance(value, dict):
        kept = {key: plain(item, key) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if column == "id" else value


@pytest.mark.parametrize("name", SAME)
def test_files_that_are_read_as_they_stand(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(SAME[name]())
    ours, theirs, claim = both(tmp_path / name, tmp_path / "cache")
    assert claim
    assert len(ours) >= 1
    assert plain(ours) == plain(theirs)


@pytest.mark.parametrize("name", OTHER)
def test_files_that_are_not(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(OTHER[name]())
    ours, theirs, claim = both(tmp_path / name, tmp_path / "cache")
    assert not claim
    assert len(ours) >= 1
    assert theirs is None or plain(ours) != plain(theirs)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_files_of_columns(kind: str, tmp_path: Path) -> None:
    import datasets

    made = datasets.Dataset.from_list(ROWS)
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        made.to_parquet(path)
    else:
        made.save_to_disk(path)
        path = next(path.glob("*.arrow"))
    ours, theirs, claim = both(path, tmp_path / "cache")
    assert ours == theirs == ROWS
    assert claim


def test_a_folder_that_datasets_saved(tmp_path: Path) -> None:
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "x")
    with open_source(tmp_path / "x") as source:
        assert [row.values for row in source.rows()] == ROWS  # type: ignore[union-attr]
        # It is for load_from_disk; load_dataset has no name for it.
        assert not source.as_is


def test_splits_that_datasets_saved(tmp_path: Path) -> None:
    import datasets

    both_splits = {split: datasets.Dataset.from_list(ROWS[:n]) for split, n in [("a", 2), ("b", 3)]}
    datasets.DatasetDict(both_splits).save_to_disk(tmp_path / "x", num_shards={"a": 2, "b": 1})
    for split, count in (("a", 2), ("b", 3)):
        with open_source(tmp_path / "x", split=split) as source:
            assert [row.values for row in source.rows()] == ROWS[:count]  # type: ignore[union-attr]
