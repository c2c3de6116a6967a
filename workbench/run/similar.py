"""How long a step takes, by a past run of this machine with the same settings."""

from __future__ import annotations

import functools
import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import yaml

from workbench.base.paths import Paths
from workbench.base.tail import read_small
from workbench.recipe.launching import launch_wish
from workbench.recipe.recipe import Recipe, flat_recipe, resolve
from workbench.recipe.schema import load_schema
from workbench.run.directory import RunDirectory, list_runs
from workbench.run.metrics import MetricsReader
from workbench.run.record import is_here, read_record
from workbench.run.resolved_config import stage_config

RUNS_AT_MOST = 50
LAST_BYTES = 256 * 1024
ENDED = ("finished", "stopped")
SAME = (
    "model_name_or_path",
    "max_length",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "use_peft",
    "lora_r",
    "lora_target_modules",
    "load_in_4bit",
    "load_in_8bit",
    "dtype",
    "bf16",
    "fp16",
    "use_cpu",
)
"""What decides how long a step takes, the data's own lengths left aside."""
FITTED = ("dtype", "bf16", "fp16", "use_cpu", "gradient_checkpointing")
"""Those that a run fits to its machine where the recipe leaves them open."""


@dataclass(frozen=True)
class Similar:
    """A past run whose steps should take as long.

    Attributes:
        run: Its id.
        seconds: Median of its steps.
    """

    run: str
    seconds: float

    def duration(self, steps: int | None) -> str:
        """`3 min`, rounded as far as such an estimate is worth; empty for unknown steps."""
        return _about(steps * self.seconds) if steps else ""

    def sentence(self, steps: int | None) -> str:
        """`about 3 min (0.66 s a step in run X)`; the pace alone where the steps are unknown."""
        pace = f"{self.seconds:.2g} s a step in run {self.run}"
        return f"about {self.duration(steps)} ({pace})" if steps else pace


def seconds_per_step(recipe: Recipe, stage: str, paths: Paths) -> float | None:
    """Seconds of an optimizer step in the newest similar run; None where there is none."""
    found = find_similar(recipe, stage, paths)
    return found.seconds if found else None


def find_similar(recipe: Recipe, stage: str, paths: Paths) -> Similar | None:
    """The newest run of this machine that trained the same stage with the same settings.

    Only the newest runs are read; a run whose files are damaged counts as none.
    """
    asked = resolve(recipe, stage, output_dir=paths.runs, models=paths.models)
    for run in list_runs(paths)[:RUNS_AT_MOST]:
        record = read_record(run)
        if record.state not in ENDED or not is_here(record) or stage not in record.stages:
            continue
        if not _as_many(record.processes, recipe):
            continue
        had, packed = config_of(run, stage, record.finished), was_packed(run, record.finished)
        if packed is recipe.shared_prefix and same_settings(asked, had, stage):
            seconds = _median_step(run, stage, record.finished)
            if seconds is not None:
                return Similar(run.id, seconds)
    return None


def _as_many(processes: int, recipe: Recipe) -> bool:
    """Whether a recipe asks for as many processes; where it leaves the number open, for several."""
    wish = launch_wish(recipe)
    wanted = 1 if wish.is_one_process else wish.num_processes
    return processes == wanted if wanted else processes > 1


# The files of a run that has ended do not change; `finished` tells it from one that was resumed.
@functools.lru_cache(maxsize=4 * RUNS_AT_MOST)
def config_of(run: RunDirectory, stage: str, finished: float) -> dict[str, Any]:
    """A stage's config, read once.

    Args:
        finished: When the run ended, 0 while it has not.
    """
    return stage_config(run, stage)


def same_settings(asked: dict[str, Any], had: dict[str, Any], stage: str) -> bool:
    """Whether two configs of a stage should take as long for a step; see `SAME`."""
    if not had:
        return False
    for key in SAME:
        if key in FITTED and key not in asked:
            continue
        if _value(asked, key, stage) != _value(had, key, stage):
            return False
    return True


def _value(config: dict[str, Any], key: str, stage: str) -> Any:
    field = load_schema().field(key, stage)
    value = config.get(key, field.default if field else None)
    return sorted(map(str, value)) if isinstance(value, list) else value


@functools.lru_cache(maxsize=4 * RUNS_AT_MOST)
def was_packed(run: RunDirectory, finished: float) -> bool:
    """Whether the run's recipe let the workbench pack its rows."""
    try:
        data = yaml.safe_load(read_small(run.recipe))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        data = None
    return flat_recipe(data if isinstance(data, dict) else {}, "dpo").shared_prefix


@functools.lru_cache(maxsize=4 * RUNS_AT_MOST)
def _median_step(run: RunDirectory, stage: str, finished: float) -> float | None:
    """From the times of the run's last log records; the first of them has no predecessor."""
    reader = MetricsReader(run)
    reader.skip_to_last(LAST_BYTES)
    reader.read_all()
    rows = [
        (float(row["time"]), row["step"])
        for row in reader.recent
        if row["stage"] == stage and "loss" in row and isinstance(row.get("time"), int | float)
    ]
    paces = [
        (later - earlier) / (last - first)
        for (earlier, first), (later, last) in pairwise(rows)
        if last > first and later > earlier
    ]
    return statistics.median(paces) if paces else None


def _about(seconds: float) -> str:
    """Rounded as far as such an estimate is worth."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
