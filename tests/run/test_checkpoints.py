"""Which checkpoint is trusted; the files have their true structure, nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checkpoint_files import write_adapter, write_checkpoint

from workbench.run.checkpoints import (
    MANIFEST,
    choose,
    read_manifest,
    surplus,
    verify,
    write_manifest,
)
from workbench.run.directory import RunDirectory

STATE_FILES = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth")
FILES = (*STATE_FILES, "adapter_model.safetensors", "adapter_config.json")


def damage(file: Path, kind: str) -> None:
    match kind:
        case "missing":
            file.unlink()
        case "cut":
            file.write_bytes(file.read_bytes()[: min(200, file.stat().st_size - 5)])
        case "empty":
            file.write_bytes(b"")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


@pytest.mark.parametrize("manifest", [True, False], ids=["manifest", "no manifest"])
@pytest.mark.parametrize("kind", ["missing", "cut", "empty"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_sends_the_choice_to_the_older_one(
    name: str, kind: str, manifest: bool, run: RunDirectory
) -> None:
    """Row 31."""
    good = write_checkpoint(run.output("dpo"), 4, manifest=manifest)
    bad = write_checkpoint(run.output("dpo"), 8, manifest=manifest)
    damage(bad / name, kind)
    choice = choose(run, "dpo")
    assert choice.folder == good
    ((skipped, reason),) = choice.skipped
    assert skipped == "checkpoint-8"
    assert name in reason
    if kind == "missing":
        assert reason == f"{name} is missing"


def test_the_reason_names_both_sizes(run: RunDirectory) -> None:
    bad = write_checkpoint(run.output("dpo"), 8)
    size = (bad / "adapter_model.safetensors").stat().st_size
    damage(bad / "adapter_model.safetensors", "cut")
    assert verify(bad) == f"adapter_model.safetensors is 200 bytes, not {size:,}"


def test_a_changed_byte_shows_in_the_hash_alone(run: RunDirectory) -> None:
    bad = write_checkpoint(run.output("dpo"), 8)
    content = bytearray((bad / "optimizer.pt").read_bytes())
    content[80] ^= 1
    (bad / "optimizer.pt").write_bytes(content)
    assert verify(bad) == ""
    assert "sha256" in verify(bad, deep=True)
    assert choose(run, "dpo").folder is None


def test_an_empty_or_strange_folder_blocks_nothing(run: RunDirectory) -> None:
    good = write_checkpoint(run.output("dpo"), 4)
    (run.output("dpo") / "checkpoint-99").mkdir()
    (run.output("dpo") / "checkpoint-x").mkdir()
    (run.output("dpo") / "checkpoint-98").write_text("a file")
    choice = choose(run, "dpo")
    assert choice.folder == good
    assert choice.skipped == (
        ("checkpoint-99", "it is empty"),
        ("checkpoint-98", "it is no folder"),
    )
    assert run.checkpoints("dpo") == [good]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {"../x": {"size": 1}}, "step": 8}'])
def test_a_damaged_manifest_is_no_manifest(text: str, run: RunDirectory) -> None:
    bad = write_checkpoint(run.output("dpo"), 8)
    (bad / MANIFEST).write_text(text)
    assert verify(bad) == "manifest.json is damaged"


def test_a_manifest_that_leaves_out_the_optimizer(run: RunDirectory) -> None:
    bad = write_checkpoint(run.output("dpo"), 8)
    manifest = read_manifest(bad)
    assert manifest is not None
    del manifest["files"]["optimizer.pt"]
    (bad / MANIFEST).write_text(json.dumps(manifest))
    assert verify(bad) == "optimizer.pt is not in its manifest.json"


def test_a_checkpoint_under_the_name_of_another_step(run: RunDirectory) -> None:
    bad = write_checkpoint(run.output("dpo"), 8)
    other = bad.rename(bad.with_name("checkpoint-9"))
    assert verify(other) == "its manifest.json is of step 8"
    (other / MANIFEST).unlink()
    assert verify(other) == "its trainer_state.json is of step 8"


def test_links_that_leave_the_run_are_refused(run: RunDirectory, tmp_path: Path) -> None:
    elsewhere = tmp_path / "run"
    inner = RunDirectory(elsewhere)
    foreign = write_checkpoint(tmp_path / "foreign", 8)
    inner.output("dpo").mkdir(parents=True)
    (inner.output("dpo") / "checkpoint-8").symlink_to(foreign)
    good = write_checkpoint(inner.output("dpo"), 4)
    (good / "README.md").symlink_to(tmp_path / "foreign")
    reasons = [reason for _, reason in choose(inner, "dpo").skipped]
    assert reasons[0] == "checkpoint-8 is a link to a place outside of the run"
    assert reasons[1] == "README.md is a link to a place outside of the run"


def test_a_manifest_lists_every_file_and_comes_last(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 8, reference=True)
    manifest = read_manifest(folder)
    assert manifest is not None
    listed = set(manifest["files"])
    there = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}
    assert listed == there - {MANIFEST}
    assert "ref/adapter_model.safetensors" in listed
    write_adapter(tmp_path / "final")
    write_manifest(tmp_path / "final", {"step": 8}, recursive=False)


def test_rotation_deletes_damaged_ones_first_and_never_the_last_good_one(
    run: RunDirectory,
) -> None:
    output = run.output("dpo")
    folders = [write_checkpoint(output, step) for step in (2, 4, 6, 8)]
    assert surplus(output, None) == []
    assert surplus(output, 2) == folders[:2]
    (folders[3] / "optimizer.pt").unlink()
    assert surplus(output, 1) == [folders[3], folders[0], folders[1]]
    assert surplus(output, 1, keep=(folders[0],)) == [folders[3], folders[1]]
    for folder in folders[:3]:
        (folder / "optimizer.pt").unlink()
    assert len(surplus(output, 1)) == 3
