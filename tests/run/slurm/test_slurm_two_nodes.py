"""One run on two nodes of a real Slurm: as one process would, stopped, requeued, a node lost."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from slurm_spaces import TwoNodes, two_nodes
from tiny_model import write_tiny_recipe
from two_hosts import wait_until

from workbench.base.tail import read_jsonl
from workbench.run.checkpoints import choose, step_of
from workbench.run.directory import RunDirectory
from workbench.run.processes import RUN_VARIABLE

pytestmark = [pytest.mark.model, pytest.mark.long]
STEPS = 30
SILENCE_SECONDS = 8
ENDS = ("finished", "stopped", "failed", "killed", "diverged", "out_of_memory")
SETTINGS = "use_cpu: true\nmax_grad_norm: 0.0\ndata_seed: 3\n"
LOGIN = {"SSH_CONNECTION": "192.0.2.7 50000 192.0.2.8 22"}
"""Who logs in over ssh and submits from there has it in the job, too."""

Begin = Callable[..., RunDirectory]


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    # The path of a socket may have no more than a hundred letters.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    try:
        with two_nodes(folder) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def begin(nodes: TwoNodes, tiny: Path) -> Begin:
    """Starts a run from n1."""

    def start(*words: str, rows: int = 2, **environment: str) -> RunDirectory:
        path = nodes.folder / "tiny.yaml"
        write_tiny_recipe(path, tiny, stages=("sft",), steps=STEPS, more=SETTINGS)
        path.write_text(
            path.read_text()
            .replace("per_device_train_batch_size: 4", f"per_device_train_batch_size: {rows}")
            .replace("save_steps: 2", "save_steps: 4")
            .replace("learning_rate: 1.0e-2", "learning_rate: 5.0e-4")
        )
        environment = {"DPO_WORKBENCH_HOST_SILENCE": str(SILENCE_SECONDS), **environment}
        done = nodes.workbench("run", str(path), *words, "--detach", **environment)
        assert done.returncode == 0, done.stderr
        return RunDirectory(nodes.folder / "home" / "runs" / done.stdout.strip().split()[-1])

    return start


@pytest.fixture
def begin_job(begin: Begin) -> Begin:
    """Submits a run to both nodes."""

    def submit(**environment: str) -> RunDirectory:
        words = ("--slurm", "--nodes", "2", "--mem", "1500", "--time", "30")
        return begin(*words, **LOGIN, **environment)

    return submit


def record(run: RunDirectory) -> dict[str, Any]:
    """run.json as it stands: the pids in it are those of n1."""
    return json.loads(run.record.read_text())


def status(nodes: TwoNodes, run: RunDirectory) -> dict[str, Any]:
    """What `status --json` says on n1, Slurm asked."""
    done = nodes.workbench("status", run.id, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def end(run: RunDirectory) -> dict[str, Any]:
    """The last record, once nothing of the run is at work on either node."""
    wait_until(lambda: record(run)["state"] in ENDS, f"the end: {said(run)}")
    wait_until(lambda: not at_work(run), f"the last process: {at_work(run)}", 40)
    return record(run)


def said(run: RunDirectory) -> str:
    """What the run's logs say."""
    logs = (run.slurm_log, run.log, *run.path.glob("ranks/*.log"))
    return "\n".join(f"{log}:\n{log.read_text()[-3000:]}" for log in logs if log.exists())


def at_work(run: RunDirectory) -> list[list[str]]:
    """Every process of the run, on both nodes: from here one sees into both."""
    lines = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            own = process.environ().get(RUN_VARIABLE) == str(run.path)
            if own or str(run.path) in process.cmdline():
                lines.append(process.cmdline())
    return lines


def losses(run: RunDirectory) -> dict[int, float]:
    """The loss of each step, the last one that was written."""
    return {row["step"]: row["loss"] for row in read_jsonl(run.metrics) if "loss" in row}


def reach(run: RunDirectory, step: int) -> None:
    """Wait until the run has made a step."""
    ended = lambda: record(run)["state"] in ENDS  # noqa: E731
    wait_until(lambda: max(losses(run), default=0) >= step or ended(), f"step {step}: {said(run)}")
    assert not ended(), said(run)


def go_on(nodes: TwoNodes, run: RunDirectory) -> dict[str, Any]:
    """Resume a run, which then finishes."""
    done = nodes.workbench("resume", run.id, "--detach")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: record(run)["state"] not in ENDS, "the new start")
    last = end(run)
    assert last["state"] == "finished", said(run)
    return last


@pytest.fixture(scope="module")
def alone(begin: Begin) -> dict[int, float]:
    """The losses of one process with twice the batch."""
    run = begin(rows=4)
    assert end(run)["state"] == "finished", said(run)
    return losses(run)


def test_two_nodes_train_as_one_process_does(
    nodes: TwoNodes, begin_job: Begin, alone: dict[int, float]
) -> None:
    run = begin_job()
    last = end(run)
    assert last["state"] == "finished", said(run)
    assert (last["hosts"], last["processes"]) == (["n1", "n2"], 2)
    found = losses(run)
    assert list(found) == list(range(1, STEPS + 1))
    assert found == pytest.approx(alone, abs=1e-5)
    ranks = [json.loads((run.path / "ranks" / f"{n}.json").read_text()) for n in (0, 1)]
    assert [rank["host"] for rank in ranks] == ["n1", "n2"]
    wait_until(lambda: not nodes.command("squeue", "--noheader"), "the job's end", 30)


