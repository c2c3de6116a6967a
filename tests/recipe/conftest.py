"""Fixtures of the recipes' tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from foreign_configs import Import

from workbench.recipe.exchange.importing import Imported, import_file
from workbench.recipe.recipe import load_recipe


@pytest.fixture
def bring(tmp_path: Path) -> Import:
    """Imports a text; returns the result and the settings of the recipe's first stage."""

    def run(text: str, **options: str) -> tuple[Imported, dict[str, Any]]:
        source = tmp_path / "source.yaml"
        source.write_text(text, encoding="utf-8")
        found = import_file(source, **options)
        recipe = load_recipe(tmp_path / "new.yaml", text=found.text)
        assert recipe.stages == found.stages
        return found, recipe.values(recipe.stages[0])

    return run
