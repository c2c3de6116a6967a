"""Runs that are foreign, newer, damaged or linked: shown, told of, and left alone."""

from __future__ import annotations

import json
import os

import pytest
from fault_runs import (  # noqa: F401
    home,
    make_run,
    open_folder,
    reader_paths,
    reader_run,
    text_of,
    until,
    without_rights,
)

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.cli import main
from workbench.run.directory import RunDirectory, find_run, list_runs
from workbench.run.launch import delete, describe_error, launch, resume, stop
from workbench.run.record import read_record, update_record
from workbench.run.trust import distrust
from workbench.tui.app import WorkbenchApp
from workbench.tui.board import RunBoard, read_row
from workbench.tui.watching import RunWatcher

Capture = pytest.CaptureFixture[str]


def test_a_folder_of_runs_that_cannot_be_read() -> None:
    """Row 34: one sentence, not a traceback."""
    with open_folder() as folder:
        paths = home(folder)
        run = make_run(paths)
        assert list_runs(paths) == [run]
        paths.runs.chmod(0)
        with without_rights():
            with pytest.raises(ProblemError, match="cannot be read: Permission denied"):
                list_runs(paths)
            with pytest.raises(ProblemError, match="DPO_WORKBENCH_HOME"):
                find_run(paths, "last")
        paths.runs.chmod(0o755)
        run.path.chmod(0)
        with without_rights():
            (closed,) = list_runs(paths)
            row = read_row(closed)
        assert row.state == "lost"
        assert row.error is not None
        assert "Permission denied" in row.error[0]
        run.path.chmod(0o700)


async def test_a_folder_of_runs_that_leads_in_a_circle(paths: Paths, capsys: Capture) -> None:
    """Row 34: the command line and the app say so and go on."""
    paths.runs.rmdir()
    paths.runs.symlink_to(paths.runs)
    assert main(["runs"]) == 1
    printed = capsys.readouterr()
    assert "the folder of the runs cannot be read" in printed.err
    assert "Traceback" not in printed.err
    app = WorkbenchApp(paths, screen="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: [n for n in app._notifications if "cannot be read" in n.message])
        paths.runs.unlink()
        paths.runs.mkdir()
        make_run(paths)
        await until(pilot, lambda: len(app.rows) == 1)


def as_foreign(run: RunDirectory, kind: str) -> RunDirectory:
    match kind:
        case "link":
            real = run.path.parent.parent / "elsewhere"
            run.path.rename(real)
            run.path.symlink_to(real)
        case "group":
            run.path.chmod(0o770)
        case "world":
            run.record.chmod(0o666)
        case "owner":
            os.chown(run.record, 12345, 12345)
    return run


@pytest.mark.parametrize("kind", ["link", "group", "world", "owner"])
def test_a_run_that_others_may_have_written_is_shown_and_left_alone(
    paths: Paths, kind: str, capsys: Capture
) -> None:
    """Row 60: no signal, no start, no deletion on its word."""
    if kind == "owner" and os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    sleeper = start_sleeper()
    run = make_run(paths, state="running", finished=0.0, **sleeper.identity)
    as_foreign(run, kind)
    assert distrust(run)
    (row,) = RunBoard(paths).read()
    assert row.distrust == distrust(run)
    assert row.loss is not None
    for act in (stop, resume, delete, launch):
        with pytest.raises(ProblemError, match="nothing is done with it"):
            act(run)
    assert main(["stop", "last", "--kill"]) == 1
    assert main(["rm", "last", "--yes"]) == 1
    assert main(["status", "last"]) == 0
    assert distrust(run) in capsys.readouterr().out
    assert sleeper.alive()
    assert run.log.read_text() == "Loading\nDone\n"
    sleeper.end()


def test_the_owner_counts_whoever_runs_the_tests(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 60."""
    assert distrust(run) == ""
    monkeypatch.setattr(os, "geteuid", lambda: run.path.stat().st_uid + 1)
    assert "belongs to another user" in distrust(run)


async def test_the_list_says_why_a_run_is_only_shown(paths: Paths, run: RunDirectory) -> None:
    """Row 60: in the app."""
    run.path.chmod(0o777)
    app = WorkbenchApp(paths, screen="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "may be written by others" in text_of(app, "#story"))


class Sleeper:
    """A process that must live through the test."""

    def __init__(self) -> None:
        import subprocess

        import psutil

        self._process = subprocess.Popen(["sleep", "60"])
        created = psutil.Process(self._process.pid).create_time()
        self.identity = {"pid": self._process.pid, "create_time": created}

    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def start_sleeper() -> Sleeper:
    return Sleeper()


# --- row 58: records that are damaged or newer ----------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\x13" * 100,
        b'{"version": 1, "sta',
        b"[]",
        b'{"state": "dancing"}',
        b'{"pid": "1; rm -rf"}',
        b"[" * 100_000,
        b'{"step": ' + b"9" * 5000 + b"}",
        b'{"stages": ["../../other"]}',
        b'{"stage": "/etc"}',
        b'{"stages": [null]}',
        b'{"results": {"dpo": 3}}',
    ],
    ids=range(12),
)
def test_a_damaged_record_is_told_and_kept(
    run: RunDirectory, content: bytes, capsys: Capture
) -> None:
    """Row 58."""
    run.record.write_bytes(content)
    assert main(["runs"]) == 0
    assert "lost" in capsys.readouterr().out
    assert main(["status", "last"]) == 0
    assert "run.json cannot be read" in capsys.readouterr().err
    with pytest.raises(ValueError):  # noqa: PT011
        update_record(run, state="running")
    for command in ("resume", "stop"):
        assert main([command, run.id]) in (0, 1)
        assert "Traceback" not in capsys.readouterr().err
    assert run.record.read_bytes() == content


def test_a_run_of_a_newer_version_is_shown_and_never_written(
    run: RunDirectory, capsys: Capture
) -> None:
    """Row 58."""
    record = json.loads(run.record.read_text())
    content = json.dumps({**record, "version": 999, "quantum": True, "state": "stopped"})
    run.record.write_text(content)
    assert main(["status", "last"]) == 0
    printed = capsys.readouterr().out
    assert "stopped" in printed
    assert "a newer version of dpo-workbench" in printed
    with pytest.raises(ValueError, match="newer version"):
        update_record(run, state="running")
    for act in (stop, resume, delete, launch):
        with pytest.raises(ProblemError, match="Use that version"):
            act(run)
    assert run.record.read_text() == content


def test_an_error_of_odd_values_is_still_told(run: RunDirectory) -> None:
    """Row 58."""
    record = json.loads(run.record.read_text())
    error = {"what": None, "where": 3, "next_step": ["x"]}
    run.record.write_text(json.dumps({**record, "state": "failed", "error": error}))
    assert read_record(run).state == "failed"
    assert "3" in describe_error(read_record(run))


def test_two_apps_on_one_run_only_read(paths: Paths, run: RunDirectory) -> None:
    """Two viewers of one run leave its files as they are."""
    before = {file.name: file.stat().st_mtime_ns for file in run.path.iterdir()}
    boards, watchers = [RunBoard(paths) for _ in "ab"], [RunWatcher(run) for _ in "ab"]
    for _ in range(3):
        assert boards[0].read() == boards[1].read()
        views = [watcher.look() for watcher in watchers]
        assert views[0].points == views[1].points
    assert {file.name: file.stat().st_mtime_ns for file in run.path.iterdir()} == before
