"""What has changed since a checkpoint was written: settings and data files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from workbench.base.files import json_safe
from workbench.base.problems import Problem, ProblemError
from workbench.recipe.launching import launch_record, launch_wish, process_count
from workbench.recipe.recipe import load_recipe
from workbench.run.checkpoints import ADAPTER_CONFIG, DamagedError, choose, file_hash, read_manifest
from workbench.run.devices import slots_of_recipe, split_device, visible_slots
from workbench.run.directory import RunDirectory
from workbench.run.record import RunRecord, read_record

WITHOUT_EFFECT = [
    "output_dir", "run_name", "report_to", "project", "disable_tqdm",
    "resume_from_checkpoint", "env", "save_steps", "save_strategy", "save_total_limit",
    "save_only_model", "eval_strategy", "eval_steps", "eval_on_start",
    "per_device_eval_batch_size", "dataloader_num_workers", "dataloader_pin_memory",
]  # fmt: skip
"""Keys that change no step of the training."""
WITHOUT_EFFECT_PREFIXES = ("logging_", "log_", "hub_", "push_to_hub", "trackio_")
FIXED = ("learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon")
SCHEDULE = ("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "warmup_ratio")
LENGTH = ("max_steps", "num_train_epochs")
ORDER = ("seed", "data_seed", "per_device_train_batch_size", "gradient_accumulation_steps")
SHAPE = [
    "lora_r", "lora_target_modules", "lora_target_parameters", "lora_modules_to_save",
    "use_peft", "use_dora", "model_name_or_path", "model_revision",
]  # fmt: skip
PLAIN = {"accelerate_config": "multi_gpu", "mixed_precision": "no"}
LAUNCH = {
    "num_processes": "each step takes another number of rows, and they come in another order",
    "accelerate_config": "the optimizer's state was saved by another way of sharing the work",
    "mixed_precision": "",
}
"""What a manifest tells of the launch, and the effect of a change."""
HASH_LIMIT_BYTES = 200_000_000
"""A data file of the same size is read only up to this size."""


@dataclass(frozen=True)
class Change:
    """One setting that is not what it was when the checkpoint was written.

    Attributes:
        effect: What a resume makes of it, empty where it simply applies from there on.
        refused: No resume is possible with it.
    """

    stage: str
    key: str
    before: str
    after: str
    effect: str = ""
    refused: bool = False

    def __str__(self) -> str:
        text = f"{self.stage}.{self.key}: {self.before} -> {self.after}"
        return f"{text} ({self.effect})" if self.effect else text


def changed_settings(run: RunDirectory) -> list[Change]:
    """What differs between a run's files now and those that its checkpoint was trained with.

    It is the checkpoint that `resume` would go on from; without one nothing has changed, since
    the stage begins anew.
    """
    record = read_record(run)
    stage = next((name for name in record.stages if name not in record.results), "")
    folder = choose(run, stage, deep=False).folder if stage else None
    if folder is None:
        return []
    config = _config(run.config(stage))
    try:
        manifest = read_manifest(folder) or {}
    except DamagedError:
        manifest = {}
    if isinstance(manifest.get("config"), dict):
        changes = list(_differences(stage, manifest["config"], config))
        changes += _recipe_changes(run, stage, manifest, {change.key for change in changes})
        changes += _launch_changes(run, record, stage, manifest)
    else:
        changes = [] if record.start_adapter else list(_shape_changes(stage, folder, config))
    return changes + list(_data_changes(run, stage))


def _config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        config = None
    if not isinstance(config, dict):
        what = "the run's resolved config is gone or damaged"
        raise ProblemError(Problem(what, str(path), "Launch the recipe anew, or use another run."))
    return config


def _differences(
    stage: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Change]:
    for key in sorted({*before, *after}):
        if key in WITHOUT_EFFECT or key.startswith(WITHOUT_EFFECT_PREFIXES):
            continue
        old, new = json_safe(before.get(key)), json_safe(after.get(key))
        if old != new:
            yield Change(stage, key, show_value(old), show_value(new), *_judge(key, old, new))


def _judge(key: str, old: Any, new: Any) -> tuple[str, bool]:
    if key in SHAPE:
        name = "r" if key == "lora_r" else key
        text = f"the checkpoint has {name} {show_value(old)}, the config says {show_value(new)}"
        return text, True
    if key in FIXED:
        return "has no effect on a resumed optimizer schedule; fork instead", False
    if key in SCHEDULE:
        return "only the steps to come follow it, not those already trained; fork instead", False
    if key in LENGTH:
        return "the schedule of the steps to come is stretched to it", False
    if key in ORDER or "dataset" in key or "split" in key:
        return "the rows come in another order: some are seen twice, some never", False
    return "", False


def show_value(value: Any) -> str:
    """A setting's value in one line."""
    return "(not set)" if value is None else json.dumps(value, ensure_ascii=False).strip('"')


