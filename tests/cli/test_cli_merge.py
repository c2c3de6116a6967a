"""merge, with a script in the place of the process that loads the models."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.cli import main
from workbench.run.directory import RunDirectory

Capture = pytest.CaptureFixture[str]
MakeRun = Callable[..., RunDirectory]


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make the interpreter that merge starts a shell script."""

    def write(script: str) -> None:
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(stat.S_IRWXU)
        monkeypatch.setattr("workbench.cli.merge.sys.executable", str(program))

    return write


def test_progress_is_passed_on(
    make_run: MakeRun, python: Callable[[str], None], capsys: Capture
) -> None:
    run = make_run()
    python('echo "$@"; printf "half\\033[2J way\\n"; echo "a warning" >&2')
    assert main(["merge", "last", "full"]) == 0
    captured = capsys.readouterr()
    target = Path.cwd() / "full"
    assert captured.out == f"-m workbench.worker.merge {run.path} {target}\nhalf way\n"
    assert captured.err == ""


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        ("echo noise >&2; echo 'error: full: not empty. Give a new one.' >&2; exit 1", 1,
         "full: not empty. Give a new one.\n"),
        ("exit 1", 1, "the merge ended with exit code 1.\n"),
        ("kill -9 $$", 1, "the merge ended with exit code -9.\n"),
        ("echo 'usage: it' >&2; exit 2", 2, "usage: it.\n"),
    ],
)  # fmt: skip
def test_a_failure_is_one_line(
    script: str,
    code: int,
    message: str,
    make_run: MakeRun,
    python: Callable[[str], None],
    capsys: Capture,
) -> None:
    make_run()
    python(script)
    assert main(["merge", "last", "full"]) == code
    assert capsys.readouterr().err == message
