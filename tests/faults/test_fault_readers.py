"""Files that are torn, huge, foreign or gone: whoever reads them goes on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from fault_runs import (  # noqa: F401
    RUN_ID,
    add_line,
    add_row,
    make_run,
    reader_paths,
    reader_run,
    text_of,
    until,
)

from workbench.base.paths import Paths
from workbench.base.tail import LINE_LIMIT_BYTES, LineTail, read_jsonl, read_small
from workbench.cli import main
from workbench.run.curves import LIMIT_POINTS, Curve
from workbench.run.directory import RunDirectory
from workbench.run.metrics import RECENT_ROWS, MetricsReader
from workbench.run.record import read_record
from workbench.tui.app import WorkbenchApp
from workbench.tui.board import read_row
from workbench.tui.watching import LINE_CHARACTERS, LOG_LINES, RunWatcher
from workbench.tui.widgets.plot_panel import PlotPanel

Capture = pytest.CaptureFixture[str]


def losses(run: RunDirectory) -> list[tuple[int, float]]:
    reader = MetricsReader(run)
    reader.read_all()
    return list(reader.points("loss"))


# --- row 28: damaged lines ------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "after"),
    [
        (b'{"stage": "dpo", "step": 4, "lo', []),
        (b'{"stage": "dpo", "step": 4, "loss": 1}{"stage": "dpo", "step": 5, "loss": 2}\n', [1, 2]),
        (b'{"stage": "dpo", "step": 4, "loss": 1}{"stage": "dpo", "st\n', [1]),
        (b"\x00" * 5000 + b"\n", []),
        (b"\xff\xfe\x80\n", []),
        (b'{"stage": "dpo", "step": 4, "loss": 1}\r\n', [1]),
        (b'\xef\xbb\xbf{"stage": "dpo", "step": 4, "loss": 1}\n', [1]),
        (b'{"a":' * 10_000 + b"\n", []),
        (b'{"stage": "dpo", "step": ' + b"9" * 10_000 + b', "loss": 1}\n', []),
        (b'{"stage": "dpo", "step": 9223372036854775808, "loss": 1}\n', []),
        (b'{"stage": "dpo", "step": 4, "loss": 5, "loss": 1}\n', [1]),
        (b'{"stage": "dpo", "step": true, "loss": 1}\n', []),
    ],
    ids=[
        "torn",
        "glued",
        "glued-and-torn",
        "zeros",
        "no-text",
        "windows",
        "bom",
        "deep",
        "digits",
        "large-step",
        "twice",
        "truth",
    ],
)
def test_a_damaged_line_costs_itself_alone(
    run: RunDirectory, damage: bytes, after: list[float]
) -> None:
    """Row 28."""
    good = [loss for _, loss in losses(run)]
    with run.metrics.open("ab") as file:
        file.write(damage)
    assert [loss for _, loss in losses(run)] == good + after
    assert read_row(run).loss == pytest.approx((good + after)[-1])


def test_a_file_written_anew_in_place_is_read_anew_though_it_is_longer(tmp_path: Path) -> None:
    """Row 28: the same inode, a larger size, another text."""
    file = tmp_path / "metrics.jsonl"
    file.write_text("one\ntwo\n")
    tail = LineTail(file)
    assert tail.read() == ["one", "two"]
    file.write_text("this is another text\nlonger than the first\n")
    assert tail.read() == ["this is another text", "longer than the first"]
    assert tail.restarted
    with file.open("a") as more:
        more.write("and it grows\n")
    assert tail.read() == ["and it grows"]
    assert not tail.restarted


def test_a_line_without_end_is_given_up_and_the_next_one_read(tmp_path: Path) -> None:
    """Row 28: ten megabytes without a line end cost no memory and no other line."""
    file = tmp_path / "metrics.jsonl"
    tail = LineTail(file)
    with file.open("wb") as writer:
        for _ in range(40):
            writer.write(b'{"a": "' + b"x" * 256 * 1024)
            writer.flush()
            while True:
                assert tail.read() == []
                if not tail.more:
                    break
            assert len(tail.partial) <= LINE_LIMIT_BYTES
        writer.write(b'"}\n{"a": 2}\n')
    assert read_jsonl(file) == [{"a": 2}]
    lost, kept = tail.read()
    assert lost.startswith("… ")
    assert kept == '{"a": 2}'


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop", "dangling"])
def test_what_is_no_file_is_not_waited_for(run: RunDirectory, kind: str) -> None:
    """Row 28: opening a pipe would wait for ever, reading /dev/zero would never end."""
    for path in (run.metrics, run.log, run.record, run.scores, run.comparisons):
        path.unlink(missing_ok=True)
        match kind:
            case "pipe":
                os.mkfifo(path)
            case "folder":
                path.mkdir()
            case "device":
                path.symlink_to("/dev/zero")
            case "loop":
                path.symlink_to(path)
            case "dangling":
                path.symlink_to("nowhere")
    view = RunWatcher(run).look()
    assert (view.points, view.log) == ({}, ())
    assert view.row.state == "lost"
    assert view.row.error is not None
    assert "run.json cannot be read" in view.row.error[0]
    assert read_jsonl(run.comparisons) == []


def test_what_should_be_small_is_not_read_when_it_is_huge(run: RunDirectory) -> None:
    """Row 28: a run.json of a terabyte (a sparse file) is one sentence."""
    with run.record.open("r+b") as file:
        file.truncate(2**40)
    assert "far too large" in str(read_record(run).error)
    with pytest.raises(OSError, match="far too large"):
        read_small(run.record)


# --- rows 26 and 27: values that are no numbers -----------------------------------------


def test_values_that_no_chart_can_place(run: RunDirectory) -> None:
    """Rows 26 and 27: they leave a gap in the curve, and the newest one is named."""
    for step, value in enumerate(
        ("Infinity", "-Infinity", "NaN", '"x"', "[1]", "null", "1e999"), 4
    ):
        add_line(run, f'{{"stage": "dpo", "step": {step}, "loss": {value}}}')
    add_line(run, '{"stage": "dpo", "step": 11, "loss": null, "non_finite": ["loss"]}')
    add_row(run, 12, loss=1e308)
    view = RunWatcher(run).look()
    assert [step for step, _ in view.points["dpo"]["loss"]] == [1, 2, 3, 12]
    assert view.faults == (("dpo", 11, "loss"),)
    assert view.latest["loss"] == 1e308


async def test_the_monitor_draws_what_it_can_of_them(paths: Paths, run: RunDirectory) -> None:
    """Row 26: in the app itself, at 80x24."""
    for step, value in enumerate(("Infinity", "1e308", "-1e308", "NaN", "1e-320"), 4):
        add_line(run, f'{{"stage": "dpo", "step": {step}, "loss": {value}, "grad_norm": 1e30}}')
    app = WorkbenchApp(paths, screen="monitor")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "3/3" in text_of(app, "#head"))
        assert app.is_running


# --- row 59: clocks and steps that go back --------------------------------------------


def test_steps_that_go_back_are_sorted_and_the_newest_value_wins(run: RunDirectory) -> None:
    """Row 59: without a resume event."""
    for step, loss in ((5, 0.5), (6, 0.6), (5, 0.55), (4, 0.4), (7, 0.7)):
        add_row(run, step, loss=loss)
    points = losses(run)
    assert [step for step, _ in points] == [1, 2, 3, 4, 5, 6, 7]
    assert dict(points)[5] == 0.55


def test_a_resume_is_marked_and_supersedes_and_time_may_go_back(run: RunDirectory) -> None:
    """Row 59: with one; a clock that goes back gives no pace, not a wrong one."""
    add_line(run, '{"event": "stage", "stage": "dpo", "time": 50}')
    add_line(run, '{"event": "resume", "stage": "dpo", "step": 1, "time": 50}')
    watcher = RunWatcher(run)
    view = watcher.look()
    assert [step for step, _ in view.points["dpo"]["loss"]] == [1]
    assert view.latest["loss"] == pytest.approx(0.6)
    assert read_row(run).loss == pytest.approx(0.6)
    add_line(run, '{"stage": "dpo", "step": 2, "loss": 9, "time": 60}')
    view = watcher.look()
    assert view.points["dpo"]["loss"][1:] == ((2, 9.0),)
    assert [(mark.kind, mark.step) for mark in view.marks["dpo"]] == [("resume", 1)]
    assert view.eta is None


async def test_the_monitor_says_where_a_run_was_resumed(paths: Paths, run: RunDirectory) -> None:
    """Row 59."""
    add_line(run, '{"event": "resume", "stage": "dpo", "step": 2}')
    app = WorkbenchApp(paths, screen="monitor")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "↻" in app.screen.query_one(PlotPanel).text)


# --- row 50: floods -----------------------------------------------------------------------


def read_bytes() -> int:
    """Bytes that this process has read so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar")).split()[1])


