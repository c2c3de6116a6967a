"""Checkpoints that are cut, killed, or meet a full disk, in real trainings of a tiny model.

One run of both stages is trained without any fault; each fault happens to a copy of it.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_model import make_tiny_model, write_tiny_recipe

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.base.tail import read_jsonl
from workbench.recipe.recipe import load_recipe
from workbench.run import space
from workbench.run.checkpoints import choose, verify
from workbench.run.directory import RunDirectory, create_run
from workbench.run.launch import resume
from workbench.run.lineage import fork_run
from workbench.run.record import RunRecord, read_record, update_record

pytestmark = pytest.mark.model

WAIT_SECONDS = 180
STATE_FILES = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth")
FILES = (*STATE_FILES, "adapter_model.safetensors", "adapter_config.json")
WORKER = "from workbench.worker.train import main\nimport sys\nsys.exit(main(sys.argv[1:]))\n"
LIMIT = """
import resource
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
"""
KILLED_SAVES = (
    LIMIT
    + """
# Step 4 may not write its weights, step 6 not its optimizer; at step 8 the process is killed.
import os, signal
from transformers import Trainer
weights, optimizer = Trainer.save_model, Trainer._save_optimizer_and_scheduler
def save_model(self, *args, **options):
    limit(6_000 if self.state.global_step == 4 else resource.RLIM_INFINITY)
    try:
        weights(self, *args, **options)
    finally:
        limit(resource.RLIM_INFINITY)
def save_optimizer(self, folder):
    if self.state.global_step == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    limit(6_000 if self.state.global_step == 6 else resource.RLIM_INFINITY)
    try:
        optimizer(self, folder)
    finally:
        limit(resource.RLIM_INFINITY)
Trainer.save_model, Trainer._save_optimizer_and_scheduler = save_model, save_optimizer
"""
)
FULL_AT_THE_END = (
    LIMIT
    + """
from workbench.worker.saving import Saver
final = Saver.save_final
def save_final(self):
    limit(6_000)
    try:
        final(self)
    finally:
        limit(resource.RLIM_INFINITY)
Saver.save_final = save_final
"""
)


def work(run: RunDirectory, faults: str = "") -> int:
    """Let a worker train a run to its end, with code that injects faults; its exit code."""
    command = [sys.executable, "-c", faults + WORKER, str(run.path)]
    with run.log.open("ab") as log:
        return subprocess.run(command, stdout=log, stderr=log, timeout=WAIT_SECONDS).returncode


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    home = tmp_path_factory.mktemp("home")
    return Paths.from_environment({"DPO_WORKBENCH_HOME": str(home)})


@pytest.fixture(scope="module")
def unbroken(paths: Paths, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of SFT and DPO over 8 steps each that nothing disturbed; DPO is scored at step 4."""
    folder = tmp_path_factory.mktemp("tiny")
    model = make_tiny_model(folder / "model")
    recipe = write_tiny_recipe(folder / "tiny.yaml", model, steps=8)
    text = recipe.read_text().replace("eval_steps: 100", "eval_steps: 4")
    recipe.write_text(text[: text.index("probe_prompts")])
    run = create_run(paths, load_recipe(recipe))
    assert work(run) == 0, run.log.read_text()
    return run


def copy(run: RunDirectory, target: Path, *, without_dpo: bool = False) -> RunDirectory:
    """A copy of a run, as if it had been stopped in DPO, or before."""
    other = RunDirectory(target / run.id)
    shutil.copytree(run.path, other.path)
    for stage in ("sft", "dpo"):
        config = other.config(stage)
        config.write_text(config.read_text().replace(str(run.path), str(other.path)))
    results = {"sft": read_record(run).results["sft"]}
    update_record(other, state="stopped", results=results)
    if without_dpo:
        shutil.rmtree(other.output("dpo"))
    else:
        (other.output("dpo") / "adapter_model.safetensors").unlink()
    return other


def weights(run: RunDirectory) -> bytes:
    return (run.output("dpo") / "adapter_model.safetensors").read_bytes()


def events(run: RunDirectory, name: str) -> list[dict[str, Any]]:
    return [row for row in read_jsonl(run.metrics) if row.get("event") == name]


