"""Runs that go on from another run's weights: from its final adapter, or forked at a checkpoint."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.recipe.checks import check, errors
from workbench.recipe.recipe import Recipe, apply_overrides, load_recipe
from workbench.recipe.schema import STAGES
from workbench.run.checkpoints import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    DamagedError,
    check_structure,
    checkpoint_folders,
    step_of,
    verify,
)
from workbench.run.directory import BASE_REFERENCE, Origin, RunDirectory, create_run
from workbench.run.record import RunRecord, is_active, read_record, trust_model
from workbench.run.trust import refuse_imported

REFERENCE_FOLDER = "ref"
"""Where TRL keeps the frozen adapter of the reference, in a checkpoint of DPO."""


def find_origin(run: RunDirectory, place: str = "", *, keep_reference: bool = True) -> Origin:
    """The weights of a run that another one begins with.

    Args:
        place: A step (of its last stage that has it), `STAGE:STEP`, a stage for its final
            adapter, or empty for the last stage's final adapter, else its newest checkpoint.
        keep_reference: DPO goes on against the parent's reference; otherwise the weights
            themselves become it.

    Raises:
        ProblemError: The run has no such weights, or they are damaged.
    """
    record = read_record(run)
    refuse_imported(run, record)
    stage, step = _parse_place(place, record)
    origin = _find(run, record, stage, step)
    return origin if keep_reference else dataclasses.replace(origin, reference="")


def _find(run: RunDirectory, record: RunRecord, stage: str, step: int) -> Origin:
    if step:
        return _at_checkpoint(run, stage, step, record.stages)
    for name in [stage] if stage else reversed(record.stages):
        if adapter := run.adapter(name):
            _check_adapter(adapter)
            reference = reference_of(run, record) if name == "dpo" else ""
            return Origin(run.id, name, 0, adapter, reference)
        if not stage and (whole := run.checkpoints(name)):
            return _at_checkpoint(run, name, step_of(whole[-1]), record.stages)
    hint = "Wait for its first checkpoint." if is_active(record) else "Name another run."
    raise ProblemError(Problem(f"run {run.id} has no adapter", "--from", hint))


def _parse_place(place: str, record: RunRecord) -> tuple[str, int]:
    stage, _, number = place.rpartition(":")
    if number in STAGES and not stage:
        stage, number = number, ""
    good = (not number or (number.isdecimal() and len(number) < 10)) and stage in ("", *STAGES)
    if not good:
        what = f"cannot read the place {place!r} in the run"
        hint = "Name a checkpoint's step (8), a stage (sft), or both (sft:8)."
        raise ProblemError(Problem(what, record.id, hint), exit_code=2)
    if stage and stage not in record.stages:
        what = f"the run has no stage {stage}; it has {', '.join(record.stages)}"
        raise ProblemError(Problem(what, record.id, "Name one of these."), exit_code=2)
    return stage, int(number or 0)


def _at_checkpoint(run: RunDirectory, stage: str, step: int, stages: Sequence[str]) -> Origin:
    names = [stage] if stage else list(reversed(stages))
    for name in names:
        folder = run.output(name) / f"checkpoint-{step}"
        if not folder.is_dir():
            continue
        if reason := verify(folder, root=run.path, deep=True):
            what = f"{name} {folder.name} cannot be used: {reason}"
            raise ProblemError(Problem(what, run.id, _steps_hint(run, names)))
        if not (folder / ADAPTER_CONFIG).is_file():
            what = f"{name} {folder.name} holds a whole model, no adapter"
            hint = "Start a run with model_name_or_path set to its folder."
            raise ProblemError(Problem(what, str(folder), hint))
        reference = _checkpoint_reference(folder) if name == "dpo" else ""
        return Origin(run.id, name, step, folder, reference)
    what = f"the run has no checkpoint of step {step}"
    raise ProblemError(Problem(what, run.id, _steps_hint(run, names)), exit_code=2)


def _steps_hint(run: RunDirectory, stages: Sequence[str]) -> str:
    steps = [f"{name}:{step_of(folder)}" for name in stages for folder in run.checkpoints(name)]
    return f"It has {', '.join(steps)}." if steps else "It has none."


def _checkpoint_reference(folder: Path) -> str:
    frozen = folder / REFERENCE_FOLDER
    return str(frozen) if (frozen / ADAPTER_CONFIG).is_file() else BASE_REFERENCE


def reference_of(run: RunDirectory, record: RunRecord) -> str:
    """The reference that a run's DPO was trained against: a folder, or `BASE_REFERENCE`."""
    for folder in reversed(checkpoint_folders(run.output("dpo"))):
        # Whole weights come without their reference: it is what DPO began with.
        if (folder / ADAPTER_CONFIG).is_file() and not verify(folder, root=run.path):
            return _checkpoint_reference(folder)
    if "sft" in record.stages:
        return str(run.output("sft"))
    return record.start_reference or record.start_adapter or BASE_REFERENCE


