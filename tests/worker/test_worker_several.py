"""Several processes that train one run, as a user gets them: real launcher, real gloo."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_model import write_tiny_data
from worker_helpers import MakeRun, log_rows, losses, train, wait_for_end, wait_until

from workbench.base.tail import read_jsonl
from workbench.run.checkpoints import verify
from workbench.run.directory import RunDirectory
from workbench.run.launch import describe_error, launch, resume, stop
from workbench.run.processes import end_processes, processes_of
from workbench.run.ranks import read_ranks
from workbench.run.record import read_record

pytestmark = pytest.mark.model

LONG = 300


@pytest.fixture
def several(new_run: MakeRun) -> Iterator[Any]:
    """Makes runs with enough rows for 20 steps of full batches; none of them is left at work."""
    made: list[RunDirectory] = []

    def make(*, batch: int, processes: int = 2, more: str = "", **options: Any) -> RunDirectory:
        settings = f"num_processes: {processes}\n{more}" if processes > 1 else more
        run = new_run(more=settings, **options)
        config = run.recipe.read_text().replace("batch_size: 4", f"batch_size: {batch}")
        run.recipe.write_text(config)
        for stage in options.get("stages", ("sft", "dpo")):
            text = run.config(stage).read_text()
            text = text.replace("batch_size: 4", f"batch_size: {batch}")
            run.config(stage).write_text(text)
        write_tiny_data(Path(read_record(run).recipe_path).parent / "data", pairs=112)
        made.append(run)
        return run

    yield make
    for run in made:
        supervisor = read_record(run).supervisor_pid
        end_processes(run)
        if supervisor and psutil.pid_exists(supervisor):
            psutil.Process(supervisor).wait(timeout=30)


def at_step(run: RunDirectory, step: int) -> None:
    """Wait until both processes have done some steps."""

    def there() -> bool:
        ranks = read_ranks(run)
        return len(ranks) == 2 and read_record(run).step >= step and not ranks[1].ended

    wait_until(there, f"step {step}")


def test_two_processes_equal_one_with_twice_the_batch(several: Any) -> None:
    """Both stages, with gradients accumulated."""
    more = "gradient_accumulation_steps: 2\n"
    one = several(batch=2, processes=1, steps=20, more=more)
    two = several(batch=1, steps=20, more=more)
    for run in (one, two):
        assert train(run).state == "finished", run.log.read_text()
    for stage in ("sft", "dpo"):
        expected, found = log_rows(one, stage), log_rows(two, stage)
        assert len(found) == 20
        for alone, together in zip(expected, found, strict=True):
            assert together["loss"] == pytest.approx(alone["loss"], rel=1e-5, abs=1e-5)
            assert together["grad_norm"] == pytest.approx(alone["grad_norm"], rel=1e-4)
            assert together["samples"] == alone["samples"] == 4
            assert together["num_tokens"] == alone["num_tokens"]
        assert two.adapter(stage) is not None
        assert all(0 < row["ranks/exposed_share"] < 1 for row in found[1:])
        assert {row["ranks/slowest"] for row in found[1:]} <= {0.0, 1.0}
    answers = [row["side"] for row in read_jsonl(two.samples) if not row.get("checkpoint")]
    assert answers == ["base", "base", "sft", "sft", "dpo", "dpo"]
    assert read_record(two).processes == 2
    assert [rank.step for rank in read_ranks(two)] == [20, 20]
    assert all(rank.values["tokens_per_second"] > 0 for rank in read_ranks(two))
    assert (two.path / "ranks" / "1.log").read_text().count("reading the data") == 2


def test_whatever_happens_a_resume_goes_on_with_the_very_losses(several: Any) -> None:
    """One run, stopped by its supervisor and by a rank, its rank killed, its launcher killed."""
    settings: dict[str, Any] = {"batch": 2, "stages": ("dpo",), "steps": 100}
    whole = several(**settings)
    assert train(whole).state == "finished"
    run = several(**settings)
    launch(run)
    at_step(run, 3)
    stop(run)
    step = stopped_step(run)
    resume(run)
    at_step(run, step + 3)
    os.kill(read_ranks(run)[1].pid, signal.SIGTERM)
    step = stopped_step(run)
    resume(run)
    at_step(run, step + 3)
    os.kill(read_ranks(run)[1].pid, signal.SIGKILL)
    record = wait_for_end(run)
    assert record.state == "killed", run.log.read_text()
    assert "rank 1 was killed from outside (SIGKILL)" in describe_error(record)
    assert "Resume it" in describe_error(record)
    assert processes_of(run) == []
    resume(run)
    at_step(run, record.step + 3)
    os.kill(psutil.Process(read_ranks(run)[0].pid).ppid(), signal.SIGKILL)
    record = wait_for_end(run)
    assert record.state == "killed", run.log.read_text()
    assert "the launcher of the processes was killed" in describe_error(record)
    check_checkpoint(run)
    resume(run)
    assert wait_for_end(run).state == "finished", run.log.read_text()
    assert losses(run, "dpo") == pytest.approx(losses(whole, "dpo"), rel=1e-6)


def stopped_step(run: RunDirectory) -> int:
    """The step at which a run has stopped as it should."""
    record = wait_for_end(run)
    assert (record.state, record.exit_code) == ("stopped", 0), run.log.read_text()
    check_checkpoint(run)
    return record.step


def check_checkpoint(run: RunDirectory) -> None:
    """The last step is kept as a whole, with the random state of each process, and all is over."""
    record = read_record(run)
    checkpoint = Path(record.stopped_at)
    assert checkpoint.name == f"checkpoint-{record.step}"
    assert verify(checkpoint, deep=True) == ""
    assert all((checkpoint / f"rng_state_{rank}.pth").is_file() for rank in (0, 1))
    assert processes_of(run) == []


@pytest.mark.long
def test_a_kill_ends_all_at_once(several: Any) -> None:
    run = several(batch=2, stages=("dpo",), steps=LONG)
    launch(run)
    at_step(run, 1)
    stop(run, kill=True)
    record = wait_for_end(run)
    assert record.state == "killed"
    assert "killed on request" in describe_error(record)
    assert processes_of(run) == []


def test_a_stop_while_the_processes_start(several: Any) -> None:
    run = several(batch=2, stages=("dpo",), steps=LONG)
    launch(run)
    wait_until(lambda: (run.path / "accelerate.yaml").is_file(), "the launch config")
    stop(run)
    assert wait_for_end(run).state == "stopped"
    assert processes_of(run) == []


@pytest.mark.long
def test_a_diverged_run_says_so_once(several: Any) -> None:
    run = several(batch=2, stages=("dpo",), steps=20, more="max_grad_norm: 0\n")
    for file in (run.config("dpo"), run.recipe):
        file.write_text(file.read_text().replace("0.01", "1.0e+30").replace("1.0e-2", "1.0e+30"))
    record = train(run)
    assert record.state == "diverged", run.log.read_text()
    assert "diverged at step" in describe_error(record)
    assert processes_of(run) == []


@pytest.mark.long
@pytest.mark.parametrize("config", ["zero1", "zero2", "zero3"])
def test_deepspeed_trains_and_resumes(several: Any, config: str) -> None:
    """On a CPU too, where it is installed; its checkpoints hold objects of its own."""
    pytest.importorskip("deepspeed", reason="deepspeed is not installed")
    one = several(batch=4, processes=1, steps=20)
    two = several(batch=2, steps=20, more=f"accelerate_config: {config}\n")
    for run in (one, two):
        assert train(run).state == "finished", run.log.read_text()
    for stage in ("sft", "dpo"):
        assert losses(two, stage) == pytest.approx(losses(one, stage), abs=1e-5)
    long = several(batch=2, stages=("dpo",), steps=60, more=f"accelerate_config: {config}\n")
    launch(long)
    at_step(long, 3)
    stop(long)
    step = stopped_step(long)
    resume(long)
    assert wait_for_end(long).state == "finished", long.log.read_text()
    events = [row for row in read_jsonl(long.metrics) if row.get("event") == "resume"]
    assert [row["step"] for row in events] == [step]