@pytest.fixture(scope="module")
def story(
    unbroken: RunDirectory, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunDirectory, list[RunRecord], list[list[str]]]:
    """DPO that fails to save twice, is killed in a save, resumed onto a full disk, and resumed.

    Returns:
        The run, its record after each of the three workers, and its whole checkpoints then.
    """
    run = copy(unbroken, tmp_path_factory.mktemp("story"), without_dpo=True)
    config = run.config("dpo")
    config.write_text(config.read_text() + "save_total_limit: 1\n")
    records, whole = [], []
    for faults, code in ((KILLED_SAVES, -9), (FULL_AT_THE_END, 1), ("", 0)):
        assert work(run, faults) == code, run.log.read_text()
        records.append(read_record(run))
        whole.append([folder.name for folder in run.checkpoints("dpo")])
        if code == -9:
            update_record(run, state="killed", saving="")
    return run, records, whole


def test_a_full_disk_costs_a_checkpoint_and_not_the_training(story: Any) -> None:
    """Row 32."""
    run, (killed, _, _), _ = story
    first, second = events(run, "save_failed")
    assert [(row["step"], row["checkpoint"]) for row in (first, second)] == [
        (4, "checkpoint-4"),
        (6, "checkpoint-6"),
    ]
    for row in (first, second):
        assert "disk" in row["what"]
        assert row["need"] > 0
        assert row["have"] > 0
    note = next(note for note in killed.notes if "checkpoint-4 is not saved" in note)
    assert "checkpoint-2 is kept, training goes on" in note
    assert not (run.output("dpo") / "checkpoint-6").exists()


def test_a_kill_within_a_save_leaves_the_older_checkpoint(story: Any) -> None:
    """Row 30."""
    run, (killed, _, _), (whole, _, _) = story
    assert killed.saving == "checkpoint-8"
    assert whole == ["checkpoint-2"]
    (skipped,) = events(run, "checkpoint_skipped")
    assert (skipped["stage"], skipped["checkpoint"]) == ("dpo", "checkpoint-8")
    assert skipped["reason"] == "trainer_state.json is missing"
    assert next(row["step"] for row in events(run, "resume")) == 2
    assert "dpo checkpoint-8 is skipped: trainer_state.json is missing." in read_record(run).notes


def test_a_full_disk_at_the_end_keeps_the_last_checkpoint(story: Any) -> None:
    """Row 32."""
    _run, (_, full, _), (_, whole, _) = story
    assert full.state == "failed"
    assert full.error is not None
    assert full.error["what"].startswith("the final weights cannot be saved: the disk")
    assert "goes on from checkpoint-8" in full.error["next_step"]
    assert whole == ["checkpoint-8"]


def test_the_weights_are_those_of_the_unbroken_run(story: Any, unbroken: RunDirectory) -> None:
    """Rows 30, 31, 32."""
    run, (_, _, last), _ = story
    assert last.state == "finished"
    assert last.saving == ""
    assert last.step_seconds > 0
    assert weights(run) == weights(unbroken)


@pytest.mark.parametrize("manifest", [True, False], ids=["manifest", "no manifest"])
@pytest.mark.parametrize("kind", ["missing", "cut", "empty"])
@pytest.mark.parametrize("name", FILES)
def test_each_file_of_a_real_checkpoint(
    name: str, kind: str, manifest: bool, unbroken: RunDirectory, tmp_path: Path
) -> None:
    """Row 31."""
    run = RunDirectory(tmp_path)
    for step in (4, 8):
        folder = run.output("dpo") / f"checkpoint-{step}"
        shutil.copytree(unbroken.output("dpo") / folder.name, folder)
        assert verify(folder, deep=True) == ""
        if not manifest:
            (folder / "manifest.json").unlink()
            assert verify(folder, deep=True) == ""
    file = run.output("dpo") / "checkpoint-8" / name
    content = file.read_bytes()
    if kind == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:200] if kind == "cut" else b"")
    choice = choose(run, "dpo")
    assert choice.folder == run.output("dpo") / "checkpoint-4"
    assert [skipped for skipped, _ in choice.skipped] == ["checkpoint-8"]
    assert name in choice.skipped[0][1]