def test_of_a_hundred_megabytes_of_log_only_the_end_is_read(
    run: RunDirectory, capsys: Capture
) -> None:
    """Row 50: a progress bar that redraws itself ends as one line."""
    block = b"".join(b"\rstep %d of 1000000" % step for step in range(50_000))
    with run.log.open("wb") as log:
        while log.tell() < 100_000_000:
            log.write(block + b"\n")
        log.write(b"x" * 1_000_000 + b"\n\x1b[31mlast words\n")
    before = read_bytes()
    watcher = RunWatcher(run)
    lines = watcher.look().log
    assert read_bytes() - before < 2_000_000
    assert lines[-1] == "last words"
    assert max(map(len, lines)) <= LINE_CHARACTERS + 2
    assert main(["logs", "last", "-n", "3"]) == 0
    assert read_bytes() - before < 60_000_000
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "step 49999 of 1000000"
    assert printed[-1] == "last words"


def test_a_log_that_grows_faster_than_it_is_read_is_joined_near_its_end(run: RunDirectory) -> None:
    """Row 50."""
    watcher = RunWatcher(run)
    watcher.look()
    with run.log.open("ab") as log:
        log.writelines(b"line %d\n" % number for number in range(1_500_000))
    before = read_bytes()
    lines = watcher.look().log
    assert read_bytes() - before < 2_000_000
    assert len(lines) <= LOG_LINES
    assert lines[-1] == "line 1499999"
    assert watcher.look().log == ()


