"""When a stage evaluates and saves, by its resolved config."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.base.files import is_number
from workbench.base.tail import read_small
from workbench.recipe.schema import load_schema
from workbench.run.directory import RunDirectory
from workbench.run.record import read_record
from workbench.run.resolved_config import stage_config

ROUNDING = 1e-6


@dataclass(frozen=True)
class Rhythm:
    """Something that falls due every so many steps, and once more behind the last one.

    Attributes:
        every: Steps, which an epoch need not have in whole numbers; 0 for never.
        last_step: Of the stage.
        first_step: Before it nothing falls due.
    """

    every: float
    last_step: int
    first_step: float = 0.0

    def due(self, after: int, up_to: int) -> int:
        """How often it falls due behind one step and up to another one."""
        if self.every <= 0 or up_to <= after:
            return 0
        before = max(after, math.ceil(self.first_step) - 1, 0)
        count = self._rounds(up_to) - self._rounds(before) if up_to > before else 0
        at_end = after < self.last_step <= up_to and self.last_step >= self.first_step
        odd = abs(self.last_step / self.every - round(self.last_step / self.every)) > ROUNDING
        return count + (1 if at_end and odd else 0)

    def _rounds(self, step: int) -> int:
        return math.floor(step / self.every + ROUNDING)


@dataclass(frozen=True)
class Plan:
    """What a stage does beside its steps.

    Attributes:
        config: The stage's resolved TRL config; what it leaves out counts with TRL's default.
        held_out: Rows of its evaluation, 0 while that is not known.
        processes: How many train together.
    """

    stage: str
    config: Mapping[str, Any]
    held_out: int = 0
    processes: int = 1

    def get(self, key: str) -> Any:
        """A setting, or TRL's default of it."""
        field = load_schema().field(key, self.stage)
        return self.config.get(key, field.default if field else None)

    def evals(self, max_steps: int, epoch_steps: float) -> Rhythm:
        """The evaluations of a stage.

        Args:
            epoch_steps: Steps of an epoch, 0 while unknown.
        """
        delay = self.get("eval_delay")
        by_epoch = self.get("eval_strategy") == "epoch"
        first = float(delay) * (epoch_steps if by_epoch else 1.0) if is_number(delay) else 0.0
        every = self._every("eval", max_steps, epoch_steps)
        return Rhythm(every, max_steps, first)

    def saves(self, max_steps: int, epoch_steps: float) -> Rhythm:
        """The checkpoints of a stage, see `evals`."""
        return Rhythm(self._every("save", max_steps, epoch_steps), max_steps)

    def _every(self, what: str, max_steps: int, epoch_steps: float) -> float:
        strategy = self.get(f"{what}_strategy")
        if strategy == "epoch":
            return epoch_steps
        if strategy != "steps":
            return 0.0
        # Transformers: evaluations without a number of their own come with the log records.
        steps = self.get(f"{what}_steps") or self.get("logging_steps")
        if not is_number(steps) or steps <= 0:
            return 0.0
        return float(math.ceil(max_steps * steps)) if steps < 1 else float(steps)

    @property
    def rows_per_step(self) -> int:
        """Rows, or pairs, of an optimizer step, of all processes together."""
        sizes = (self.get("per_device_train_batch_size"), self.get("gradient_accumulation_steps"))
        rows = math.prod(int(size) if is_number(size) and size >= 1 else 1 for size in sizes)
        return rows * self.processes


def plan_of(run: RunDirectory, stage: str) -> Plan:
    """The plan of a stage from the run's files; a file that cannot be read tells nothing."""
    processes = max(read_record(run).processes, 1)
    return Plan(stage, stage_config(run, stage), _held_out(run, stage), processes)


def _held_out(run: RunDirectory, stage: str) -> int:
    try:
        found = json.loads(read_small(run.environment))
        kept = found["datasets"][stage]["test"]["kept"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return 0
    return int(kept) if is_number(kept) and kept > 0 else 0