def test_a_finished_run_trains_no_further_step(unbroken: RunDirectory) -> None:
    """Row 35."""
    before = weights(unbroken), unbroken.metrics.read_bytes()
    with pytest.raises(ProblemError, match="the run is finished already"):
        resume(unbroken)
    assert (weights(unbroken), unbroken.metrics.read_bytes()) == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("learning_rate: 0.01", "learning_rate: 0.5", "learning_rate: 0.01 -> 0.5"),
        ("batch_size: 4", "batch_size: 2", "per_device_train_batch_size: 4 -> 2"),
        ("use_peft: true", "use_peft: true\nseed: 7", "seed: .not set. -> 7"),
    ],
)
def test_changed_settings_are_listed(
    old: str, new: str, message: str, unbroken: RunDirectory, tmp_path: Path
) -> None:
    """Row 36."""
    run = copy(unbroken, tmp_path)
    config = run.config("dpo")
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))
    with pytest.raises(ProblemError, match=message):
        resume(run)
    assert read_record(run).state == "stopped"


def test_changed_data_are_listed(unbroken: RunDirectory, tmp_path: Path) -> None:
    """Row 36."""
    run = copy(unbroken, tmp_path)
    environment = json.loads(run.environment.read_text())
    (entry,) = environment["datasets"]["dpo"]["files"]
    data = tmp_path / "prefs.jsonl"
    data.write_text(Path(entry["path"]).read_text() + "\n")
    entry["path"] = str(data)
    run.environment.write_text(json.dumps(environment))
    with pytest.raises(ProblemError, match=r"prefs\.jsonl: [\d,]+ bytes -> [\d,]+ bytes"):
        resume(run)


def test_another_rank_is_refused(unbroken: RunDirectory, paths: Paths, tmp_path: Path) -> None:
    """Row 37."""
    run = copy(unbroken, tmp_path)
    config = run.config("dpo")
    config.write_text(config.read_text().replace("lora_r: 4", "lora_r: 8"))
    message = "the checkpoint has r 4, the config says 8"
    with pytest.raises(ProblemError, match=message):
        resume(run, accept_changes=True)
    with pytest.raises(ProblemError, match=message):
        fork_run(paths, unbroken, "4", ["lora_r=8"])


def test_no_two_runs_share_a_folder(unbroken: RunDirectory, paths: Paths) -> None:
    """Row 12: each launch of a recipe gets a directory and an output_dir of its own."""
    recipe = load_recipe(Path(read_record(unbroken).recipe_path))
    before = weights(unbroken)
    first, second = create_run(paths, recipe), create_run(paths, recipe)
    assert len({run.path for run in (unbroken, first, second)}) == 3
    for run in (first, second):
        assert f"output_dir: {run.output('dpo')}\n" in run.config("dpo").read_text()
    assert weights(unbroken) == before


def test_a_fork_goes_on_against_the_parents_reference(unbroken: RunDirectory, paths: Paths) -> None:
    settings = ["learning_rate=1e-12", "max_steps=1", "dpo.eval_steps=1"]
    fork = fork_run(paths, unbroken, "4", settings)
    assert work(fork) == 0, fork.log.read_text()
    rows = [row for row in read_jsonl(unbroken.metrics) if row.get("stage") == "dpo"]
    parent = next(row for row in rows if row.get("step") == 4 and "eval_loss" in row)
    own = read_jsonl(fork.metrics)
    scored = next(row for row in own if "eval_loss" in row)
    for name in ("eval_loss", "eval_rewards/margins", "eval_logps/chosen"):
        assert scored[name] == pytest.approx(parent[name], rel=1e-5)
    first = next(row for row in own if "loss" in row)
    assert first["loss"] != pytest.approx(math.log(2), abs=1e-3)
    assert abs(first["rewards/margins"]) > 1e-3
    frozen = [
        run.output("dpo") / f"checkpoint-{step}" / "ref" / "adapter_model.safetensors"
        for run, step in ((unbroken, 4), (fork, 1))
    ]
    assert frozen[0].read_bytes() == frozen[1].read_bytes()
    record = read_record(fork)
    assert (record.stages, record.parent, record.parent_step) == (["dpo"], unbroken.id, 4)


def test_a_disk_without_room_starts_no_run(
    unbroken: RunDirectory, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 32."""
    recipe = load_recipe(Path(read_record(unbroken).recipe_path))
    monkeypatch.setattr(space, "free_bytes", lambda _folder: 1_000_000)
    before = set(paths.runs.iterdir())
    with pytest.raises(ProblemError, match=r"needs 200\.\d MB, it has 1\.0 MB"):
        create_run(paths, recipe)
    assert set(paths.runs.iterdir()) == before