# --- flat memory ----------------------------------------------------------------------


def test_a_long_curve_keeps_its_extremes_and_no_superseded_step() -> None:
    curve = Curve()
    for step in range(100_000):
        curve.add(step, float((step * 7919) % 1000))
    curve.add(100_000, 5000.0)
    for step in range(100_001, 150_000):
        curve.add(step, 1.0)
    points = dict(curve.points())
    assert len(points) <= LIMIT_POINTS
    assert points[100_000] == 5000.0
    assert points[0] == 0.0
    assert points[149_999] == 1.0
    assert all(points[step] == float((step * 7919) % 1000) for step in points if step < 100_000)
    curve.forget_after(99_999)
    assert max(dict(curve.points())) <= 99_999
    assert max(value for _, value in curve.points()) <= 999.0


def test_what_a_reader_keeps_does_not_grow_with_the_run(run: RunDirectory) -> None:
    with run.metrics.open("a") as file:
        for step in range(20_000):
            file.write('{"event": "progress", "message": "loading"}\n')
            file.write(f'{{"stage": "dpo", "step": {step}, "a{step}": 1, "non_finite": ["x"]}}\n')
            file.write(f'{{"stage": "s{step}", "step": {step}, "loss": 1}}\n')
    reader = MetricsReader(run)
    reader.read_all()
    assert len(reader.recent) == RECENT_ROWS
    assert len(reader.names()) <= 513
    assert len(reader.stages()) <= 16
    assert len(reader.faults) <= 200
    assert list(reader.events) == []


async def test_newest_values_are_the_newest_while_the_history_is_read(
    paths: Paths, run: RunDirectory
) -> None:
    """A long history is read in slices; no early value passes for the present one meanwhile."""
    with run.metrics.open("a") as file:
        file.writelines(
            f'{{"stage": "dpo", "step": {step}, "loss": {step}, "grad_norm": {step}}}\n'
            for step in range(4, 60_000)
        )
    watcher = RunWatcher(run)
    view = watcher.look()
    assert view.more
    assert view.points["dpo"]["loss"][-1][1] < 59_999
    assert view.latest["loss"] == 59_999
    assert view.eta is None
    while view.more:
        view = watcher.look()
    assert view.points["dpo"]["loss"][-1] == (59_999, 59_999)
    app = WorkbenchApp(paths, screen="monitor")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "reading the curves" in text_of(app, "#strip"))
        await until(pilot, lambda: "reading the curves" not in text_of(app, "#strip"))


# --- rows 34 and 60: folders --------------------------------------------------------------


async def test_a_run_that_is_deleted_while_it_is_watched(paths: Paths, run: RunDirectory) -> None:
    """Row 34: the app turns to the next run."""
    make_run(paths, "20250101-120000-older-0002", name="older")
    app = WorkbenchApp(paths, open_run=RUN_ID)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(
            pilot, lambda: app.current_mode == "monitor" and "trial" in text_of(app, "#head")
        )
        shutil.rmtree(run.path)
        await until(pilot, lambda: "older" in text_of(app, "#head"))
        await pilot.press("2")
        await until(pilot, lambda: [row.label for row in app.rows] == ["older"])


def test_a_watcher_outlives_its_run(run: RunDirectory) -> None:
    """Row 34."""
    watcher = RunWatcher(run)
    before = watcher.look()
    shutil.rmtree(run.path)
    after = watcher.look()
    assert after.row.state == "lost"
    assert after.row.error is not None
    assert "No such file" in after.row.error[0]
    assert after.points == before.points
