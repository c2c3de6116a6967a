"""Fixtures that every room's tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.base.paths import Paths
from workbench.recipe import snapshot
from workbench.recipe.recipe import Recipe, load_recipe

FLAT_RECIPE = """\
# A comment that stays.
model_name_or_path: org/model
use_peft: true
lora_r: 8
dataset_name: org/pairs
beta: 0.1  # how far from the reference
learning_rate: 5e-5
"""


@pytest.fixture(autouse=True)
def known_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped description of the settings serves, whatever the index gave this morning."""
    versions = {name: snapshot.shipped()["versions"][name] for name in snapshot.SOURCES}
    monkeypatch.setattr(snapshot, "installed_versions", lambda folders=(): versions)


@pytest.fixture(autouse=True)
def _no_gpus_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An AMD processor brings a GPU that no test has asked for."""
    monkeypatch.setattr("workbench.run.gpus.SYSFS", Path("/nowhere"))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """The user's folders, below a temporary home."""
    return Paths.from_environment({"DPO_WORKBENCH_HOME": str(tmp_path / "home")})


@pytest.fixture
def make_recipe(tmp_path: Path) -> Callable[..., Recipe]:
    """Writes a recipe file and reads it back."""

    def make(text: str = FLAT_RECIPE, name: str = "trial.yaml", **options: str) -> Recipe:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return load_recipe(path, **options)

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, so that other tests run beside it."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
