"""Where the report is written, and what it never replaces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.cli import main
from workbench.run.directory import RunDirectory

MakeRun = Callable[..., RunDirectory]


def test_a_report_is_written_into_the_run_and_renewed(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    for arguments, name in (([], "report.html"), (["--markdown"], "report.md")):
        assert main(["report", "last", *arguments]) == 0
        file = run.path / name
        assert capsys.readouterr().out.strip() == str(file)
        assert file.stat().st_mode & 0o777 == 0o600
        assert main(["report", "last", *arguments]) == 0
        capsys.readouterr()


def test_no_other_file_is_replaced_without_force(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = make_run()
    mine = tmp_path / "mine.html"
    mine.write_text("my own")
    assert main(["report", "last", "--output", str(mine)]) == 2
    assert "--force" in capsys.readouterr().err
    assert mine.read_text() == "my own"
    assert main(["report", "last", "--output", str(mine), "--force"]) == 0
    assert mine.read_text().startswith("<!DOCTYPE html>")
    (run.path / "report.html").write_text("notes of mine")
    assert main(["report", "last"]) == 2
    assert main(["report", "last", "--output", str(tmp_path)]) == 2
    assert main(["report", "last", "--output", str(tmp_path / "no" / "where.html")]) == 1
    assert "--output" in capsys.readouterr().err


def test_a_run_that_others_may_write_gets_no_file(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    run.path.chmod(0o777)
    assert main(["report", "last"]) == 1
    assert not (run.path / "report.html").exists()
    assert main(["report", "last", "--output", str(tmp_path / "out.html")]) == 0
