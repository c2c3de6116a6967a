"""Rules between the settings of one stage. Each has a recipe in the tests that breaks it.

They hold for the TRL, transformers and PEFT whose versions `schema.json` names, and need none of
them. What only the machine that trains can know, `check --deep` looks at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from workbench.base.problems import Problem
from workbench.recipe.recipe import Recipe

# Importing a module enters its rules into the tables.
from workbench.recipe.rules import (  # noqa: F401
    adapter,
    data,
    evaluation,
    general,
    losses,
    packages,
    precision,
    schedule,
)
from workbench.recipe.rules.base import DPO_RULES, RULES, SFT_RULES, Settings


def check_rules(recipe: Recipe, stage: str, models: Path) -> Iterator[Problem]:
    """What the rules of a stage say of a recipe.

    Args:
        models: Folder of the converted `pypi:` models.
    """
    settings = Settings(recipe, stage, models)
    for function in (*RULES.values(), *(DPO_RULES if stage == "dpo" else SFT_RULES).values()):
        yield from function(settings)
