"""A configuration in the making for another trainer, and what of the recipe has no equal there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.base.text import clean
from workbench.data.sources import glance
from workbench.recipe.check_data import data_parts
from workbench.recipe.exchange.write import add_remarks, lines_of
from workbench.recipe.recipe import PATH_KEYS, Recipe, absolute_paths
from workbench.recipe.yaml_edit import dump


@dataclass
class Exported:
    """One stage of a recipe as another trainer's configuration.

    Attributes:
        settings: What the file says.
        remarks: What has no equal, and what to do before it trains; one line each.
        files: Other files that belong to it, text by name.
    """

    stage: str
    title: str
    settings: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def text(self, *, with_files: bool = False) -> str:
        """The file, a title and remarks as comments; `with_files` adds its other files so too."""
        lines = [f"# {clean(self.title, newlines=False)}"]
        for key, value in self.settings.items():
            lines += lines_of(key, value)
        text = add_remarks("\n".join(lines) + "\n", self.remarks)
        for name, content in self.files.items() if with_files else ():
            text = add_remarks(text, [f"{name}, to be put beside this file:", *content.split("\n")])
        return text


class Pending:
    """A stage's settings of a recipe that are still to be told to the other trainer."""

    def __init__(self, recipe: Recipe, stage: str, explicit: tuple[str, ...]) -> None:
        """Take the recipe's values, and TRL's defaults of `explicit`."""
        self.recipe, self.stage = recipe, stage
        values = recipe.values(stage)
        folder = recipe.path.parent
        self._left: dict[str, Any] = {key: recipe.get(key, stage) for key in explicit}
        self._left.update(values)
        for key in PATH_KEYS:
            if key in self._left:
                self._left[key] = absolute_paths(key, self._left[key], folder)

    def get(self, key: str) -> Any:
        """A setting's value, TRL's default where the recipe does not say it."""
        return self._left.get(key, self.recipe.get(key, self.stage))

    def says(self, key: str) -> bool:
        """Whether it is still to be told."""
        return key in self._left

    def pop(self, *keys: str) -> Any:
        """Settings that are told now; the value of the first."""
        value = self.get(keys[0])
        for key in keys:
            self._left.pop(key, None)
        return value

    def rename(self, out: dict[str, Any], names: Mapping[str, str]) -> None:
        """Tell all that only has another name there; `names` is TRL's by theirs."""
        for theirs, ours in names.items():
            if ours in self._left:
                out[theirs] = self.pop(ours)

    def lost(self, name: str) -> list[str]:
        """A remark for each setting that nobody has told."""
        idle = {"do_train", "do_eval", "report_to", "logging_nan_inf_filter", "eval_steps"}
        return [
            f"no equal in {name}: {key}: {dump(value)}"
            for key, value in self._left.items()
            if not (key in idle or value is None or value == [] or value == {})
        ]


def sources(pending: Pending) -> list[dict[str, Any]]:
    """The stage's data as TRL's DatasetConfig fields, of `datasets` or of `dataset_name`."""
    entries = pending.pop("datasets")
    if isinstance(entries, list) and entries:
        pending.pop("dataset_name", "dataset_train_split", "dataset_test_split", "dataset_config")
        return [dict(entry) for entry in entries if isinstance(entry, dict)]
    name = pending.pop("dataset_name")
    part = {"path": name, "name": pending.pop("dataset_config")}
    part["split"] = pending.pop("dataset_train_split")
    return [{key: value for key, value in part.items() if value is not None}]


def columns(recipe: Recipe, stage: str) -> dict[str, Any]:
    """The first row of the stage's data, where it is a file on this machine."""
    for part in data_parts(recipe, stage):
        for file in part.files:
            if first := glance(file).first:
                return first
    return {}
