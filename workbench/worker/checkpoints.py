"""Checkpoints that a stage begins with, and those of a diverged run that must go."""

from __future__ import annotations

import shutil
from pathlib import Path

from workbench.base.problems import Problem, ProblemError
from workbench.run.checkpoints import choose, verify
from workbench.run.directory import RunDirectory
from workbench.worker.run_writer import RunWriter

EXPLODED = 1e6
"""No trained weight is as large; fp16 ends at 65504."""


def pick_checkpoint(
    run: RunDirectory, writer: RunWriter, stage: str, asked: str | bool | None
) -> Path | None:
    """The checkpoint that a stage goes on from; what is skipped is said, with the reason.

    Args:
        asked: The config's resume_from_checkpoint; the run's own checkpoints go before it.

    Raises:
        ProblemError: The config asks for a checkpoint, and there is none to be trusted.
    """
    choice = choose(run, stage)
    for name, reason in choice.skipped:
        writer.note(f"{stage} {name} is skipped: {reason}.")
        writer.event("checkpoint_skipped", stage=stage, checkpoint=name, reason=reason)
    if choice.folder is not None or str(asked).lower() in ("none", "false", ""):
        if choice.folder is None and choice.skipped:
            writer.note(f"No checkpoint of {stage} is whole: the stage starts anew.")
            writer.update(stopped_at="")
        return choice.folder
    where = f"{stage}.resume_from_checkpoint"
    hint = "Take the key out of the config to start the stage anew."
    if str(asked).lower() == "true":
        raise ProblemError(Problem(f"no checkpoint of {stage} is whole", where, hint))
    folder = Path(str(asked))
    if reason := verify(folder, deep=True):
        raise ProblemError(Problem(f"{folder} cannot be gone on from: {reason}", where, hint))
    return folder


def weight_files(checkpoint: Path) -> list[Path]:
    """The safetensors files of a checkpoint, its reference adapter's too."""
    return sorted(checkpoint.rglob("*.safetensors"))


def is_sound(file: Path) -> bool:
    """Whether every weight of a safetensors file is a finite number of a possible size."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as tensors:
        return all(
            bool((tensors.get_tensor(name).abs() < EXPLODED).all())
            for name in tensors.keys()  # noqa: SIM118
        )


def drop_diverged(run: RunDirectory, stage: str) -> tuple[list[str], Path | None]:
    """Delete the newest checkpoints whose weights are lost; the newest good one ends it.

    Returns:
        Names of the deleted folders, and the newest good one.
    """
    dropped: list[str] = []
    for folder in reversed(run.checkpoints(stage)):
        if verify(folder, root=run.path, deep=True):
            continue
        if all(is_sound(file) for file in weight_files(folder)):
            return dropped, folder
        shutil.rmtree(folder)
        dropped.append(folder.name)
    return dropped, None
