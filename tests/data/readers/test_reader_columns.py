"""Parquet, arrow and saved folders: whole ones and cut ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.base.problems import ProblemError
from workbench.data.readers.row import BrokenRow, SourceRow
from workbench.data.readers.source import is_saved_folder, open_source

pyarrow = pytest.importorskip("pyarrow")
ROWS = [
    {"prompt": f"p{n}", "chosen": [{"role": "user", "content": "é" * n}], "score": None}
    for n in range(1000)
]


def write(path: Path, kind: str, rows: list[dict[str, Any]] = ROWS, group: int = 300) -> Path:
    from pyarrow import ipc, parquet

    table = pyarrow.Table.from_pylist(rows)
    if kind == "parquet":
        parquet.write_table(table, path, row_group_size=group)
        return path
    new = ipc.new_stream if kind == "stream" else ipc.new_file
    with new(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=group)
    return path


def saved(folder: Path, parts: int = 2) -> Path:
    """What `save_to_disk` writes."""
    folder.mkdir(parents=True)
    names = [f"data-{n:05}-of-{parts:05}.arrow" for n in range(parts)]
    share = len(ROWS) // parts
    for n, name in enumerate(names):
        write(folder / name, "stream", ROWS[n * share : (n + 1) * share], 70)
    state = {"_data_files": [{"filename": name} for name in names], "_split": "train"}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")
    return folder


@pytest.mark.parametrize("kind", ["parquet", "stream", "file", "saved"])
def test_every_row_and_any_row(kind: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "x") if kind == "saved" else write(tmp_path / "x", kind)
    with open_source(path) as source:
        assert source.kind == {"stream": "arrow", "file": "arrow"}.get(kind, kind)
        for _ in range(2):
            found = list(source.rows())
            assert [item.values for item in found if isinstance(item, SourceRow)] == ROWS
            assert source.position == source.size > 0
        for number in (1000, 1, 300, 301, 555, 70, 71, 500, 501, 2):
            assert source.at(number) == SourceRow(number, 0, ROWS[number - 1])
        for number in (0, -1, 1001):
            with pytest.raises(IndexError):
                source.at(number)
        assert source.as_is is (kind != "saved")


def test_splits_of_a_saved_folder(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "test", "../x"]}')
    saved(tmp_path / "set" / "train")
    saved(tmp_path / "set" / "test", parts=1)
    saved(tmp_path / "x")
    assert is_saved_folder(tmp_path / "set")
    assert is_saved_folder(tmp_path / "x")
    assert not is_saved_folder(tmp_path)
    with open_source(tmp_path / "set", split="test") as source:
        assert sum(1 for _ in source.rows()) == 1000
    for split in ("eval", "../x"):
        with pytest.raises(ProblemError, match="has no split"):
            open_source(tmp_path / "set", split=split)


@pytest.mark.parametrize(
    ("state", "what"),
    [
        ('{"_data_files": [{"filename": "../secret.arrow"}]}', "names no data files"),
        ('{"_data_files": [{"filename": "gone.arrow"}]}', "gone.arrow of the saved data set"),
        ("{}", "names no data files"),
        ("no json", "cannot be read"),
    ],
)
def test_saved_folders_that_are_not_whole(state: str, what: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "x")
    (folder / "state.json").write_text(state)
    with pytest.raises(ProblemError, match=what):
        open_source(folder)


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_cut_files(kind: str, tmp_path: Path) -> None:
    data = write(tmp_path / "x", kind).read_bytes()
    (tmp_path / "x").write_bytes(data[: len(data) * 2 // 3])
    if kind != "stream":
        with pytest.raises(ProblemError, match="is cut or damaged"):
            open_source(tmp_path / "x")
        return
    with open_source(tmp_path / "x") as source:
        found = list(source.rows())
        assert isinstance(found[-1], BrokenRow)
        assert "damaged behind row 600" in found[-1].what
        assert len(found) == 601
        assert not source.as_is


def test_damage_inside_a_parquet_file(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "x", "parquet").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 500] = b"\xff" * 500
    (tmp_path / "x").write_bytes(data)
    with open_source(tmp_path / "x") as source:
        *_, last = source.rows()
        assert isinstance(last, BrokenRow)
        assert "damaged behind row" in last.what


def test_text_needs_no_library() -> None:
    code = (
        "import sys, workbench.data.readers.source; "
        "print(*{'pyarrow', 'numpy', 'zstandard', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
