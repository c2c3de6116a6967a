"""Progress of a run, as a line that is redrawn or repeated."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.base.tail import LineTail
from workbench.cli.follow import ProgressPrinter, follow, last_words, left_words, progress_line
from workbench.run.directory import RunDirectory
from workbench.run.metrics import MetricsReader
from workbench.run.pace import Eta, eta
from workbench.run.record import read_record, update_record

MakeRun = Callable[..., RunDirectory]
LogMetrics = Callable[..., None]


def line_of(run: RunDirectory, said: str = "", now: float = 1030.0) -> str:
    reader = MetricsReader(run)
    reader.poll()
    record = read_record(run)
    return progress_line(record, reader, said, eta(record, reader, now=now))


def test_before_the_first_step_the_log_speaks(make_run: MakeRun) -> None:
    run = make_run("starting", step=9, max_steps=20)
    assert line_of(run, "dpo: Downloading 40 %") == "dpo starting: Downloading 40 %"
    assert line_of(run) == "dpo starting"


def test_a_running_stage_shows_pace_and_time_left(
    make_run: MakeRun, log_metrics: LogMetrics
) -> None:
    run = make_run("running", step=3, max_steps=12)
    log_metrics(run, "sft", {"loss": 9.0, "rewards/margins": 9.0})
    log_metrics(
        run,
        "dpo",
        {"loss": 0.7, "rewards/accuracies": 0.5, "tokens_per_second": 310.4},
        {"loss": 0.6, "rewards/margins": 0.25},
        {"loss": 0.5123},
    )
    assert line_of(run) == (
        "dpo [####------------] 3/12 25%  left 1:30  loss 0.512  accuracy 0.5  margin 0.25"
        "  310 tok/s"
    )


def test_the_time_of_later_stages_is_told_as_far_as_it_is_known() -> None:
    assert left_words(Eta(90.0, 90.0)) == "left 1:30"
    assert left_words(Eta(90.0, 150.0)) == "left 1:30 (run 2:30)"
    assert left_words(Eta(90.0, 90.0, exact=False)) == "left 1:30 (run > 1:30)"


def test_another_state_stands_in_the_place_of_the_time_left(make_run: MakeRun) -> None:
    run = make_run("stopping", step=12, max_steps=12)
    assert line_of(run) == "dpo [################] 12/12 100%  stopping"


def test_rows_without_a_time_give_no_estimate(make_run: MakeRun, log_metrics: LogMetrics) -> None:
    run = make_run("running", step=2, max_steps=12)
    log_metrics(run, "dpo", {"loss": 0.7, "time": None}, {"loss": 0.6, "time": "noon"})
    assert line_of(run) == "dpo [###-------------] 2/12 17%  loss 0.6"


def test_plain_lines_do_not_flood_a_log() -> None:
    clock = [0.0]
    stream = io.StringIO()
    printer = ProgressPrinter(stream, redraw=False, clock=lambda: clock[0])
    printer.show("a", key="running", logged=False)
    for clock[0], text, key, logged in [
        (1.0, "b", "running", False),
        (2.0, "c", "running", True),
        (5.5, "d", "running", True),
        (9.0, "e", "stopping", False),
        (18.0, "f", "stopping", False),
        (19.5, "g", "stopping", False),
        (40.0, "g", "stopping", True),
    ]:
        printer.show(text, key=key, logged=logged)
    printer.end()
    assert stream.getvalue() == "a\nd\ne\ng\n"


def test_a_terminal_s_line_is_redrawn_and_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "8")
    stream = io.StringIO()
    printer = ProgressPrinter(stream, redraw=True)
    printer.show("0123456789", key=1, logged=False)
    printer.end()
    assert stream.getvalue() == "\r0123…\x1b[K\r\x1b[K"


def test_follow_returns_when_the_run_ends(
    make_run: MakeRun, log_metrics: LogMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("starting")
    run.log.write_text("Loading\rLoading the \x1b[1mmodel\n\n")
    turns: list[dict[str, Any]] = [
        {"state": "running", "step": 1, "max_steps": 2},
        {"state": "finished", "step": 2, "max_steps": 2},
    ]
    monkeypatch.setattr(
        "workbench.cli.follow.time.sleep", lambda _: update_record(run, **turns.pop(0))
    )
    stream = io.StringIO()
    assert follow(run, stream=stream).state == "finished"
    assert stream.getvalue() == (
        "dpo starting: Loading the model\n"
        "dpo [########--------] 1/2 50%\n"
        "dpo [################] 2/2 100%  finished\n"
    )


def test_metrics_printed_as_a_mapping_are_no_last_words(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("dpo: reading the data\n{'loss': '0.69'}\n")
    assert last_words(LineTail(log)) == "dpo: reading the data"


def test_a_state_is_not_said_twice(make_run: Callable[..., RunDirectory]) -> None:
    run = make_run("failed")
    line = progress_line(read_record(run), MetricsReader(run), "failed: no such file")
    assert line == "dpo failed: no such file"
