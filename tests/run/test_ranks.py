"""Records of a run's processes, and which of them ended it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from workbench.base.paths import Paths
from workbench.recipe.recipe import Recipe
from workbench.run.directory import RunDirectory, create_run
from workbench.run.rank_ending import Cause, find_cause, last_words
from workbench.run.ranks import (
    RankRecord,
    forget_ranks,
    processes_here,
    rank_file,
    rank_log,
    read_ranks,
    write_rank,
)

TORCHRUN = """\
workbench.worker.train FAILED
Failures:
[0]:
  rank      : 0 (local_rank: 0)
  exitcode  : 1 (pid: 100)
Root Cause (first observed failure):
[0]:
  rank      : 2 (local_rank: 2)
  exitcode  : -9 (pid: 102)
"""


@pytest.fixture
def run(make_recipe: Callable[..., Recipe], paths: Paths) -> RunDirectory:
    return create_run(paths, make_recipe())


def test_records_are_read_as_written(run: RunDirectory) -> None:
    assert read_ranks(run) == []
    forget_ranks(run)
    written = [
        RankRecord(10, "b", 7, 1.5, 2.0, 3.0, step=4, values={"tokens_per_second": 5.0}),
        RankRecord(2, "a", 8, error={"what": "no", "where": "", "next_step": "x"}, follows=True),
    ]
    for record in written:
        write_rank(run, record)
    assert read_ranks(run) == [written[1], written[0]]
    assert rank_log(run, 0) == run.log
    assert rank_log(run, 3) == run.path / "ranks" / "3.log"
    forget_ranks(run)
    assert read_ranks(run) == []


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"pid": "x"}', '{"pid": true}', '{"host": 3}', '{"step": NaN}', "[" * 5000],
)
def test_what_cannot_be_read_is_left_out(run: RunDirectory, content: str) -> None:
    forget_ranks(run)
    rank_file(run, 0).write_text(content)
    write_rank(run, RankRecord(1))
    (run.path / "ranks" / "../x.json").write_text("{}")
    (run.path / "ranks" / "notes.json").write_text("{}")
    assert [record.rank for record in read_ranks(run)] == [1]


def test_odd_values_of_a_record_are_left_out(run: RunDirectory) -> None:
    forget_ranks(run)
    odd = {"error": [1], "values": {"speed": "fast", "share": 0.5}, "rank": 9, "new": 1}
    rank_file(run, 1).write_text(json.dumps(odd))
    assert read_ranks(run) == [RankRecord(1, values={"share": 0.5})]


def test_only_live_processes_of_this_machine_count(run: RunDirectory) -> None:
    forget_ranks(run)
    here, me = socket.gethostname(), psutil.Process()
    write_rank(run, RankRecord(0, here, os.getpid(), me.create_time()))
    write_rank(run, RankRecord(1, here, os.getpid(), me.create_time() - 100))
    write_rank(run, RankRecord(2, "elsewhere", os.getpid(), me.create_time()))
    assert [process.pid for process in processes_here(run)] == [os.getpid()]


def failed(rank: int, what: str, ended: float, *, follows: bool = False) -> RankRecord:
    error = {"what": what, "where": "beta", "next_step": "Do."}
    return RankRecord(rank, pid=100 + rank, ended=ended, error=error, follows=follows)


def test_the_process_with_an_error_of_its_own_is_the_cause() -> None:
    ranks = [
        failed(0, "connection closed", 10.0, follows=True),
        RankRecord(1, pid=101),
        failed(2, "the GPU's memory is full", 9.0),
    ]
    cause = find_cause(ranks)
    assert cause is not None
    assert cause.problem is not None
    assert cause.problem.what == "rank 2: the GPU's memory is full"
    assert (cause.problem.where, cause.problem.next_step) == ("beta", "Do.")
    assert last_words(ranks)[1] == "rank 1 ended at step 0 without a word"


def test_rank_0_speaks_for_all_where_all_fail_together() -> None:
    ranks = [failed(0, "diverged", 10.5), failed(1, "diverged", 10.0)]
    assert find_cause(ranks) == Cause(ranks[0])
    late = [failed(0, "cannot save", 20.0), failed(1, "bad row", 10.0)]
    assert find_cause(late) == Cause(late[1])


def test_a_process_that_was_killed_is_the_cause_of_what_follows() -> None:
    ranks = [failed(0, "gone", 10.0, follows=True), RankRecord(1, pid=101), RankRecord(2, pid=102)]
    assert find_cause(ranks) == Cause(ranks[1])
    assert find_cause(ranks, TORCHRUN) == Cause(ranks[2], -9)


def test_where_all_only_lost_the_others_the_first_is_named(tmp_path: Path) -> None:
    ranks = [failed(0, "peer gone", 10.0, follows=True), failed(1, "peer gone", 9.0, follows=True)]
    cause = find_cause(ranks)
    assert cause is not None
    assert cause.problem is not None
    assert cause.problem.what == "rank 1 lost another process: peer gone"
    assert find_cause([]) is None
    assert find_cause([RankRecord(0, ended=5.0)]) is None


def test_a_rank_of_another_host_has_its_name() -> None:
    assert RankRecord(1, host="node-b").name == "rank 1 on node-b"
    assert RankRecord(1, host=socket.gethostname()).name == "rank 1"
