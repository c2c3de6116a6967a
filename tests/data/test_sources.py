from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from workbench.data.sources import glance, split_files

ROW = {"prompt": "p", "chosen": "a", "rejected": "b"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"x": 1, "y": 2}\n\n{"x": 3, "y": 4}\n'),
        ("a.jsonl", b'\xef\xbb\xbf{"x": 1, "y": 2}\r\n{"x": 3, "y": 4}'),
        ("a.json", b'[{"x": 1, "y": 2}, {"x": 3, "y": 4}]'),
        ("a.json", b'{"x": 1, "y": 2}\n{"x": 3, "y": 4}\n'),
        ("a.csv", b'x,y\n1,"two\nlines"\n3,4\n'),
        ("a.tsv", b"x\ty\n1\t2\n3\t4\n"),
        ("a.json", b'{"data": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]}'),
        ("a.jsonl.gz", gzip.compress(b'{"x": 1, "y": 2}\n{"x": 3, "y": 4}\n', mtime=0)),
    ],
)
def test_rows_and_columns(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    found = glance(tmp_path / name)
    assert (found.rows, found.columns, found.problems) == (2, ("x", "y"), [])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"x": 1}\nnot json\n', "a.jsonl:2: the line is not JSON"),
        ("a.jsonl", b'{"x": 1}\n[1]\n', "a.jsonl:2: the line is not a JSON object"),
        ("a.jsonl", b"caf\xe9\n", "it is not JSON, though its name says so"),
        ("a.jsonl", b"", "the file has no rows"),
        ("a.json", b'[{"x": 1},\n{"x": ', "a.json:2: element 2 is not JSON"),
        ("a.json", b'{\n"rows": []\n}', "the file has no rows"),
        ("a.jsonl.gz", gzip.compress(b'{"x": 1}\n', mtime=0)[:-9], "its gzip data has no end"),
        ("a.csv", b"x,y\n1\n", "a.csv:2: the row has 1 cell, the header has 2"),
        ("a.jsonl", b"PAR1PAR1", "it is parquet, though its name says text"),
    ],
)
def test_broken_files(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert message in str(glance(tmp_path / name).problems[0])


def test_splits_by_file_name(tmp_path: Path) -> None:
    for name in ("train.jsonl", "test-0.jsonl", "sub/train_1.jsonl", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(ROW) + "\n")
    assert [file.name for file in split_files(tmp_path, "train")] == [
        "train_1.jsonl",
        "train.jsonl",
    ]
    assert [file.name for file in split_files(tmp_path, "test")] == ["test-0.jsonl"]
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "rows.jsonl").write_text("{}\n")
    assert [file.name for file in split_files(tmp_path / "x", "train")] == ["rows.jsonl"]
    assert split_files(tmp_path / "x", "test") == []


def test_of_a_folder_as_large_as_a_disk_only_the_first_files_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.data.sources.WALK_LIMIT", 20)
    for number in range(30):
        folder = tmp_path / f"folder{number:02}"
        folder.mkdir()
        for name in ("train.jsonl", "test.jsonl"):
            (folder / name).write_text("{}\n")
    found = split_files(tmp_path, "train")
    assert found[0] == tmp_path / "folder00" / "train.jsonl"
    assert 1 < len(found) < 20


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "rows.jsonl"
    os.mkfifo(pipe)
    assert "no regular file" in str(glance(pipe).problems[0])
    pipe.unlink()
    assert "No such file" in str(glance(pipe).problems[0])
