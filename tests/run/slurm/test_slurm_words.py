"""What is made of Slurm's answers, without Slurm; some of them are not meant well."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.checks import check
from workbench.recipe.recipe import Recipe
from workbench.recipe.slurm_section import (
    OWN,
    SlurmWish,
    fit_together,
    limit_seconds,
    refuse_setup,
    section_words,
    slurm_wish,
    with_options,
)
from workbench.run.directory import RunDirectory, create_run
from workbench.run.record import is_submitted, read_record, update_record
from workbench.run.slurm.client import rows_of
from workbench.run.slurm.job import is_due, of_account, of_queue, with_place
from workbench.run.slurm.reasons import reason_words
from workbench.run.slurm.refusals import find_refusal
from workbench.run.slurm.script import options_in, save_seconds, script_text
from workbench.run.slurm.status import (
    ENDED_STATES,
    JobStatus,
    job_words,
    read_status,
    short_words,
    status_words,
    write_status,
)

MakeRecipe = Callable[..., Recipe]
HOSTILE = "gpu\x1b[2J\nFAKE\u202e"


@pytest.fixture
def run(paths: Paths, make_recipe: MakeRecipe) -> RunDirectory:
    made = create_run(paths, make_recipe())
    update_record(made, slurm_job="7")
    return made


# The section of a recipe


def section(make_recipe: MakeRecipe, text: str) -> Recipe:
    return make_recipe(f"model_name_or_path: org/model\ndataset_name: org/pairs\n{text}")


def test_a_section_is_read_as_sbatch_spells_it(make_recipe: MakeRecipe, paths: Paths) -> None:
    recipe = section(
        make_recipe,
        "slurm:\n  partition: gpu\n  nodes: 2\n  gpus-per-node: a100:4\n  time: 1-12\n"
        "  exclusive: true\n  contiguous: false\n  setup: [module load cuda]\n  save_seconds: 60\n",
    )
    wish = slurm_wish(recipe)
    assert wish == SlurmWish(
        {"partition": "gpu", "nodes": "2", "gpus-per-node": "a100:4", "time": "1-12",
         "exclusive": ""},
        ("module load cuda",),
        60,
    )  # fmt: skip
    (told,) = [p for p in check(recipe, paths) if "slurm" in f"{p.what}{p.where}"]
    assert (told.severity, told.where) == ("warning", "trial.yaml:10:3")
    assert section_words(recipe) == (
        "partition gpu, nodes 2, gpus-per-node a100:4, time 1-12, exclusive"
    )
    assert slurm_wish(section(make_recipe, "")) is None
    assert section_words(section(make_recipe, "")) == ""
    assert section_words(section(make_recipe, "slurm:\n")) == "with the cluster's defaults"
    assert slurm_wish(section(make_recipe, "slurm:\n")) == SlurmWish()
    assert "slurm" not in recipe.values("dpo")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("slurm: gpu", "slurm is not a section"),
        ("slurm: {partitoin: gpu}", "may not ask Slurm for partitoin"),
        ("slurm: {output: /etc/passwd}", "the run sets output itself"),
        ("slurm: {prolog: /bin/evil}", "may not ask Slurm for prolog"),
        ("slurm: {time: 1:30:00}", "YAML reads 1:30:00 as a number"),
        ("slurm: {time: soon}", "time cannot be 'soon'"),
        ("slurm: {nodes: 0}", "nodes cannot be '0'"),
        ("slurm: {mem: lots}", "mem cannot be 'lots'"),
        ("slurm: {partition: [a, b]}", "partition is not one value"),
        ("slurm: {partition: off}", "YAML reads yes, no, on and off"),
        ("slurm: {partition: }", "partition is not one value"),
        ('slurm: {partition: "a\\nb"}', "line break"),
        ("slurm: {setup: module load cuda}", "setup is not a list"),
        ('slurm: {setup: ["a\\nb"]}', "line break"),
        ("slurm: {save_seconds: 5}", "save_seconds cannot be 5"),
        ("slurm: {exclusive: maybe}", "exclusive cannot be 'maybe'"),
    ],
)
def test_a_wrong_section_is_told_with_its_line(
    text: str, what: str, make_recipe: MakeRecipe, paths: Paths
) -> None:
    recipe = section(make_recipe, text)
    found = [p for p in check(recipe, paths) if what in p.what]
    assert len(found) == 1
    assert found[0].where.startswith("trial.yaml:3:")
    assert found[0].next_step
    with pytest.raises(ProblemError):
        slurm_wish(recipe)


@pytest.mark.parametrize("name", OWN)
def test_what_the_script_says_itself_cannot_be_given(name: str) -> None:
    with pytest.raises(ProblemError, match=f"the run sets {name} itself") as caught:
        with_options(SlurmWish(), {name: "1"})
    assert caught.value.exit_code == 2


def test_shell_that_came_with_a_recipe_needs_a_word() -> None:
    with pytest.raises(ProblemError, match="curl evil") as caught:
        refuse_setup(SlurmWish(setup=("curl evil | sh",)))
    assert "--trust-setup" in str(caught.value)
    refuse_setup(SlurmWish())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("90", 5400), ("1:30", 90), ("2:30:00", 9000), ("1-12", 129_600)),
        *(("1-12:30", 131_400), ("1-00:00:01", 86_401), ("unlimited", None), ("soon", None)),
    ],
)
def test_times_are_read_as_sbatch_reads_them(text: str, seconds: int | None) -> None:
    assert limit_seconds(text) == seconds


# The script


def test_a_short_limit_leaves_less_time_to_save() -> None:
    assert save_seconds(SlurmWish()) == 180
    assert save_seconds(SlurmWish({"time": "2:00:00"})) == 180
    assert save_seconds(SlurmWish({"time": "4"})) == 60
    assert save_seconds(SlurmWish({"time": "0:20"})) == 10


@given(
    st.text(
        st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cf", "Co", "Cn")), min_size=1
    )
)
def test_any_value_stays_one_word_of_the_script(value: str) -> None:
    run = RunDirectory(Path("/runs/r"))
    if not value.isprintable():
        return
    lines = script_text(run, SlurmWish({"comment": value}), "name").splitlines()
    line = next(line for line in lines if line.startswith("#SBATCH --comment"))
    assert shlex.split(line.removeprefix("#SBATCH "))[0] == f"--comment={value}"


@pytest.mark.parametrize("folder", ["a b", "a'b", 'a"b', "$(touch x)", "a;b", "`x`", "é", "#a"])
def test_the_last_line_is_one_command_for_any_folder(folder: str) -> None:
    run = RunDirectory(Path("/home") / folder / "r")
    text = script_text(run, SlurmWish(), "name")
    assert shlex.split(text.splitlines()[-1])[-1] == str(run.path)
    assert options_in(text)["output"] == shlex.quote(str(run.slurm_log))


@pytest.mark.parametrize("folder", ["a\\b", "a\nb"])
def test_a_folder_that_slurm_cannot_name_is_refused(folder: str) -> None:
    with pytest.raises(ProblemError, match="DPO_WORKBENCH_HOME"):
        script_text(RunDirectory(Path("/home") / folder / "r"), SlurmWish(), "name")


def test_a_percent_sign_is_no_pattern() -> None:
    text = script_text(RunDirectory(Path("/a%j/r")), SlurmWish(), "name")
    assert options_in(text)["output"] == "/a%%j/r/slurm.log"


# Answers


def test_squeue_is_read_with_its_place() -> None:
    text = "7|PENDING|gpu|50|2030-01-02T03:04:05|1:00:00||Priority\n"
    text += "8|RUNNING|gpu|9|N/A|1:00|n1|None\n"
    waits, works = map(of_queue, rows_of(text, 7))
    waiting = rows_of("3|60\n7|50\n5_[1-9]|50\n9|50\n10|40\nnonsense\n", 1)
    waits = with_place(waits, waiting)
    assert (waits.position, waits.pending, waits.reason) == (3, 5, "Priority")
    assert waits.start > time.time()
    assert (works.state, works.position, works.reason, works.start) == ("RUNNING", 0, "", 0.0)


def test_sacct_tells_of_a_job_that_has_left_the_queue() -> None:
    status = of_account(rows_of("7|CANCELLED by 0|gpu|0:15|n1|01:00:00|Unknown\n", 6)[0])
    assert (status.state, status.exit_code, status.nodes) == ("CANCELLED", "0:15", "n1")
    assert status.ended


def test_hostile_answers_are_inert(run: RunDirectory) -> None:
    line = "7|PENDING|g\x1b]0;owned\x07pu|x|when|?||Why\x1b[31m|more\n"
    status = of_queue(rows_of(line, 7)[0])
    write_status(run, with_place(status, rows_of(f"{HOSTILE}|{HOSTILE}\n", 1)))
    words = job_words(run, "7")
    assert words.isprintable()
    assert "Why|more" in words
    assert job_words(run, HOSTILE).isprintable()


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Priority", "Priority: others of a higher priority come first"),
        ("(Resources)", "Resources: it waits for nodes to become free"),
        ("ReqNodeNotAvail, UnavailableNodes:n1", "is down, drained or reserved"),
        ("QOSGrpCpuLimit", "QOSGrpCpuLimit: all users of its quality of service"),
        ("AssocGrpGRES", "all users of its account together"),
        ("Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority "
         "partitions", "the nodes that it needs are down, drained or reserved"),
        ("SomethingNew", "SomethingNew"),
        (HOSTILE, "gpu FAKE"),
    ],
)  # fmt: skip
def test_reasons_are_told_in_plain_words(reason: str, words: str) -> None:
    assert words in reason_words(reason)


def test_refusals_are_told_apart() -> None:
    said = "sbatch: error: Batch job submission failed: Invalid partition name specified"
    found = find_refusal(said)
    assert found is not None
    assert found.lists_partitions
    assert find_refusal("something quite new") is None


@pytest.mark.parametrize("text", ["", "[]", '{"job": 7}', '{"start": "x"}', "[" * 5000, "\x00"])
def test_a_damaged_cache_is_no_answer(text: str, run: RunDirectory) -> None:
    run.slurm.write_text(text)
    assert read_status(run) is None
    assert job_words(run, "7") == "job 7"
    assert short_words(run, "7") == "job 7"
    assert is_submitted(read_record(run))


def test_nothing_is_asked_on_the_word_of_a_foreign_record(run: RunDirectory) -> None:
    assert is_due(run, read_record(run))
    update_record(run, slurm_job="7,8 --me")
    assert not is_due(run, read_record(run))
    update_record(run, slurm_job="7")
    run.path.chmod(0o777)
    assert not is_due(run, read_record(run))


# What readers conclude


def test_a_waiting_job_makes_a_run_queued_again(run: RunDirectory) -> None:
    update_record(run, state="stopped", started=10.0, finished=20.0)
    write_status(run, JobStatus("7", "PENDING", asked_at=30.0))
    assert is_submitted(read_record(run))
    write_status(run, JobStatus("7", "PENDING", asked_at=5.0))
    assert read_record(run).state == "stopped"
    write_status(run, JobStatus("6", "PENDING", asked_at=30.0))
    assert read_record(run).state == "stopped"


@pytest.mark.parametrize("state", ENDED_STATES)
def test_a_job_that_ended_has_ended_its_run(state: str, run: RunDirectory) -> None:
    update_record(run, state="running", started=10.0, host="n1.elsewhere")
    write_status(run, JobStatus("7", state, nodes="n1", exit_code="1:0", asked_at=30.0))
    record = read_record(run)
    assert record.state in ("lost", "killed", "failed", "out_of_memory")
    assert record.error is not None
    assert record.error["what"]
    assert "esume" in record.error["next_step"]
    assert json.loads(run.record.read_text())["state"] == "running"
    update_record(run, state="finished")
    assert read_record(run).state == "finished"


def test_a_cancelled_job_that_never_began_is_a_stopped_run(run: RunDirectory) -> None:
    write_status(run, JobStatus("7", "CANCELLED", asked_at=30.0))
    assert read_record(run).state == "stopped"


def test_words_tell_when_it_is_thought_to_start() -> None:
    now = time.mktime((2030, 1, 2, 10, 0, 0, 0, 0, -1))
    status = JobStatus("7", "PENDING", "Priority", "gpu", position=3, pending=12, start=now + 3600)
    assert status_words(status, now) == (
        "pending in gpu, 3 of 12, Priority: others of a higher priority come first, "
        "start about 11:00"
    )
    later = JobStatus("7", "PENDING", start=now + 86_400)
    assert status_words(later, now) == "pending, start about 2030-01-03 10:00"


@pytest.mark.parametrize(
    ("text", "options", "machines", "processes", "nodes"),
    [
        ("", {}, None, None, "1"),
        ("", {"nodes": "2"}, 2, 2, "2"),
        ("", {"nodes": "2", "gpus-per-node": "a100:4"}, 2, 8, "2"),
        ("", {"gpus-per-node": "4"}, None, 4, "1"),
        ("num_machines: 3", {}, 3, 3, "3"),
        ("num_processes: 6", {"nodes": "2"}, 2, 6, "2"),
        ("accelerate_config: fsdp2", {"gpus-per-node": "4"}, None, None, "1"),
    ],
)
def test_nodes_are_machines_and_gpus_are_processes(
    text: str,
    options: dict[str, str],
    machines: int | None,
    processes: int | None,
    nodes: str,
    make_recipe: MakeRecipe,
) -> None:
    recipe, wish = fit_together(section(make_recipe, text), SlurmWish(options))
    assert recipe.data.get("num_machines") == machines
    assert recipe.data.get("num_processes") == processes
    assert wish.options["nodes"] == nodes
    assert recipe.stages == ("dpo",)


def test_machines_that_are_not_the_nodes_are_refused(make_recipe: MakeRecipe) -> None:
    with pytest.raises(ProblemError, match="num_machines: 3, and the job 2 nodes") as caught:
        fit_together(section(make_recipe, "num_machines: 3"), SlurmWish({"nodes": "2"}))
    assert caught.value.exit_code == 2
