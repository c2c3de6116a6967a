"""Saving and picking checkpoints, without a training process."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from checkpoint_files import write_checkpoint
from worker_helpers import MakeRun

from workbench.base.problems import ProblemError
from workbench.base.tail import read_jsonl
from workbench.recipe.recipe import Recipe
from workbench.run.checkpoints import INCOMPLETE_MARK, choose, read_manifest, verify
from workbench.run.directory import BASE_REFERENCE, RunDirectory, create_run
from workbench.run.record import read_record
from workbench.worker import saving
from workbench.worker.checkpoints import drop_diverged, is_sound, pick_checkpoint
from workbench.worker.run_writer import RunWriter
from workbench.worker.saving import Saver, discard, is_write_failure, reason_of
from workbench.worker.stage_config import parse_config
from workbench.worker.trainers import Start, load_policy, make_trainer


@pytest.fixture
def run(make_recipe: Callable[..., Recipe], tmp_path: Path) -> RunDirectory:
    from workbench.base.paths import Paths

    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(tmp_path / "home")})
    return create_run(paths, make_recipe())


class Trainer:
    """As much of a trainer as saving needs; saves a checkpoint without a manifest."""

    def __init__(self, run: RunDirectory, error: Exception | None = None) -> None:
        self.state = SimpleNamespace(global_step=0, best_model_checkpoint=None)
        self.args = SimpleNamespace(save_total_limit=1)
        self.model = torch.nn.Linear(4, 4)
        self.run = run
        self.error = error
        self.limits: list[int | None] = []

    def _save_checkpoint(self, _model: Any, _trial: Any) -> None:
        self.limits.append(self.args.save_total_limit)
        output = self.run.output("dpo")
        folder = write_checkpoint(output, self.state.global_step, manifest=False)
        if self.error is not None:
            (folder / "rng_state.pth").unlink()
            raise self.error


def make_saver(run: RunDirectory, error: Exception | None = None) -> tuple[Saver, Trainer]:
    trainer = Trainer(run, error)
    return Saver(run, RunWriter(run), "dpo", trainer), trainer


def save(trainer: Trainer, step: int) -> None:
    trainer.state.global_step = step
    trainer._save_checkpoint(trainer.model, None)


def test_the_manifest_is_written_before_the_older_checkpoint_goes(run: RunDirectory) -> None:
    saver, trainer = make_saver(run)
    save(trainer, 2)
    save(trainer, 4)
    (folder,) = run.checkpoints("dpo")
    manifest = read_manifest(folder)
    assert manifest is not None
    assert (manifest["run"], manifest["stage"], manifest["step"]) == (run.id, "dpo", 4)
    assert manifest["config"]["learning_rate"] == 5e-5
    assert "output_dir" not in manifest["recipe"]
    assert trainer.limits == [None, None]
    assert trainer.args.save_total_limit == 1
    record = read_record(run)
    assert (record.step, record.stopped_at, record.saving) == (4, str(folder), "")
    assert saver.facts()["step"] == 4


def test_without_room_nothing_is_written(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 32."""
    _, trainer = make_saver(run)
    save(trainer, 2)
    monkeypatch.setattr(saving, "free_bytes", lambda _: 1000)
    save(trainer, 4)
    assert [folder.name for folder in run.checkpoints("dpo")] == ["checkpoint-2"]
    assert trainer.limits == [None]
    (event,) = [row for row in read_jsonl(run.metrics) if row["event"] == "save_failed"]
    assert (event["checkpoint"], event["what"], event["have"]) == (
        "checkpoint-4",
        "the disk is full",
        1000,
    )
    assert "checkpoint-2 is kept, training goes on" in read_record(run).notes[0]
    save(trainer, 6)
    assert len(read_record(run).notes) == 1
    assert len([row for row in read_jsonl(run.metrics) if row["event"] == "save_failed"]) == 2


def test_a_failed_save_keeps_the_older_checkpoint(run: RunDirectory) -> None:
    """Row 32."""
    _, trainer = make_saver(run)
    save(trainer, 2)
    trainer.error = OSError(errno.EIO, "Input/output error")
    save(trainer, 4)
    assert not (run.output("dpo") / "checkpoint-4").exists()
    assert choose(run, "dpo").folder == run.output("dpo") / "checkpoint-2"
    assert "Input/output error" in read_record(run).notes[0]