def _check_adapter(folder: Path) -> None:
    try:
        for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
            check_structure(folder / name)
    except (DamagedError, OSError) as error:
        reason = f"{error.strerror}" if isinstance(error, OSError) else str(error)
        what = f"the adapter cannot be used: {reason}"
        raise ProblemError(Problem(what, str(folder), "Name one of the checkpoints.")) from error


def stages_after(origin: Origin, stages: Sequence[str]) -> tuple[str, ...]:
    """The stages of a recipe that are left for a fork: that of the checkpoint and those behind."""
    if origin.stage not in stages:
        return tuple(stages)
    first = list(stages).index(origin.stage) + (0 if origin.step or origin.reference else 1)
    return tuple(stages[first:])


def fit_recipe(recipe: Recipe, origin: Origin) -> Recipe:
    """A recipe without the stages that lie behind its origin.

    Raises:
        ProblemError: No stage is left, or the recipe asks for another shape of the adapter.
    """
    left = stages_after(origin, recipe.stages)
    if not left:
        what = f"no stage is left to train behind {origin.stage} of {origin.run}"
        hint = f"Name one of its checkpoints: {origin.run}@{origin.stage}:STEP."
        raise ProblemError(Problem(what, recipe.path.name, hint), exit_code=2)
    _check_shape(recipe, left[0], origin)
    if left == recipe.stages:
        return recipe
    return load_recipe(recipe.path, text=recipe.text, stage=left[0])


def _check_shape(recipe: Recipe, stage: str, origin: Origin) -> None:
    try:
        adapter = json.loads((origin.folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        rank, targets = adapter["r"], adapter.get("target_modules")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    asked, names = recipe.get("lora_r", stage), recipe.get("lora_target_modules", stage)
    hint = "A fork keeps the shape of its parent's adapter; start a new run to change it."
    if asked != rank:
        what = f"the checkpoint has r {rank}, the config says {asked}"
        raise ProblemError(Problem(what, f"{stage}.lora_r", hint))
    plain = isinstance(names, list) and isinstance(targets, list) and "all-linear" not in names
    if plain and {name.split(".")[-1] for name in names} != {t.split(".")[-1] for t in targets}:
        was, now = ", ".join(sorted(targets)), ", ".join(sorted(names))
        what = f"the checkpoint has target modules {was}, the config says {now}"
        raise ProblemError(Problem(what, f"{stage}.lora_target_modules", hint))


def fork_recipe(run: RunDirectory, place: str, settings: Sequence[str]) -> tuple[Recipe, Origin]:
    """A run's own recipe with some settings changed, and the weights that it begins with.

    Raises:
        ProblemError: There are no such weights, or a setting cannot be.
    """
    origin, record = find_origin(run, place), read_record(run)
    text = load_recipe(run.recipe).text
    stages = record.stages
    # Relative paths count from where the recipe lay.
    path = Path(record.recipe_path) if record.recipe_path else run.recipe
    recipe = load_recipe(
        path, text=apply_overrides(text, settings), stage=stages[0] if len(stages) == 1 else None
    )
    return fit_recipe(recipe, origin), origin


def fork_run(
    paths: Paths, run: RunDirectory, place: str = "", settings: Sequence[str] = (), name: str = ""
) -> RunDirectory:
    """Make a new run, not launched, that trains another one's weights further.

    Optimizer and schedule begin anew; the lineage is kept in the record.

    Args:
        place: See `find_origin`.
        settings: `KEY=VALUE`, as for `run --set`.
        name: Of the new run; the parent's when empty.

    Raises:
        ProblemError: It cannot be.
    """
    recipe, origin = fork_recipe(run, place, settings)
    parent = read_record(run)
    if fatal := errors(check(recipe, paths, trusted_model=parent.trusted_model)):
        raise ProblemError(*fatal)
    forked = create_run(paths, recipe, name=name or parent.name, origin=origin)
    trust_model(forked, parent.trusted_model)
    return forked


def fork_places(run: RunDirectory) -> list[tuple[str, str]]:
    """Where a run can be forked, the newest first: what `find_origin` takes, and its words.

    Raises:
        ProblemError: Nowhere yet.
    """
    record = read_record(run)
    refuse_imported(run, record)
    places = []
    for stage in reversed(record.stages):
        if run.adapter(stage):
            places.append((stage, f"{stage}, the final adapter"))
        steps = [step_of(folder) for folder in reversed(run.checkpoints(stage))]
        places += [(f"{stage}:{step}", f"{stage}, the checkpoint of step {step}") for step in steps]
    if not places:
        hint = "Wait for its first checkpoint." if is_active(record) else "Fork another run."
        raise ProblemError(Problem("the run has no adapter and no checkpoint", run.id, hint))
    return places


def describe_lineage(record: RunRecord) -> str:
    """Where a run's first weights came from: `forked from RUN at dpo step 8`; else empty."""
    if not record.parent:
        return ""
    if not record.parent_stage:
        return f"from {record.parent}"
    if not record.parent_step:
        return f"from {record.parent}, the final {record.parent_stage} adapter"
    return f"forked from {record.parent} at {record.parent_stage} step {record.parent_step}"
