"""Saving so that nothing is lost: the manifest comes last, and a full disk costs one checkpoint."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.launching import launch_record
from workbench.recipe.recipe import load_recipe
from workbench.run.checkpoints import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    INCOMPLETE_MARK,
    MANIFEST,
    choose,
    surplus,
    verify,
    write_manifest,
)
from workbench.run.directory import RunDirectory
from workbench.run.shared_checkpoints import saved_ranks
from workbench.run.space import folder_bytes, free_bytes, megabytes
from workbench.worker.model import read_config
from workbench.worker.run_writer import RunWriter
from workbench.worker.world import World

FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
WRITE_ERRNOS = (*FULL_ERRNOS, errno.EIO, errno.ESTALE)
TORCH_FAILURES = ("iostream error", "unexpected pos", "PytorchStreamWriter")
"""How torch says that the file system took no more; it loses the error's number."""
FIRST_SAVE_BYTES = 4_000_000
"""Tokenizer, model card and the small files of a checkpoint."""
MOMENT_BYTES = 8
GROWTH = 1.2


class Saver:
    """Takes the place of a trainer's own saving of checkpoints.

    A checkpoint that cannot be saved is left out, said so, and training goes on; older ones are
    deleted only after the new one is whole. Of processes that train together each has a part to
    save, and what one of them cannot save is no checkpoint for all.

    Args:
        world: This process among those that train together.
    """

    def __init__(
        self,
        run: RunDirectory,
        writer: RunWriter,
        stage: str,
        trainer: Any,
        world: World | None = None,
    ) -> None:
        self.run = run
        self.writer = writer
        self.stage = stage
        self.trainer = trainer
        self.world = world or World()
        self._save: Callable[[Any, Any], None] = trainer._save_checkpoint
        trainer._save_checkpoint = self.save
        self._failing = False
        # As the trainer was built with them: a person may edit the files while it trains.
        recipe = load_recipe(run.recipe)
        self._settings = {
            "config": read_config(run, stage),
            "recipe": recipe.values(stage),
            "launch": launch_record(recipe, self.world.size),
        }

    def save(self, model: Any, trial: Any) -> None:
        """Save a checkpoint of the trainer's present step, or say why there is none."""
        state = self.trainer.state
        folder = self.run.output(self.stage) / f"checkpoint-{state.global_step}"
        need, have = self.needed_bytes(), free_bytes(self.run.path)
        if self.world.any(have < need):
            self._report(folder, "the disk is full", need, have)
            return
        best = state.best_model_checkpoint
        self.writer.update(saving=folder.name)
        try:
            reason = self._write(model, trial, folder)
        finally:
            self.writer.update(saving="")
        if reason:
            state.best_model_checkpoint = best
            self._report(folder, reason, need, free_bytes(self.run.path))
            return
        self._failing = False
        step = state.global_step
        self.writer.event("checkpoint", stage=self.stage, step=step, path=str(folder))
        self.writer.update(step=step, stopped_at=str(folder))

    def _write(self, model: Any, trial: Any, folder: Path) -> str:
        """Save; why there is no checkpoint, empty where there is one."""
        # A damaged folder of this name would leave its files among the new ones.
        if self.world.writes and folder.exists() and verify(folder, root=self.run.path):
            shutil.rmtree(folder, ignore_errors=True)
        if self.world.writes:
            (folder / MANIFEST).unlink(missing_ok=True)
        self.world.wait()
        failure = attempt(lambda: self._save_part(model, trial), folder)
        if not self.world.any(failure is not None) and self.world.writes:
            failure = attempt(lambda: self._complete(folder), folder)
        if self.world.any(failure is not None):
            if self.world.writes:
                discard(folder)
            return reason_of(failure) if failure else "another process could not save its part"
        return ""

    def _save_part(self, model: Any, trial: Any) -> None:
        arguments = self.trainer.args
        limit, arguments.save_total_limit = arguments.save_total_limit, None
        try:
            self._save(model, trial)
        finally:
            arguments.save_total_limit = limit

    def _complete(self, folder: Path) -> None:
        """Write the manifest, then delete older checkpoints."""
        ranks = saved_ranks(folder)
        write_manifest(folder, {**self.facts(), **self._settings, "ranks": ranks})
        best = self.trainer.state.best_model_checkpoint
        keep = (folder, Path(best)) if best else (folder,)
        limit = self.trainer.args.save_total_limit
        for old in surplus(self.run.output(self.stage), limit, keep=keep):
            shutil.rmtree(old, ignore_errors=True)

    def facts(self) -> dict[str, Any]:
        """Which training a manifest belongs to."""
        return {"run": self.run.id, "stage": self.stage, "step": self.trainer.state.global_step}

    def needed_bytes(self) -> int:
        """Disk space of the next checkpoint, by the last one or by the trained parameters."""
        newest = choose(self.run, self.stage, deep=False).folder
        if newest is not None:
            return int(GROWTH * folder_bytes(newest))
        parameters = [p for p in self.trainer.model.parameters() if p.requires_grad]
        weights = sum(p.numel() * (p.element_size() + MOMENT_BYTES) for p in parameters)
        return int(FIRST_SAVE_BYTES + weights)

    def _report(self, folder: Path, what: str, need: int, have: int) -> None:
        step = self.trainer.state.global_step
        self.writer.event(
            "save_failed", stage=self.stage, step=step, checkpoint=folder.name,
            what=what, need=need, have=have,
        )  # fmt: skip
        kept = choose(self.run, self.stage, deep=False).folder
        older = f"{kept.name} is kept" if kept else "there is no older one"
        said = (
            f"{self.stage} {folder.name} is not saved: {what} "
            f"(needs {megabytes(need)}, has {megabytes(have)}); {older}, training goes on."
        )
        # A disk that stays full for hundreds of checkpoints is one note; each has its event.
        if self._failing:
            print(said, flush=True)
        else:
            self.writer.note(said)
        self._failing = True

    def save_final(self) -> None:
        """Save the stage's final weights.

        Raises:
            ProblemError: they cannot be written; no half of them is left.
        """
        output = self.run.output(self.stage)
        self.writer.update(saving="final weights")
        try:
            self.trainer.save_model(str(output))
            if self.world.writes:
                write_manifest(output, self.facts(), recursive=False)
        except Exception as error:
            for name in (MANIFEST, ADAPTER_CONFIG, ADAPTER_WEIGHTS, "model.safetensors"):
                with contextlib.suppress(OSError):
                    (output / name).unlink()
            if not is_write_failure(error):
                raise
            have = free_bytes(self.run.path)
            what = f"the final weights cannot be saved: {reason_of(error)}"
            kept = choose(self.run, self.stage, deep=False).folder
            start = f"it goes on from {kept.name}" if kept else "the stage starts anew"
            hint = f"It has {megabytes(have)}. Free disk space and resume: {start}."
            raise ProblemError(Problem(what, str(output), hint)) from error
        finally:
            self.writer.update(saving="")


