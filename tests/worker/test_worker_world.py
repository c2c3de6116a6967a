"""Where a process stands among those that train together, and what it says of its end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import read_jsonl
from workbench.recipe.recipe import Recipe
from workbench.run.directory import RunDirectory, create_run
from workbench.run.ranks import forget_ranks, read_ranks
from workbench.run.record import read_record
from workbench.worker.rank_file import RankFile, is_of_a_peer
from workbench.worker.run_writer import SilentWriter
from workbench.worker.world import World

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}


@pytest.fixture
def run(make_recipe: Callable[..., Recipe], paths: Paths) -> RunDirectory:
    return create_run(paths, make_recipe())


def test_alone_without_a_launcher() -> None:
    world = World.from_environment({"RANK": "x"})
    assert (world.rank, world.size, world.is_shared, world.writes) == (0, 1, False, True)
    assert (world.any(True), world.any(False), world.most(7), world.share("a")) == (
        True,
        False,
        7,
        "a",
    )
    world.wait()
    world.leave()


def test_as_torchrun_has_told_it() -> None:
    world = World.from_environment(TORCHRUN)
    assert (world.rank, world.size, world.local_rank) == (3, 4, 1)
    assert (world.is_shared, world.writes, world.spreads_weights) == (True, False, False)
    assert World.from_environment({**TORCHRUN, "RANK": "0"}).writes
    assert World.from_environment({**TORCHRUN, "ACCELERATE_USE_FSDP": "true"}).spreads_weights
    assert not World.from_environment({**TORCHRUN, "ACCELERATE_USE_FSDP": "false"}).spreads_weights


def test_the_first_process_of_a_host_with_a_run_directory_of_its_own_writes_it() -> None:
    own = {**TORCHRUN, "DPO_WORKBENCH_OWN_HOST": "1"}
    assert not World.from_environment(own).writes
    assert World.from_environment({**own, "LOCAL_RANK": "0"}).writes


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]"),
            True,
        ),
        (RuntimeError("NCCL communicator was aborted on rank 1."), True),
        (RuntimeError("CUDA out of memory"), False),
        (ConnectionRefusedError("the model hub"), False),
        (ProblemError(Problem("no rows")), False),
    ],
)
def test_an_error_that_only_says_that_another_is_gone(
    error: BaseException, *, expected: bool
) -> None:
    assert is_of_a_peer(error) is expected
    wrapped = ValueError("outer")
    wrapped.__cause__ = error
    assert is_of_a_peer(wrapped) is expected


def test_the_record_of_a_process(run: RunDirectory) -> None:
    forget_ranks(run)
    file = RankFile(run, 1)
    file.tick(5)
    file.tell({"tokens_per_second": 3.0})
    (record,) = read_ranks(run)
    assert (record.rank, record.step, record.ended) == (1, 5, 0.0)
    assert record.values == {"tokens_per_second": 3.0}
    file.end(RuntimeError("gloo: gone"), Problem("it is gone", "here", "Resume."), "failed")
    (record,) = read_ranks(run)
    assert record.error == {"what": "it is gone", "where": "here", "next_step": "Resume."}
    assert (record.follows, record.state) == (True, "failed")
    assert record.ended > 0


def test_a_run_of_one_process_has_no_such_record(run: RunDirectory) -> None:
    RankFile(run, None).end()
    assert read_ranks(run) == []


def test_a_process_beside_the_writer_changes_nothing(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_record(run)
    writer = SilentWriter(run, interruptible=False)
    writer.note("a sentence")
    writer.event("stage", stage="dpo")
    writer.keep(run.scores, {"a": 1})
    assert writer.metrics("dpo", 1, {"loss": float("nan")}) == ["loss"]
    writer.end("failed", Problem("no"))
    assert read_record(run) == before
    assert not run.metrics.exists()
    assert not run.scores.exists()
    assert read_jsonl(run.metrics) == []
    assert "a sentence" in capsys.readouterr().out