def test_a_stop_leaves_one_checkpoint_and_resume_goes_on(
    nodes: TwoNodes, begin_job: Begin, alone: dict[int, float]
) -> None:
    run = begin_job()
    reach(run, 5)
    done = nodes.workbench("stop", run.id)
    assert done.returncode == 0, done.stderr
    last = end(run)
    assert last["state"] == "stopped", said(run)
    chosen = choose(run, "sft")
    assert chosen.folder is not None
    assert chosen.skipped == ()
    assert step_of(chosen.folder) == last["step"]
    assert go_on(nodes, run)["slurm_job"] != last["slurm_job"]
    assert losses(run) == pytest.approx(alone, abs=1e-5)


def test_a_plain_scancel_leaves_a_checkpoint(nodes: TwoNodes, begin_job: Begin) -> None:
    """It signals all that the job has on both nodes, srun and the agent behind it too."""
    run = begin_job()
    reach(run, 5)
    nodes.command("scancel", record(run)["slurm_job"])
    last = end(run)
    assert last["state"] == "stopped", said(run)
    chosen = choose(run, "sft")
    assert chosen.folder is not None
    assert chosen.skipped == ()
    assert step_of(chosen.folder) == last["step"]


def test_a_job_near_its_limit_goes_on_by_itself(
    nodes: TwoNodes, begin_job: Begin, alone: dict[int, float]
) -> None:
    run = begin_job()
    reach(run, 5)
    job = record(run)["slurm_job"]
    nodes.command("scancel", "--batch", "--signal=USR1", job)
    wait_until(lambda: record(run)["state"] == "queued", f"the queue: {said(run)}")
    wait_until(lambda: not at_work(run), f"the last process: {at_work(run)}", 40)
    nodes.let_begin(job)
    last = end(run)
    assert (last["state"], last["slurm_job"]) == ("finished", job), said(run)
    assert losses(run) == pytest.approx(alone, abs=1e-5)


def test_a_node_that_is_cut_off_ends_the_run_with_its_name(
    nodes: TwoNodes, begin_job: Begin, alone: dict[int, float]
) -> None:
    run = begin_job()
    reach(run, 5)
    began = time.monotonic()
    with cut_off(nodes):
        last = end(run)
    print(f"from the pulled cable to the end record and no process: {time.monotonic() - began:.1f}")
    assert last["state"] == "failed", said(run)
    assert "host n2 is lost: nothing was heard of it for" in last["error"]["what"]
    assert "On nodes that Slurm chooses: dpo-workbench resume" in last["error"]["next_step"]
    assert choose(run, "sft").folder is not None
    go_on(nodes, run)
    assert losses(run) == pytest.approx(alone, abs=1e-5)


def test_a_node_that_dies_ends_the_run_with_its_name(
    nodes: TwoNodes, begin_job: Begin, alone: dict[int, float]
) -> None:
    run = begin_job()
    reach(run, 5)
    began = time.monotonic()
    nodes.crash("n2")
    last = end(run)
    print(f"from the dead node to the end record and no process: {time.monotonic() - began:.1f}")
    assert last["state"] in ("failed", "killed"), said(run)
    assert "n2" in last["error"]["what"]
    assert choose(run, "sft").folder is not None
    nodes.begin_node("n2")
    go_on(nodes, run)
    assert losses(run) == pytest.approx(alone, abs=1e-5)


def test_slurm_requeues_a_run_whose_node_it_misses_first(
    nodes: TwoNodes, begin_job: Begin, alone: dict[int, float]
) -> None:
    nodes.set("SlurmdTimeout", 10)
    try:
        run = begin_job(DPO_WORKBENCH_HOST_SILENCE="120")
        reach(run, 5)
        job, began = record(run)["slurm_job"], time.monotonic()
        state = ("squeue", "--noheader", "--format=%T", f"--jobs={job}")
        with cut_off(nodes):
            wait_until(lambda: nodes.command(*state).strip() == "PENDING", "the requeue")
            print(f"from the pulled cable to the requeue: {time.monotonic() - began:.1f}")
            assert status(nodes, run)["state"] == "queued"
            assert choose(run, "sft").folder is not None
        # So impatient a controller misses a node that is only busy, too.
        nodes.set("SlurmdTimeout", 300)
        nodes.await_nodes()
        nodes.let_begin(job)
        wait_until(lambda: record(run)["state"] not in ENDS, f"the new start: {said(run)}")
        last = end(run)
    finally:
        nodes.set("SlurmdTimeout", 300)
    assert (last["state"], last["slurm_job"]) == ("finished", job), said(run)
    assert losses(run) == pytest.approx(alone, abs=1e-5)


@contextlib.contextmanager
def cut_off(nodes: TwoNodes) -> Iterator[None]:
    """The cable between the nodes is pulled, until the node is put to work again."""
    nodes.host("n2").link("down")
    try:
        yield
    finally:
        nodes.host("n2").link("up")
        # Slurm would look after it in a minute or two.
        nodes.restart_daemon("n2")
