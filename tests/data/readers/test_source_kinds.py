"""What a file is, told by its content; and one clear message where it is no data."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import pytest

from workbench.base.problems import ProblemError
from workbench.data.readers.row import BrokenRow, SourceRow
from workbench.data.readers.source import Source, open_source

FORMATS = Path(__file__).parents[4] / "shared" / "data" / "formats"
ROWS = [{"prompt": f"p{n}", "chosen": "é" * n, "rejected": "b"} for n in range(3)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def refusal(path: Path) -> str:
    with pytest.raises(ProblemError) as caught:
        open_source(path)
    assert len(caught.value.problems) == 1
    problem = caught.value.problems[0]
    assert problem.next_step
    assert problem.where == str(path)
    return problem.what


def read(source: Source) -> tuple[list[SourceRow], list[BrokenRow]]:
    """All rows, each of them read again by its number."""
    found = list(source.rows())
    rows = [item for item in found if isinstance(item, SourceRow)]
    for row in reversed(rows):
        assert source.at(row.number) == row
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert list(source.rows()) == found
    return rows, [item for item in found if isinstance(item, BrokenRow)]


@pytest.mark.skipif(not FORMATS.is_dir(), reason="the collection of real files is not here")
def test_real_files_open_or_are_refused_by_name() -> None:
    manifest = json.loads((FORMATS / "MANIFEST.json").read_text())
    files = sorted(FORMATS / entry["file"] for entry in manifest)
    assert len(files) >= 28
    for file in files:
        if file.name.startswith("lfs_pointer"):
            assert "git-lfs pointer" in refusal(file)
            continue
        with open_source(file) as source:
            rows, broken = read(source)
            assert broken == []
            said = next(entry["note"] for entry in manifest if entry["file"] == file.name)
            if said.split()[1:2] == ["rows;"]:
                assert len(rows) == int(said.split()[0]), file.name
            assert source.position == source.size


@pytest.mark.parametrize(
    ("name", "content", "kind", "notes"),
    [
        ("a.json", LINES.encode(), "jsonl", []),
        ("a", json.dumps(ROWS).encode(), "json", []),
        ("a.jsonl", json.dumps(ROWS, indent=1).encode(), "json", []),
        ("a.jsonl", "\n".join(json.dumps(r, indent=1) for r in ROWS).encode(), "json",
         ["objects follow one another over several lines"]),
        ("a.jsonl", "".join(json.dumps(r) for r in ROWS).encode(), "json",
         ["objects follow one another over several lines"]),
        ("a.json", json.dumps({"version": 1, "data": ROWS}).encode(), "json",
         ['rows are under "data"']),
        ("a.json", json.dumps({"meta": {"x": [1]}, "out": {"rows": ROWS}}, indent=2).encode(),
         "json", ['rows are under "out.rows"']),
        ("a.json", json.dumps({"whatever": ROWS}).encode(), "json", ['rows are under "whatever"']),
        ("a.json", json.dumps({"test": ROWS[:1], "train": ROWS}).encode(), "json",
         ['rows are under "train"']),
        ("a.json", json.dumps({"a": ROWS[0], "b": ROWS[1], "c": ROWS[2]}).encode(), "json",
         ["rows are values of one object"]),
        ("a.jsonl", b"\xef\xbb\xbf" + LINES.encode(), "jsonl",
         ["it starts with a byte order mark"]),
        ("a.json", b"\xef\xbb\xbf" + json.dumps(ROWS).encode(), "json",
         ["it starts with a byte order mark"]),
        ("a.jsonl", LINES.replace("\n", "\r\n").encode(), "jsonl", ["lines end with CRLF"]),
        ("a.jsonl", LINES.encode("utf-16"), "jsonl", ["it is in UTF-16, not in UTF-8"]),
        ("a.jsonl", LINES.encode("utf-16-be"), "jsonl", ["it is in UTF-16, not in UTF-8"]),
        ("a.jsonl.gz", LINES.encode(), "jsonl", ["it is not compressed as its name says (.gz)"]),
        ("a.jsonl", gzip.compress(LINES.encode(), mtime=0), "jsonl",
         ["it is compressed with gzip, which its name does not say"]),
        ("a.csv", b"prompt;chosen;rejected\np0;;b\np1;\xc3\xa9;b\np2;\xc3\xa9\xc3\xa9;b\n", "csv",
         ["cells are apart by semicolons"]),
        ("a", b"prompt\tchosen\trejected\np0\t\tb\np1\t\xc3\xa9\tb\np2\t\xc3\xa9\xc3\xa9\tb\n",
         "tsv", ["cells are apart by tabs"]),
        ("a.txt", b"prompt,chosen,rejected\r\np0,,b\r\np1,\xc3\xa9,b\r\np2,\xc3\xa9\xc3\xa9,b\r\n",
         "csv", ["lines end with CRLF"]),
    ],
    ids=range(20),
)  # fmt: skip
def test_the_content_tells_the_kind(
    name: str, content: bytes, kind: str, notes: list[str], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with open_source(tmp_path / name) as source:
        rows, broken = read(source)
        assert ([row.values for row in rows], broken) == (ROWS, [])
        assert (source.kind, source.notes) == (kind, notes)
        assert source.position == source.size == len(content)


def test_one_of_several_lists_is_chosen_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"train": ROWS, "test": ROWS[:1]}))
    with open_source(tmp_path / "a.json", split="test") as source:
        assert len(list(source.rows())) == 1


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
        {"chosen": {"from": "gpt", "value": "x"}, "rejected": {"from": "gpt", "value": "y"}},
        {"conversations": [{"from": "human", "value": "x"}], "tools": []},
        {"prompt": "x", "answers": [{"text": "y", "score": 1}]},
    ],
)
def test_one_object_that_is_a_row_is_not_taken_for_a_list(
    row: dict[str, object], tmp_path: Path
) -> None:
    for indent in (None, 1):
        (tmp_path / "a.json").write_text(json.dumps(row, indent=indent))
        with open_source(tmp_path / "a.json") as source:
            assert [item.values for item in read(source)[0]] == [row]


def office(names: tuple[str, ...]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), "x")
    return file.getvalue()


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("a.jsonl")
        archive.addfile(info, io.BytesIO())
    return file.getvalue()


def database(folder: Path) -> bytes:
    with sqlite3.connect(folder / "x.db") as connection:
        connection.execute("create table a (b)")
    connection.close()
    return (folder / "x.db").read_bytes()


SAFETENSORS = (2).to_bytes(8, "little") + b"{}"


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.jsonl", b"", "it is empty"),
        ("a.jsonl", b" \n\r\n\t\n" * 9, "only blanks"),
        ("a.csv", b"\n\n", "only blanks"),
        ("a.jsonl", b"\0" * 5000, "only blanks or zero bytes"),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git-lfs"),
        ("a.jsonl", b"<!DOCTYPE html>\n<html><body>404</body></html>", "an HTML page"),
        ("a.csv", b"  <html lang='en'>, chosen", "an HTML page"),
        ("a.json", b"<?xml version='1.0'?><Error/>", "an XML document"),
        ("a.xlsx", office(("[Content_Types].xml", "xl/workbook.xml")), "Excel"),
        ("a.jsonl", office(("data.jsonl",)), "zip archive"),
        ("a.pt", office(("archive/data.pkl",)), "PyTorch"),
        ("a.jsonl.gz", gzip.compress(tar(), mtime=0), "tar archive (gzip was taken off)"),
        ("a.pdf", b"%PDF-1.7\n", "PDF"),
        ("a.pkl", pickle.dumps(ROWS), "pickle"),
        ("a.bin", SAFETENSORS, "safetensors"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "a picture"),
        ("a.bz2", b"BZh91AY&SY", "bzip2"),
        ("a.jsonl", bytes(range(256)) * 9, "binary file"),
        ("a.jsonl", b"Dear diary, today\n", "not JSON, though its name says so: it begins with"),
        ("a.txt", b"Once upon a time, there was\na king\n", "plain text"),
        ("a.txt", b"[INST] what? [/INST]\n", "plain text"),
        ("a.json", b'{"prompt": ["a", "b"], "chosen": ["c", "d"]}', "column by column"),
        ("a.json", b'{"prompt": {"0": "a"}, "chosen": {"0": "c"}}', "column by column"),
        ("a.csv", b"prompt,chosen\ra,b\rc,d\r", "old Macs"),
        ("a.parquet", b"PAR1" + b"\x15\x04" * 50, "parquet and is cut or damaged"),
        ("a.arrow", b"ARROW1\0\0" + b"\x15\x04" * 50, "arrow and is cut or damaged"),
        ("a.jsonl.gz", b"\x1f\x8b\x08\x00no gzip at all", "it cannot be read"),
    ],
    ids=range(27),
)
def test_what_is_no_data_is_named(name: str, content: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert what in refusal(tmp_path / name)


def test_a_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(database(tmp_path))
    assert "SQLite" in refusal(tmp_path / "a.jsonl")


def test_what_is_no_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "a pipe or a device" in refusal(tmp_path / "pipe")
    assert "a pipe or a device" in refusal(Path("/dev/zero"))
    assert "it is a folder" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "absent.jsonl")
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot read it" in refusal(tmp_path / "loop")

    def closed(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.jsonl").write_text(LINES)
    monkeypatch.setattr(os, "open", closed)
    assert "cannot read it: Permission denied" in refusal(tmp_path / "a.jsonl")


def test_no_file_stays_open_behind_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("no data")
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(5):
        refusal(tmp_path / "a.jsonl")
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


def test_a_file_that_changes_while_it_is_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"a": 1}\n' * 400_000)
    with open_source(file) as source:
        rows = source.rows()
        next(rows)
        os.truncate(file, 2_000_000)
        found = list(rows)
        assert isinstance(found[-1], BrokenRow)
        assert "changed while it was read" in found[-1].what
        with pytest.raises(ProblemError, match="changed after it was read"):
            source.at(1)
        with pytest.raises(IndexError):
            source.at(10**6)
