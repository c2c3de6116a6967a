"""What a rule looks at, and the tables that the rules enter themselves into."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.base.files import is_number
from workbench.base.problems import Problem, ProblemError
from workbench.data.sources import glance
from workbench.recipe.base_model import model_config
from workbench.recipe.check_data import data_parts
from workbench.recipe.estimate import Totals, totals
from workbench.recipe.recipe import Recipe


def is_installed(package: str) -> bool:
    """Whether Python finds a package; it is not imported."""
    return importlib.util.find_spec(package) is not None


@dataclass(frozen=True)
class Settings:
    """One stage's settings of a recipe, with their places in the file.

    Attributes:
        models: Folder of the converted `pypi:` models.
        has_package: Tells whether a package is installed.
    """

    recipe: Recipe
    stage: str
    models: Path
    has_package: Callable[[str], bool] = is_installed

    def get(self, key: str) -> Any:
        """The recipe's value, else TRL's default."""
        return self.recipe.get(key, self.stage)

    def has(self, key: str) -> bool:
        """Whether the recipe itself sets it."""
        return key in self.recipe.values(self.stage)

    def where(self, key: str) -> str:
        """The place of a setting, for problems."""
        return self.recipe.document.where(self.recipe.path_of(key, self.stage))

    def number(self, key: str) -> float | None:
        """A value that is a finite number; what is not, `check_values` has reported."""
        value = self.get(key)
        usable = isinstance(value, int | float) and not isinstance(value, bool) and is_number(value)
        return float(value) if usable else None

    def items(self, key: str) -> list[str]:
        """The texts of a list; one stands for a list of one, and nothing for an empty one."""
        value = self.get(key)
        value = value if isinstance(value, list) else [] if value is None else [value]
        return [str(item) for item in value]

    def losses(self) -> list[str]:
        """DPO's losses."""
        return self.items("loss_type")

    @cached_property
    def model(self) -> dict[str, Any]:
        """The base model's config.json; empty where this machine does not have it."""
        folder = self.recipe.path.parent
        return model_config(str(self.get("model_name_or_path") or ""), folder, self.models) or {}

    @cached_property
    def totals(self) -> Totals | None:
        """What the stage adds up to; None where a value is wrong, which is another check's."""
        try:
            return totals(self.recipe, self.stage, self.models)
        except (ProblemError, ValueError, TypeError, ArithmeticError, KeyError):
            return None

    @property
    def rows(self) -> int | None:
        """Training rows, where this machine can count them."""
        return self.totals.rows if self.totals else None

    @property
    def steps(self) -> int | None:
        """Optimizer steps, where they are set or can be counted."""
        return self.totals.steps if self.totals else None

    @cached_property
    def first_rows(self) -> list[dict[str, Any]]:
        """The first row of each local training file."""
        files = [file for part in data_parts(self.recipe, self.stage) for file in part.files]
        return [row for file in files if (row := glance(file).first)]


Rule = Callable[[Settings], Iterator[Problem]]
RULES: dict[str, Rule] = {}
DPO_RULES: dict[str, Rule] = {}
SFT_RULES: dict[str, Rule] = {}


def rule(rules: dict[str, Rule]) -> Callable[[Rule], Rule]:
    """Enter a function into a table of rules under its own name."""

    def enter(function: Rule) -> Rule:
        rules[function.__name__] = function
        return function

    return enter
