"""A tiny model and the runs on it that several tests look at; each is made once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tiny_model import make_tiny_model, write_tiny_recipe
from worker_helpers import MakeRun, train

from workbench.base.paths import Paths
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory, create_run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny model."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def new_run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Makes a run directory on the tiny model; keyword arguments as `write_tiny_recipe`."""
    home = tmp_path_factory.mktemp("home")
    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(home)})

    def make(model: Path = tiny, **options: Any) -> RunDirectory:
        folder = tmp_path_factory.mktemp("recipe")
        recipe = write_tiny_recipe(folder / "tiny.yaml", model, **options)
        return create_run(paths, load_recipe(recipe))

    return make


@pytest.fixture(scope="session")
def finished(new_run: MakeRun) -> RunDirectory:
    """A run of SFT and DPO that nothing disturbed."""
    run = new_run(steps=16)
    record = train(run)
    assert record.state == "finished", run.log.read_text()
    return run


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks a model hub."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setitem(os.environ, "GOMP_SPINCOUNT", "5000")
