"""Compressed files: cut ones, damaged ones, and such that unfold to a thousand times their size."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.base.problems import ProblemError
from workbench.data.readers import content
from workbench.data.readers.row import BrokenRow, SourceRow
from workbench.data.readers.source import open_source

LETTERS = random.Random(1)
ROWS = [{"prompt": f"é {n}", "chosen": LETTERS.randbytes(30).hex()} for n in range(20_000)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def zstd(data: bytes) -> bytes:
    return bytes(pytest.importorskip("zstandard").ZstdCompressor().compress(data))


def test_several_members_follow_one_another(tmp_path: Path) -> None:
    half = LINES.index(b"\n", len(LINES) // 2) + 1
    for pack, name in ((gzip.compress, "a.jsonl.gz"), (zstd, "a.jsonl.zst")):
        (tmp_path / name).write_bytes(pack(LINES[:half]) + pack(LINES[half:]))
        with open_source(tmp_path / name) as source:
            for _ in range(2):  # the second reading takes what was kept
                found = list(source.rows())
                assert [row.values for row in found if isinstance(row, SourceRow)] == ROWS
                assert source.position == source.size
            for number in (20_000, 1, 7):
                assert source.at(number).values == ROWS[number - 1]
            assert source.as_is


@pytest.mark.parametrize("form", ["lines", "list", "table"])
def test_rows_before_a_cut_are_read(form: str, tmp_path: Path) -> None:
    data = LINES
    if form == "list":
        data = json.dumps(ROWS).encode()
    elif form == "table":
        data = b"prompt,chosen\n" + b"".join(b"p,%s\n" % row["chosen"].encode() for row in ROWS)
    for pack, name in ((gzip.compress, "a.gz"), (zstd, "a.zst")):
        packed = pack(data)
        (tmp_path / name).write_bytes(packed[: len(packed) * 2 // 3])
        with open_source(tmp_path / name) as source:
            found = list(source.rows())
            rows = [item for item in found if isinstance(item, SourceRow)]
            assert 1000 < len(rows) < len(ROWS)
            assert source.at(len(rows)) == rows[-1]
            assert isinstance(found[-1], BrokenRow)
            assert "the file is cut" in found[-1].what
            assert not source.as_is
            assert list(source.rows()) == found


def test_damaged_data_ends_the_rows(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(LINES))
    packed[len(packed) // 2 : len(packed) // 2 + 40] = b"\xff" * 40
    (tmp_path / "a.gz").write_bytes(packed)
    with open_source(tmp_path / "a.gz") as source:
        *_, last = source.rows()
        assert isinstance(last, BrokenRow)
        assert "gzip data is damaged" in last.what


def test_a_row_that_was_not_kept_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.gz").write_bytes(gzip.compress(LINES))
    with open_source(tmp_path / "a.gz") as source:
        monkeypatch.setattr(content.os, "pwrite", full)
        assert sum(isinstance(item, SourceRow) for item in source.rows()) == len(ROWS)
        monkeypatch.undo()
        with pytest.raises(ProblemError, match="temporary files is full"):
            source.at(len(ROWS))


def test_nothing_stays_in_the_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(LINES))
    (tmp_path / "spool").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "spool"))
    with open_source(tmp_path / "a.gz") as source:
        list(source.rows())
        assert source.at(1).values == ROWS[0]
        assert list((tmp_path / "spool").iterdir()) == []


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zst").write_bytes(b"\x28\xb5\x2f\xfd" + b"\0" * 20)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ProblemError, match="pip install zstandard"):
        open_source(tmp_path / "a.zst")


BOMB = r"""
import re, sys
from pathlib import Path
from workbench.data.readers.source import open_source
peak = lambda: int(re.search(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())[1])
before = peak()
with open_source(Path(sys.argv[1])) as source:
    kinds = [type(item).__name__ for item in source.rows()]
print(kinds, (peak() - before) // 1024)
"""


@pytest.mark.parametrize("name", ["a.gz", "a.zst"])
def test_a_bomb_takes_no_memory(name: str, tmp_path: Path) -> None:
    """A line of 300 MB in a file of some hundred KB, between two rows."""
    blank = b" " * (300 << 20)
    data = b'{"a": 1}\n{"a": "' + blank + b'"}\n{"a": 3}\n'
    pack = (lambda text: gzip.compress(text, 1)) if name == "a.gz" else zstd
    (tmp_path / name).write_bytes(pack(data))
    assert (tmp_path / name).stat().st_size < 2 << 20
    command = [sys.executable, "-c", BOMB, str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kinds, _, used = done.stdout.strip().rpartition(" ")
    assert kinds == "['SourceRow', 'BrokenRow', 'SourceRow']"
    assert int(used) < 250