def _recipe_changes(
    run: RunDirectory, stage: str, manifest: Mapping[str, Any], known: set[str]
) -> list[Change]:
    before = manifest.get("recipe")
    if not isinstance(before, dict):
        return []
    after = load_recipe(run.recipe).values(stage)
    effect = (
        f"only {run.recipe.name} says so, a resume takes {run.config(stage).name}; fork instead"
    )
    return [
        Change(stage, change.key, change.before, change.after, effect)
        for change in _differences(stage, before, after)
        if change.key not in known
    ]


def _launch_changes(
    run: RunDirectory, record: RunRecord, stage: str, manifest: Mapping[str, Any]
) -> Iterator[Change]:
    """What differs in the launch; a manifest without it is taken for one of the last start."""
    recipe = load_recipe(run.recipe)
    said = manifest.get("launch")
    before: dict[str, Any] = {"num_processes": max(record.processes, 1), **PLAIN}
    before |= said if isinstance(said, dict) else {}
    wish = launch_wish(recipe)
    machines = max(len(record.hosts), wish.num_machines)
    devices = len(split_device(record.device) or slots_of_recipe(recipe) or visible_slots())
    processes = process_count(replace(wish, num_machines=machines), devices=devices)
    if wish.num_processes is None and (record.slurm_job or machines > 1):
        # Only the machines themselves know how many devices they have.
        processes = before["num_processes"]
    after = launch_record(recipe, processes)
    for key, effect in LAUNCH.items():
        if before[key] != after[key]:
            yield Change(stage, key, show_value(before[key]), show_value(after[key]), effect)


def _shape_changes(stage: str, folder: Path, config: Mapping[str, Any]) -> Iterator[Change]:
    """Without a manifest the adapter's own config still tells its rank."""
    try:
        adapter = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        rank = adapter["r"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if "lora_r" in config and config["lora_r"] != rank:
        asked = config["lora_r"]
        yield Change(
            stage, "lora_r", show_value(rank), show_value(asked), *_judge("lora_r", rank, asked)
        )


def _data_changes(run: RunDirectory, stage: str) -> Iterator[Change]:
    """Local data files that are not those which the stage began with."""
    try:
        known = json.loads(run.environment.read_text(encoding="utf-8"))
        files = known["datasets"][stage]["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    effect = "the rows are not those that were trained on so far"
    for entry in files if isinstance(files, list) else []:
        path, size = Path(str(entry.get("path"))), entry.get("bytes")
        before = f"{size:,} bytes" if isinstance(size, int) else "as it was"
        if not path.is_file():
            yield Change(stage, path.name, before, "missing", effect)
        elif (now := path.stat().st_size) != size:
            yield Change(stage, path.name, before, f"{now:,} bytes", effect)
        elif now <= HASH_LIMIT_BYTES and entry.get("sha256") not in (None, file_hash(path)):
            yield Change(stage, path.name, before, f"{now:,} other bytes", effect)


def refuse_changes(run: RunDirectory, *, accept: bool) -> list[Change]:
    """The changes that a resume goes on with.

    Raises:
        ProblemError: There are some and nobody has accepted them, or they allow no resume.
    """
    changes = changed_settings(run)
    refused = [change for change in changes if change.refused]
    if refused:
        hint = (
            f"Set it back. A fork keeps the shape of the weights too: dpo-workbench fork {run.id}."
        )
        raise ProblemError(
            *(Problem(change.effect, f"{change.stage}.{change.key}", hint) for change in refused)
        )
    if changes and not accept:
        listed = "; ".join(str(change) for change in changes)
        hint = "Undo them, fork the run, or go on with them: resume --accept-changes."
        raise ProblemError(Problem(f"changed since the checkpoint: {listed}", run.id, hint))
    return changes
