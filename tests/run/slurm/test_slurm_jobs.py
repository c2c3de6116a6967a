"""Runs as jobs of a real Slurm: submitted, followed, stopped, requeued, ended from outside."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest
from slurm_cluster import Cluster
from slurm_runs import Submit, await_end, await_record, await_steps, logged_steps, words

from workbench.base.problems import ProblemError
from workbench.run.launch import delete, resume, stop
from workbench.run.record import is_submitted, read_record
from workbench.run.slurm.job import ask
from workbench.run.slurm.status import job_words, read_status

pytestmark = pytest.mark.model

MANY = 4000
"""Steps of a run that somebody ends before it is through."""


def test_a_submitted_run_trains_and_finishes(submit: Submit) -> None:
    run = submit(setup="echo setup on $SLURM_JOB_ID")
    job = read_record(run).slurm_job
    assert job.isdecimal()
    record = await_end(run, "finished")
    assert (record.slurm_job, record.step, record.hosts) == (job, 4, ["n1"])
    assert run.adapter("dpo") is not None
    assert run.slurm_log.read_text() == f"setup on {job}\n"
    assert "loading the libraries" in run.log.read_text()


def test_the_script_is_sound_and_says_what_it_does(submit: Submit) -> None:
    run = submit(partition="off")
    text = run.batch_script.read_text()
    assert subprocess.run(["bash", "-n", str(run.batch_script)], check=False).returncode == 0
    assert text.startswith("#!/bin/bash\n# The Slurm job of the run ")
    assert "#SBATCH --partition=off\n" in text
    assert text.splitlines()[-1].startswith("exec ")
    if checker := shutil.which("shellcheck"):
        assert subprocess.run([checker, str(run.batch_script)], check=False).returncode == 0


def test_a_waiting_run_says_why_and_where_it_stands(submit: Submit, cluster: Cluster) -> None:
    first, second = submit(partition="off"), submit(partition="off")
    ask([first, second], now=True)
    record = await_record(second, lambda r: (s := read_status(second)) and s.reason)
    assert is_submitted(record)
    line = job_words(second, record.slurm_job)
    assert "pending in off, 2 of 2, PartitionDown: its partition is down" in line
    with pytest.raises(ProblemError, match="the run is queued"):
        delete(second)
    with pytest.raises(ProblemError, match="waits in Slurm's queue already"):
        resume(second)
    assert "out of Slurm's queue" in stop(second)
    assert read_record(second).state == "stopped"
    assert cluster.command("squeue", "--noheader", "--format=%i").split() == [
        read_record(first).slurm_job
    ]
    delete(second)
    assert not second.path.exists()


def test_a_job_that_needs_more_than_is_free_waits_for_resources(submit: Submit) -> None:
    holder = submit(MANY, nodelist="n1", exclusive="")
    await_record(holder, lambda r: r.state in ("starting", "running"))
    run = submit(nodelist="n1")
    await_record(run, lambda r: (s := read_status(run)) and s.reason)
    assert "Resources: it waits for nodes to become free" in job_words(
        run, read_record(run).slurm_job
    )


def test_a_drained_node_is_told_of(submit: Submit, cluster: Cluster) -> None:
    cluster.command("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=broken")
    try:
        run = submit(nodelist="n2")
        await_record(run, lambda r: (s := read_status(run)) and s.reason)
        assert "down, drained or reserved" in job_words(run, read_record(run).slurm_job)
    finally:
        cluster.command("scontrol", "update", "NodeName=n2", "State=RESUME")


def test_a_stop_saves_a_checkpoint_and_a_resume_submits_again(submit: Submit) -> None:
    run = submit(MANY)
    await_steps(run)
    job = read_record(run).slurm_job
    assert "saves a checkpoint" in stop(run)
    record = await_end(run, "stopped")
    assert [path.name for path in run.checkpoints("dpo")][-1] == f"checkpoint-{record.step}"
    ask([run], now=True)
    assert read_record(run).state == "stopped"
    text = run.batch_script.read_text()
    run.batch_script.write_text(text.replace("--mem=1500", "--mem=1600"))
    resume(run)
    assert is_submitted(read_record(run))
    after = await_record(run, lambda r: r.state == "running" and r.step > record.step)
    assert after.slurm_job != job
    stop(run, kill=True)
    assert await_end(run, "killed").error["what"] == "killed on request"
    assert [step for step in logged_steps(run) if step == record.step] == [record.step]


@pytest.mark.long
def test_a_plain_scancel_leaves_a_checkpoint(submit: Submit, cluster: Cluster) -> None:
    run = submit(MANY)
    record = await_steps(run)
    cluster.command("scancel", record.slurm_job)
    record = await_end(run, "stopped")
    assert [path.name for path in run.checkpoints("dpo")][-1] == f"checkpoint-{record.step}"


def test_a_requeued_run_goes_on_by_itself(submit: Submit, cluster: Cluster) -> None:
    run = submit(40)
    record = await_steps(run, 3)
    cluster.command("scontrol", "requeue", record.slurm_job)
    await_record(run, is_submitted)
    cluster.let_begin(record.slurm_job)
    record = await_end(run, "finished")
    assert record.step == 40
    assert sorted(set(logged_steps(run))) == list(range(1, 41))
    assert "begins again" in run.log.read_text()


def test_near_its_time_limit_a_run_saves_and_requeues_itself(
    submit: Submit, cluster: Cluster
) -> None:
    run = submit(40)
    record = await_steps(run, 3)
    job = record.slurm_job
    cluster.command("scancel", "--batch", "--signal=USR1", job)
    record = await_record(run, is_submitted)
    assert any("near its time limit" in note for note in record.notes), words(run)
    assert record.slurm_job == job
    assert [path.name for path in run.checkpoints("dpo")][-1] == f"checkpoint-{record.step}"
    cluster.let_begin(job)
    assert await_end(run, "finished").step == 40
    assert sorted(logged_steps(run)) == list(range(1, 41))


@pytest.mark.long
def test_a_person_stop_beats_the_requeue(submit: Submit, cluster: Cluster) -> None:
    run = submit(MANY)
    record = await_steps(run)
    run.slurm_stop.touch()
    cluster.command("scancel", "--batch", "--signal=USR1", record.slurm_job)
    await_end(run, "stopped")
    ask([run], now=True)
    assert read_record(run).state == "stopped"


@pytest.mark.long
def test_a_job_that_is_killed_from_outside_is_concluded(submit: Submit) -> None:
    run = submit(MANY)
    record = await_steps(run)
    for pid in (record.supervisor_pid, record.pid):
        os.kill(pid, signal.SIGKILL)
    record = await_record(run, lambda r: r.state not in ("running", "starting", "stopping", "lost"))
    assert record.state == "failed"
    assert record.error is not None
    assert record.error["what"] == "the job ended before the training did, by signal 9"
    assert "resume" in record.error["next_step"]
    resume(run)
    assert await_record(run, lambda r: r.state == "running" and r.step > record.step)


@pytest.mark.long
def test_a_setup_that_fails_ends_the_run_with_its_log(submit: Submit) -> None:
    run = submit(setup="echo before\nno-such-command-of-ours\necho after")
    record = await_record(run, lambda r: not is_submitted(r))
    assert record.state == "failed"
    assert record.error is not None
    assert "with exit code 127" in record.error["what"]
    assert record.error["where"] == str(run.slurm_log)
    assert "before" in run.slurm_log.read_text()
    assert "after" not in run.slurm_log.read_text()


def test_a_refused_submission_leaves_nothing(submit: Submit, tmp_path: object) -> None:
    with pytest.raises(ProblemError) as caught:
        submit(partition="nope")
    assert "partition nope: there is no such partition" in str(caught.value)
    assert "These exist: work, off" in str(caught.value)
