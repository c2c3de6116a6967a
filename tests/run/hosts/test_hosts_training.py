"""Real runs on two hosts: as one host would, stopped, cut off, and without shared files."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from tiny_model import write_tiny_recipe
from two_hosts import TwoHosts, wait_until

from workbench.base.tail import read_jsonl
from workbench.run.checkpoints import choose, file_hash, step_of
from workbench.run.directory import RunDirectory
from workbench.run.processes import processes_of

pytestmark = pytest.mark.model
STEPS = 30
SILENCE_SECONDS = 8
ENDS = ("finished", "stopped", "failed", "killed", "diverged", "out_of_memory")
SETTINGS = "use_cpu: true\nmax_grad_norm: 0.0\ndata_seed: 3\n"

Begin = Callable[..., RunDirectory]


@pytest.fixture(scope="module")
def recipe(hosts: TwoHosts, tiny: Path) -> Path:
    path = hosts.folder / "tiny.yaml"
    text = write_tiny_recipe(path, tiny, stages=("sft",), steps=STEPS, more=SETTINGS).read_text()
    path.write_text(
        text.replace("per_device_train_batch_size: 4", "per_device_train_batch_size: 2")
        .replace("save_steps: 2", "save_steps: 4")
        .replace("learning_rate: 1.0e-2", "learning_rate: 5.0e-4")
    )
    return path


@pytest.fixture(scope="module")
def begin(hosts: TwoHosts, recipe: Path) -> Begin:
    """Starts a run from hosta."""

    def start(*words: str, **environment: str) -> RunDirectory:
        silence = {"DPO_WORKBENCH_HOST_SILENCE": str(SILENCE_SECONDS)}
        done = hosts.workbench("run", str(recipe), *words, "--detach", **silence, **environment)
        assert done.returncode == 0, done.stderr
        return RunDirectory(hosts.folder / "home" / "runs" / done.stdout.strip())

    return start


def record(run: RunDirectory) -> dict[str, Any]:
    """run.json as it stands: the pids in it are those of hosta."""
    return json.loads(run.record.read_text())


def end(run: RunDirectory) -> dict[str, Any]:
    """The last record, once nothing of the run is at work on either host."""
    wait_until(lambda: record(run)["state"] in ENDS, f"the end: {run.log.read_text()[-3000:]}")
    wait_until(lambda: not workers(run), f"the last process: {workers(run)}", 30)
    return record(run)


def workers(run: RunDirectory) -> list[list[str]]:
    """Every process of the run, of both hosts: this one sees into both."""
    found = [process for process in psutil.process_iter() if _belongs(process, run)]
    lines = []
    for process in {*found, *processes_of(run)}:
        with contextlib.suppress(psutil.Error):
            lines.append(process.cmdline())
    return [line for line in lines if line]


def _belongs(process: psutil.Process, run: RunDirectory) -> bool:
    with contextlib.suppress(psutil.Error):
        return str(run.path) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    return False


def losses(run: RunDirectory) -> dict[int, float]:
    """The loss of each step, the last one that was written."""
    return {row["step"]: row["loss"] for row in read_jsonl(run.metrics) if "loss" in row}


def reach(run: RunDirectory, step: int) -> None:
    """Wait until the run has made a step."""
    ended = lambda: record(run)["state"] in ENDS  # noqa: E731
    wait_until(lambda: max(losses(run), default=0) >= step or ended(), f"step {step}")
    assert not ended(), run.log.read_text()[-4000:]


@pytest.fixture(scope="module")
def alone(begin: Begin) -> dict[int, float]:
    """The losses of one host with two processes."""
    run = begin("--set", "num_processes=2")
    assert end(run)["state"] == "finished", run.log.read_text()[-4000:]
    return losses(run)


def test_two_hosts_train_as_one_does(begin: Begin, alone: dict[int, float]) -> None:
    run = begin("--hosts", "hosta,hostb")
    last = end(run)
    assert last["state"] == "finished", run.log.read_text()[-4000:]
    assert last["hosts"] == ["hosta", "hostb"]
    assert last["processes"] == 2
    found = losses(run)
    assert list(found) == list(range(1, STEPS + 1))
    assert found == pytest.approx(alone, abs=1e-5)
    assert json.loads((run.path / "ranks" / "1.json").read_text())["host"] == "hostb"


@pytest.mark.long
def test_a_stop_leaves_one_checkpoint_and_resume_goes_on(
    hosts: TwoHosts, begin: Begin, alone: dict[int, float]
) -> None:
    run = begin("--hosts", "hosta,hostb")
    reach(run, 5)
    done = hosts.workbench("stop", run.id)
    assert done.returncode == 0, done.stderr
    last = end(run)
    assert last["state"] == "stopped", run.log.read_text()[-4000:]
    chosen = choose(run, "sft")
    assert chosen.folder is not None
    assert chosen.skipped == ()
    assert step_of(chosen.folder) == last["step"]
    done = hosts.workbench("resume", run.id, "--detach")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: record(run)["state"] not in ENDS, "the new start")
    assert end(run)["state"] == "finished", run.log.read_text()[-4000:]
    assert losses(run) == pytest.approx(alone, abs=1e-5)


def test_the_cable_is_pulled(hosts: TwoHosts, begin: Begin, alone: dict[int, float]) -> None:
    run = begin("--hosts", "hosta,hostb")
    reach(run, 5)
    began = time.monotonic()
    hosts.a.link("down")
    try:
        last = end(run)
    finally:
        hosts.a.link("up")
    print(f"from the pulled cable to the end record and no process: {time.monotonic() - began:.1f}")
    assert last["state"] == "failed", run.log.read_text()[-4000:]
    assert "host hostb is lost: nothing was heard of it for" in last["error"]["what"]
    assert f"dpo-workbench resume {run.id}" in last["error"]["next_step"]
    assert time.monotonic() - began < SILENCE_SECONDS + 30
    folder = choose(run, "sft").folder
    assert folder is not None
    done = hosts.workbench("resume", run.id, "--detach")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: record(run)["state"] not in ENDS, "the new start")
    assert end(run)["state"] == "finished", run.log.read_text()[-4000:]
    assert losses(run) == pytest.approx(alone, abs=1e-5)


@pytest.mark.long
def test_ssh_alone_is_killed_and_another_host_goes_on(
    hosts: TwoHosts, begin: Begin, alone: dict[int, float]
) -> None:
    run = begin("--hosts", "hosta,hostb")
    reach(run, 5)
    clients = [
        process
        for process in psutil.process_iter()
        if process.name() == "ssh" and any(str(run.path) in word for word in process.cmdline())
    ]
    assert len(clients) == 1
    began = time.monotonic()
    clients[0].kill()
    last = end(run)
    print(f"from the killed ssh to the end record and no process: {time.monotonic() - began:.1f}")
    assert last["state"] == "failed", run.log.read_text()[-4000:]
    assert "host hostb is lost: its connection has ended" in last["error"]["what"]
    assert choose(run, "sft").folder is not None
    done = hosts.workbench("resume", run.id, "--hosts", "hosta,b,c")
    assert done.returncode == 2
    assert "the run has 2 hosts, 3 are named" in done.stderr
    text = hosts.ssh_config.read_text()
    hosts.ssh_config.write_text(text + text.replace("Host hostb", "Host hostc"))
    try:
        done = hosts.workbench("resume", run.id, "--hosts", "hosta,hostc", "--detach")
        assert done.returncode == 0, done.stderr
        wait_until(lambda: record(run)["state"] not in ENDS, "the new start")
        last = end(run)
    finally:
        hosts.ssh_config.write_text(text)
    assert last["state"] == "finished", run.log.read_text()[-4000:]
    assert last["hosts"] == ["hosta", "hostc"]
    assert losses(run) == pytest.approx(alone, abs=1e-5)


@pytest.mark.long
def test_a_process_of_the_other_host_is_killed(hosts: TwoHosts, begin: Begin) -> None:
    run = begin("--hosts", "hosta,hostb")
    reach(run, 5)
    pid = json.loads((run.path / "ranks" / "1.json").read_text())["pid"]
    hosts.b.run("kill", "-KILL", str(pid))
    last = end(run)
    assert last["state"] == "killed", run.log.read_text()[-4000:]
    assert "rank 1 on hostb was killed" in last["error"]["what"]


@pytest.mark.long
def test_the_agent_is_killed(hosts: TwoHosts, begin: Begin) -> None:
    run = begin("--hosts", "hosta,hostb")
    reach(run, 5)
    agents = [
        process
        for process in psutil.process_iter()
        if "workbench.run.hosts.agent" in process.cmdline()
        and process.cmdline()[0] == sys.executable
    ]
    assert len(agents) == 1
    os.kill(agents[0].pid, signal.SIGKILL)
    last = end(run)
    assert last["state"] == "failed", run.log.read_text()[-4000:]
    assert "host hostb is lost" in last["error"]["what"]


@pytest.mark.long
def test_hosts_that_share_no_files(hosts: TwoHosts, tiny: Path) -> None:
    path = write_tiny_recipe(hosts.folder / "both.yaml", tiny, steps=12, more="use_cpu: true\n")
    home = hosts.folder / "home"
    with hosts.b.covered(home):
        done = hosts.workbench("run", str(path), "--hosts", "hosta,hostb", "--detach")
        assert done.returncode == 0, done.stderr
        run = RunDirectory(home / "runs" / done.stdout.strip())
        reach(run, 2)
        assert hosts.workbench("stop", run.id).returncode == 0
        assert end(run)["state"] == "stopped", run.log.read_text()[-4000:]
        assert "hostb does not share this host's files: sent" in run.log.read_text()
        done = hosts.workbench("resume", run.id, "--detach")
        assert done.returncode == 0, done.stderr
        wait_until(lambda: record(run)["state"] not in ENDS, "the new start")
        assert end(run)["state"] == "finished", run.log.read_text()[-4000:]
        # Each stage began on both with what the one before had left, and ended with the same.
        for stage in ("sft", "dpo"):
            file = run.output(stage) / "adapter_model.safetensors"
            there = hosts.b.run("sha256sum", str(file)).stdout.split()[0]
            assert there == file_hash(file)
        copy = json.loads(hosts.b.run("cat", str(run.record)).stdout)
        logged = hosts.b.run("cat", str(run.metrics)).stdout
    assert (copy["state"], copy["host"]) == ("finished", "hostb")
    assert len([line for line in logged.splitlines() if '"loss"' in line]) >= 24
    assert json.loads((run.path / "ranks" / "1.json").read_text())["host"] == "hostb"
    assert "train_runtime" in (run.path / "ranks" / "1.log").read_text()


@pytest.mark.long
def test_each_host_is_started_by_hand(
    hosts: TwoHosts, recipe: Path, begin: Begin, alone: dict[int, float]
) -> None:
    text = recipe.read_text()
    more = {"num_machines": 2, "num_processes": 2, "main_process_ip": "10.77.0.1"}
    body = yaml.safe_dump({**more, "main_process_port": 29531})
    recipe.write_text(text + body)
    home = hosts.folder / "second"
    try:
        first = begin("--set", "machine_rank=0")
        environment = {**hosts.environment, "DPO_WORKBENCH_HOME": str(home)}
        done = hosts.b.run(
            *(sys.executable, "-m", "workbench", "run", str(recipe), "--detach"),
            *("--set", "machine_rank=1"),
            environment=environment,
        )
    finally:
        recipe.write_text(text)
    assert done.returncode == 0, done.stderr
    second = RunDirectory(home / "runs" / done.stdout.strip())
    for run, host in ((first, "hosta"), (second, "hostb")):
        last = end(run)
        assert (last["state"], last["host"]) == ("finished", host), run.log.read_text()[-4000:]
        assert losses(run) == pytest.approx(alone, abs=1e-5)
        folder = choose(run, "sft").folder
        assert folder is not None
        assert step_of(folder) == STEPS
