"""Every setting that TRL's SFT and DPO commands know, without importing TRL.

What is known of them (name, type, default, choices, help text) comes from `snapshot`.
"""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass
from typing import Any, Literal

from workbench.recipe.snapshot import describe_installed, read_snapshot

STAGES = ("sft", "dpo")
"""Stages in the order in which they run."""

OWN_KEYS = {
    "title": "One line that names the recipe in lists.",
    "description": "A few sentences: what the recipe is for.",
    "probe_prompts": "Prompts that are answered before and after each stage, and in comparisons.",
    "shared_prefix": "auto (the default) computes no padding, and the prompt of a DPO pair once, "
    "where the model can; off leaves every pass to TRL.",
    "data_format": "Shape of the data's rows, by a name of `dpo-workbench data --formats`; guessed "
    "where it is not given, and rows that TRL reads as they stand are left alone.",
    "columns": "Which of the data's columns are TRL's, such as {prompt: question}.",
    "slurm": "What a job of Slurm's asks for, by the long options of sbatch: {partition: gpu, "
    "nodes: 1, gpus-per-node: 4, time: '2:30:00'}. The run is submitted where a recipe has it.",
    "pairs": "Which pairs are made of several ranked answers: all (the default), adjacent ones, or "
    "the best against the worst.",
}
"""The workbench's own keys; they never reach TRL."""

SHAPE_KEYS = ("data_format", "columns", "pairs")
"""Those of them that a stage may have for itself."""

Kind = Literal["int", "float", "bool", "str", "list", "dict"]


@dataclass(frozen=True)
class Field:
    """One setting of TRL.

    Attributes:
        kind: Type of its value; a `float` takes integers too.
        optional: Whether null is allowed.
        choices: Allowed values of a text, or of each item of a list; empty = any.
        help: TRL's own help text.
        stages: The stages that know it; none knows an option of the launcher.
        source: TRL's dataclass, such as `DPOConfig`.
    """

    name: str
    kind: Kind
    optional: bool
    default: Any
    choices: tuple[str, ...]
    help: str
    stages: tuple[str, ...]
    source: str


class Schema:
    """The settings of both stages; a default may differ between them.

    Attributes:
        launch: The options that TRL hands to `accelerate launch`, by name.
    """

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.launch = {raw["name"]: _field(raw, ()) for raw in snapshot["launch"]}
        known = {stage: {f["name"] for f in snapshot["fields"][stage]} for stage in STAGES}
        self._fields: dict[str, dict[str, Field]] = {
            stage: {
                raw["name"]: _field(raw, tuple(s for s in STAGES if raw["name"] in known[s]))
                for raw in snapshot["fields"][stage]
            }
            for stage in STAGES
        }

    def field(self, name: str, stage: str | None = None) -> Field | None:
        """A setting by name, of one stage or of whichever stage knows it."""
        for candidate in (stage,) if stage else STAGES:
            if name in self._fields[candidate]:
                return self._fields[candidate][name]
        return None

    def names(self, stage: str | None = None) -> list[str]:
        """Names of one stage's settings or of all, in TRL's order."""
        stages = (stage,) if stage else STAGES
        return list(dict.fromkeys(name for s in stages for name in self._fields[s]))

    def nearest(self, name: str, stage: str | None = None, *, in_section: bool = False) -> str:
        """The valid key that a misspelt one most likely means, or an empty text.

        Args:
            in_section: Whether it stands in a stage's section, where launch options do not belong.
        """
        valid = [*self.names(stage), *OWN_KEYS, *STAGES]
        valid += [] if in_section else self.launch
        return next(iter(difflib.get_close_matches(name, valid, n=1, cutoff=0.6)), "")


def _field(raw: dict[str, Any], stages: tuple[str, ...]) -> Field:
    return Field(
        name=raw["name"],
        kind=raw["kind"],
        optional=raw["optional"],
        default=raw["default"],
        choices=tuple(raw["choices"]),
        help=raw["help"],
        stages=stages,
        source=raw["source"],
    )


@functools.cache
def load_schema() -> Schema:
    """The snapshot, read once per process."""
    return Schema(read_snapshot())


def renew_schema() -> None:
    """Learn the settings of the installed versions; from now on `load_schema` knows them.

    Raises:
        ProblemError: See `snapshot.describe_installed`.
    """
    describe_installed()
    load_schema.cache_clear()