def attempt(work: Callable[[], None], folder: Path) -> Exception | None:
    """Do a part of the saving; what the file system refused, any other failure is raised."""
    try:
        work()
    except Exception as error:
        if is_write_failure(error):
            return error
        discard(folder)
        raise
    return None


def error_number(error: BaseException) -> int:
    """The system's number of an error, 0 for none; Rust's libraries write it into the text."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"\(os error (\d+)\)", str(error)) or re.search(
        r"Os { code: (\d+)", str(error)
    )
    return int(found[1]) if found else 0


def is_write_failure(error: BaseException) -> bool:
    """Whether the file system took no more of a file, as far as the libraries tell."""
    by_torch = isinstance(error, RuntimeError) and any(s in str(error) for s in TORCH_FAILURES)
    return by_torch or error_number(error) in WRITE_ERRNOS


def reason_of(error: BaseException) -> str:
    """Why a file could not be written, in a few words."""
    number = error_number(error)
    if number in FULL_ERRNOS:
        return "the disk is full"
    if number:
        return f"the disk reports: {os.strerror(number)}"
    return f"the disk takes no more ({str(error).splitlines()[0][:120]})"


def discard(folder: Path) -> None:
    """Remove a half-written checkpoint; what cannot be removed is marked as incomplete."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        with contextlib.suppress(OSError):
            (folder / INCOMPLETE_MARK).touch()
