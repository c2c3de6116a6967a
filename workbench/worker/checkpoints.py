"""Which checkpoint to go on from, and which must not be gone on from."""

from __future__ import annotations

import shutil
from pathlib import Path

from workbench.run.directory import RunDirectory


def newest_usable(run: RunDirectory, stage: str) -> Path | None:
    """The newest complete checkpoint of a stage whose weights can be read."""
    for folder in reversed(run.checkpoints(stage)):
        if all(readable(file) for file in weight_files(folder)):
            return folder
    return None


def step_of(checkpoint: Path) -> int:
    """Optimizer step of a `checkpoint-N` folder."""
    return int(checkpoint.name.rpartition("-")[2])


def weight_files(checkpoint: Path) -> list[Path]:
    """The safetensors files of a checkpoint, its reference adapter's too."""
    return sorted(checkpoint.rglob("*.safetensors"))


def readable(file: Path) -> bool:
    """Whether a safetensors file is whole, by its header and its length."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt"):
            return True
    except (SafetensorError, OSError):
        return False


def is_finite(file: Path) -> bool:
    """Whether every weight of a safetensors file is a finite number."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as tensors:
        return all(bool(tensors.get_tensor(name).isfinite().all()) for name in tensors.keys())  # noqa: SIM118


def drop_non_finite(run: RunDirectory, stage: str) -> list[str]:
    """Delete the newest checkpoints that were saved after the loss had become non-finite.

    Returns:
        Names of the deleted folders.
    """
    dropped = []
    for folder in reversed(run.checkpoints(stage)):
        if all(is_finite(file) for file in weight_files(folder)):
            break
        shutil.rmtree(folder)
        dropped.append(folder.name)
    return dropped
