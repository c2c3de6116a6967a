"""The commands and the app with runs in a real queue."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm_cluster import Cluster
from slurm_runs import Submit, await_record, await_steps
from textual.widgets import Static
from tiny_model import write_tiny_recipe

from workbench.base.paths import Paths
from workbench.cli import main
from workbench.run.directory import RunDirectory, list_runs
from workbench.run.processes import processes_of
from workbench.run.record import is_submitted, read_record
from workbench.run.slurm.job import job_statuses
from workbench.run.slurm.nodes import starter
from workbench.run.slurm.status import read_status
from workbench.tui.app import WorkbenchApp

pytestmark = pytest.mark.model
WAIT_SECONDS = 60.0


@pytest.fixture
def recipe(tiny: Path, tmp_path: Path, home: Paths, cluster: Cluster) -> Path:
    """A recipe whose section sends it to a partition that starts nothing."""
    section = "slurm:\n  partition: 'off'\n  mem: 1500\n"
    return write_tiny_recipe(tmp_path / "tiny.yaml", tiny, stages=("dpo",), more=section)


def only_run(home: Paths) -> RunDirectory:
    (run,) = list_runs(home)
    return run


def test_a_section_submits_and_the_command_line_wins(
    recipe: Path, home: Paths, capsys: pytest.CaptureFixture[str], cluster: Cluster
) -> None:
    command = ["run", str(recipe), "--detach", "--json", "--time", "7", "--cpus-per-task", "2"]
    assert main([*command, "--sbatch", "comment=a b", "--setup", "true"]) == 0
    told = json.loads(capsys.readouterr().out)
    shown = cluster.command("scontrol", "show", "job", told["slurm_job"])
    for words in ("Partition=off", "TimeLimit=00:07:00", "CPUs/Task=2", "Comment=a b"):
        assert words in shown
    assert "Requeue=1" in shown
    assert "\ntrue\n" in only_run(home).batch_script.read_text()


def test_variables_of_sbatch_do_not_win_over_the_script(
    recipe: Path, home: Paths, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SBATCH_PARTITION", "work"), ("SBATCH_TIMELIMIT", "3"),
                        ("SBATCH_OUTPUT", "/nowhere"), ("SBATCH_ARRAY_INX", "1-3")):  # fmt: skip
        monkeypatch.setenv(name, value)
    assert main(["run", str(recipe), "--detach", "--time", "9"]) == 0
    run = only_run(home)
    shown = cluster.command("scontrol", "show", "job", read_record(run).slurm_job)
    assert "Partition=off" in shown
    assert "TimeLimit=00:09:00" in shown
    assert "ArrayJobId" not in shown
    assert f"{run.id}/slurm.log" in shown
    assert "StdOut=/nowhere" not in shown


def test_all_views_tell_of_a_waiting_run(
    recipe: Path, home: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(recipe), "--detach"]) == 0
    run = only_run(home)
    await_record(run, lambda r: (s := read_status(run)) and s.reason)
    job = read_record(run).slurm_job
    line = f"job {job} pending in off, 1 of 1, PartitionDown: its partition is down"
    capsys.readouterr()
    assert main(["status", run.id]) == 0
    assert f"slurm    {line}" in capsys.readouterr().out
    assert main(["status", run.id, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["slurm_job"]) == ("queued", job)
    assert (told["slurm"]["reason"], told["slurm"]["position"]) == ("PartitionDown", 1)
    assert main(["runs"]) == 0
    assert f"queued, job {job}, 1 of 1" in capsys.readouterr().out
    assert main(["rm", run.id, "--yes"]) == 1
    assert "the run is queued. Stop it first." in capsys.readouterr().err
    for words in (["--queue"], ["--hosts", "localhost,b"]):
        assert main(["resume", run.id, *words]) == 2
        assert "a job of Slurm's" in capsys.readouterr().err
    assert main(["stop", run.id]) == 0
    assert f"Job {job} is out of Slurm's queue." in capsys.readouterr().out
    assert main(["rm", run.id, "--yes"]) == 0


@pytest.mark.parametrize("command", ["run", "watch"])
def test_ctrl_c_leaves_a_waiting_run_alone(command: str, recipe: Path, home: Paths) -> None:
    if command == "watch":
        assert main(["run", str(recipe), "--detach"]) == 0
    words = [command, str(recipe) if command == "run" else "last"]
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        said = ""
        while "PartitionDown" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=WAIT_SECONDS) == 130
    finally:
        process.kill()
        process.communicate()
    assert is_submitted(read_record(only_run(home)))


def test_a_refused_run_leaves_no_directory(
    recipe: Path, home: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(recipe), "--partition", "nope"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("partition nope: there is no such partition")
    assert "These exist: work, off." in said
    assert main(["run", str(recipe), "--mem", "900G"]) == 1
    assert "no node has so much memory" in capsys.readouterr().err
    assert list_runs(home) == []


@pytest.mark.long
def test_a_controller_that_is_gone_is_told_once(
    submit: Submit, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, cluster: Cluster,
) -> None:  # fmt: skip
    run = submit(partition="off")
    text = cluster.config.read_text()
    port = text.partition("SlurmctldPort=")[2].split()[0]
    other = tmp_path / "other.conf"
    other.write_text(text.replace(f"SlurmctldPort={port}", "SlurmctldPort=1"))
    monkeypatch.setenv("SLURM_CONF", str(other))
    assert main(["stop", run.id]) == 1
    assert "Slurm's controller does not answer" in capsys.readouterr().err
    assert main(["status", run.id]) == 0
    shown = capsys.readouterr().out
    assert "queued" in shown
    assert "Slurm's controller does not answer" in shown


def test_a_job_that_slurm_does_not_know_is_gone(cluster: Cluster) -> None:
    found = job_statuses(["999999"])
    assert found["999999"].state == "GONE"


def test_the_first_host_starts_a_process_on_another(submit: Submit, cluster: Cluster) -> None:
    """A job on two nodes: its hosts are in run.json, and the starter reaches the other one."""
    run = submit(4000, nodes="2", setup="sleep 0")
    record = await_record(run, lambda r: r.state not in ("queued",))
    assert record.hosts == ["n1", "n2"]
    step = [*starter("n2"), f"--jobid={record.slurm_job}", "--chdir=/"]
    process = subprocess.Popen(
        [*step, "sh", "-c", "read line; echo $SLURMD_NODENAME got $line"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    out, _ = process.communicate("hello\n", timeout=WAIT_SECONDS)
    assert out == "n2 got hello\n"


async def test_the_app_shows_why_a_run_waits(recipe: Path, home: Paths) -> None:
    assert main(["run", str(recipe), "--detach"]) == 0
    run = only_run(home)
    app = WorkbenchApp(home, screen="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        deadline = time.monotonic() + WAIT_SECONDS
        while not any("PartitionDown" in row.waiting for row in app.rows):
            assert time.monotonic() < deadline
            await pilot.pause(0.1)
        row = app.rows[0]
        assert (row.submitted, row.resumable, row.active) == (True, False, False)
        while not any(
            "PartitionDown: its partition is" in str(widget.render())
            for widget in app.screen.query(Static)
        ):
            assert time.monotonic() < deadline
            await pilot.pause(0.1)
        app.actions.stop(row)
        await pilot.pause()
        await pilot.press("y")
        while app.rows[0].state != "stopped":
            assert time.monotonic() < deadline
            await pilot.pause(0.1)
    assert read_record(run).state == "stopped"


@pytest.mark.long
def test_nothing_is_left_of_a_stopped_job(submit: Submit, cluster: Cluster) -> None:
    run = submit(4000)
    record = await_steps(run)
    assert main(["stop", run.id, "--kill"]) == 0
    record = await_record(run, lambda r: r.state == "killed" and not processes_of(run))
    deadline = time.monotonic() + WAIT_SECONDS
    while cluster.command("squeue", "--noheader", f"--jobs={record.slurm_job}").strip():
        assert time.monotonic() < deadline
        time.sleep(0.1)