def test_an_error_that_is_none_of_the_disk_ends_the_run(run: RunDirectory) -> None:
    _, trainer = make_saver(run, ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        save(trainer, 2)
    assert run.checkpoints("dpo") == []
    assert read_record(run).saving == ""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (Exception("File too large (os error 27)"), "the disk is full"),
        (Exception("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (RuntimeError("basic_ios::clear: iostream error"), "the disk takes no more (basic_ios"),
        (RuntimeError("unexpected pos 64 vs 0"), "the disk takes no more (unexpected pos"),
        (OSError(errno.EIO, "x"), "the disk reports: Input/output error"),
    ],
)
def test_what_libraries_say_when_the_disk_is_full(error: Exception, reason: str) -> None:
    """Row 32."""
    assert is_write_failure(error)
    assert reason_of(error).startswith(reason)


@pytest.mark.parametrize(
    "error", [RuntimeError("size mismatch"), PermissionError(errno.EACCES, "x"), KeyError("a")]
)
def test_other_errors_are_no_full_disk(error: Exception) -> None:
    assert not is_write_failure(error)


def test_a_folder_that_cannot_be_removed_is_marked(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_checkpoint(run.output("dpo"), 8)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    discard(folder)
    assert (folder / INCOMPLETE_MARK).exists()
    assert verify(folder) == "saving it was not finished"


def test_skipped_checkpoints_are_named(run: RunDirectory) -> None:
    """Row 31."""
    writer = RunWriter(run)
    good = write_checkpoint(run.output("dpo"), 4)
    bad = write_checkpoint(run.output("dpo"), 8)
    size = (bad / "optimizer.pt").stat().st_size
    (bad / "optimizer.pt").write_bytes(b"x" * 200)
    assert pick_checkpoint(run, writer, "dpo", None) == good
    note = f"dpo checkpoint-8 is skipped: optimizer.pt is 200 bytes, not {size:,}."
    assert read_record(run).notes == [note]
    shutil.rmtree(good)
    assert pick_checkpoint(run, writer, "dpo", None) is None
    assert "No checkpoint of dpo is whole: the stage starts anew." in read_record(run).notes
    with pytest.raises(ProblemError, match="no checkpoint of dpo is whole"):
        pick_checkpoint(run, writer, "dpo", "True")
    with pytest.raises(ProblemError, match="cannot be gone on from: optimizer"):
        pick_checkpoint(run, writer, "dpo", str(bad))


def write_weights(checkpoint: Path, value: float) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.full((3,), value)}, checkpoint / "adapter_model.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_a_diverged_run_keeps_its_last_good_checkpoint(value: float, run: RunDirectory) -> None:
    """Row 25."""
    folders = []
    for step, weight in ((2, 0.5), (4, value), (6, value)):
        folder = write_checkpoint(run.output("dpo"), step, manifest=False)
        write_weights(folder, weight)
        folders.append(folder)
    assert not is_sound(folders[1] / "adapter_model.safetensors")
    assert drop_diverged(run, "dpo") == (["checkpoint-6", "checkpoint-4"], folders[0])
    assert run.checkpoints("dpo") == [folders[0]]


@pytest.mark.model
def test_a_fork_of_dpo_on_the_base_has_the_base_for_its_reference(
    new_run: MakeRun, finished: RunDirectory
) -> None:
    from datasets import Dataset
    from peft import get_peft_model_state_dict, load_peft_weights
    from tiny_model import preference_rows

    run = new_run(stages=("dpo",))
    config = run.config("dpo")
    config.write_text(config.read_text() + "use_cpu: true\nbf16: false\n")
    start = finished.output("dpo") / "checkpoint-4"
    trainer = make_trainer(
        parse_config("dpo", config),
        Start(start, BASE_REFERENCE),
        print,
        train_dataset=Dataset.from_list(preference_rows(8)),
        eval_dataset=Dataset.from_list(preference_rows(8)),
    )
    assert list(trainer.model.peft_config) == ["default"]
    weights = load_peft_weights(str(start), device="cpu")
    own = get_peft_model_state_dict(trainer.model)
    assert all(torch.equal(own[name], weights[name]) for name in weights)
    margin = trainer.evaluate()["eval_rewards/margins"]
    assert abs(margin) > 1e-3
    with pytest.raises(ProblemError, match="does not fit"):
        write_and_load_other_rank(trainer.model, run.path / "other")


def write_and_load_other_rank(model: Any, folder: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = model.get_base_model()
    other = get_peft_model(
        type(base)(base.config), LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    )
    other.save_pretrained(folder)
    load_policy(model, folder)
