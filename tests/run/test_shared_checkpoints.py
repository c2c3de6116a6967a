"""Checkpoints that several processes have saved; files of their true names and ends."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from checkpoint_files import write_checkpoint

from workbench.run.checkpoints import MANIFEST, verify, write_manifest


def write_zip(file: Path) -> None:
    """As torch.save does."""
    file.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 400)


def write_shared(output: Path, engine: str, *, processes: int = 2, **facts: object) -> Path:
    """A checkpoint of an engine, with a manifest where there are facts for it."""
    folder = write_checkpoint(output, 8, manifest=False)
    (folder / "rng_state.pth").unlink()
    for rank in range(processes):
        write_zip(folder / f"rng_state_{rank}.pth")
    if engine != "ddp":
        (folder / "optimizer.pt").unlink()
    if engine == "full":
        write_zip(folder / "optimizer.bin")
        write_zip(folder / "pytorch_model_fsdp.bin")
    elif engine == "sharded":
        for inner in ("optimizer_0", "pytorch_model_fsdp_0"):
            for rank in range(processes):
                write_zip(folder / inner / f"__{rank}_0.distcp")
            names = "".join(f"\x8c\x0d__{rank}_0.distcp" for rank in range(processes))
            (folder / inner / ".metadata").write_bytes(
                b"\x80\x04" + names.encode("latin1") + b"ub."
            )
    elif engine == "zero":
        (folder / "latest").write_text("global_step8")
        write_zip(folder / "global_step8" / "mp_rank_00_model_states.pt")
        for rank in range(processes):
            name = f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"
            write_zip(folder / "global_step8" / name)
    if facts:
        write_manifest(folder, {"step": 8, **facts})
    return folder


PARTS = {
    "ddp": ("optimizer.pt", "rng_state_0.pth"),
    "full": ("optimizer.bin", "pytorch_model_fsdp.bin", "scheduler.pt", "rng_state_0.pth"),
    "sharded": (
        *("optimizer_0/.metadata", "optimizer_0/__0_0.distcp", "optimizer_0/__1_0.distcp"),
        *("pytorch_model_fsdp_0/.metadata", "pytorch_model_fsdp_0/__1_0.distcp"),
        *("rng_state_0.pth", "rng_state_1.pth", "adapter_model.safetensors"),
    ),
    "zero": (
        *("global_step8/mp_rank_00_model_states.pt", "rng_state_0.pth", "rng_state_1.pth"),
        "global_step8/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",
    ),
}


@pytest.mark.parametrize("kept", [True, False], ids=["manifest", "no manifest"])
@pytest.mark.parametrize(("engine", "name"), [(e, name) for e in PARTS for name in PARTS[e]])
def test_a_part_that_is_gone_or_cut_is_told(
    engine: str, name: str, kept: bool, tmp_path: Path
) -> None:
    facts = {"ranks": [0, 1]} if kept else {}
    whole = write_shared(tmp_path / "whole", engine, **facts)
    assert verify(whole, deep=True) == ""
    gone = write_shared(tmp_path / "gone", engine, **facts)
    (gone / name).unlink()
    assert verify(gone, deep=True) == f"{name} is missing"
    cut = write_shared(tmp_path / "cut", engine, **facts)
    content = (cut / name).read_bytes()
    (cut / name).write_bytes(content[:-7])
    assert name.rpartition("/")[2] in verify(cut, deep=True)


def test_a_manifest_tells_which_processes_have_saved(tmp_path: Path) -> None:
    """The last process's part is missed by name alone; another host's are not asked for."""
    folder = write_shared(tmp_path / "a", "ddp", ranks=[0, 1])
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["files"]["rng_state_1.pth"]
    (folder / "rng_state_1.pth").unlink()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert verify(folder) == "rng_state_1.pth is missing"
    other = write_shared(tmp_path / "b", "ddp", processes=4)
    for rank in (0, 1):
        (other / f"rng_state_{rank}.pth").unlink()
    assert verify(other) == "rng_state_0.pth is missing"
    write_manifest(other, {"step": 8, "ranks": [2, 3]})
    assert verify(other, deep=True) == ""
    (other / "rng_state_2.pth").unlink()
    assert verify(other) == "rng_state_2.pth is missing"
    write_manifest(other, {"step": 8, "ranks": [3]})
    assert verify(other, deep=True) == ""


def test_one_process_of_fsdp_has_one_random_state(tmp_path: Path) -> None:
    folder = write_shared(tmp_path, "sharded", processes=1)
    (folder / "rng_state_0.pth").rename(folder / "rng_state.pth")
    assert verify(folder, deep=True) == ""


@pytest.mark.parametrize("tag", ["", "../elsewhere", "global_step9", "a\0b"])
def test_a_name_in_latest_that_leads_nowhere(tag: str, tmp_path: Path) -> None:
    folder = write_shared(tmp_path, "zero")
    (folder / "latest").write_text(tag)
    assert "is missing" in verify(folder) or "is empty" in verify(folder)
