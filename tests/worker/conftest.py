"""A tiny model and the runs on it that several tests look at; each is made once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tiny_model import make_tiny_model, write_tiny_recipe
from worker_helpers import SECRETS, MakeRun, Witness, wait_for_end, wait_until

from workbench.base.paths import Paths
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory, create_run
from workbench.run.launch import launch
from workbench.run.record import has_ended, read_record


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
def witnessed(new_run: MakeRun) -> tuple[RunDirectory, Witness]:
    """A run of SFT and DPO, started by a careless user with secrets around and no umask."""
    witness = Witness()
    umask = os.umask(0)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_HUB_OFFLINE", "1")
            for name, value in SECRETS.items():
                patch.setenv(name, value)
            run = new_run(steps=16)
            launch(run)
        wait_until(lambda: witness.look(run) or has_ended(read_record(run)), "the end")
        record = wait_for_end(run)
    finally:
        os.umask(umask)
    assert record.state == "finished", run.log.read_text()
    return run, witness


@pytest.fixture(scope="session")
def finished(witnessed: tuple[RunDirectory, Witness]) -> RunDirectory:
    """A run of SFT and DPO that nothing disturbed."""
    return witnessed[0]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks a model hub."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setitem(os.environ, "GOMP_SPINCOUNT", "5000")
