"""A cluster for all tests of this folder, and runs of the tiny model on it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import Cluster, running_cluster
from slurm_runs import Submit
from tiny_model import make_tiny_model, write_tiny_recipe

from workbench.base.paths import Paths
from workbench.recipe.recipe import load_recipe
from workbench.recipe.slurm_section import SlurmWish
from workbench.run.directory import RunDirectory, create_run
from workbench.run.launch import submit_new

SMALL = {"mem": "1500", "time": "30"}


@pytest.fixture(scope="session")
def daemons() -> Iterator[Cluster]:
    # The path of a socket may have no more than a hundred letters.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    try:
        yield from running_cluster(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster(daemons: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster without any jobs; afterwards too."""
    monkeypatch.setenv("SLURM_CONF", str(daemons.config))
    for name in ("SQUEUE_FORMAT", "SQUEUE_STATES"):
        monkeypatch.setenv(name, "%j")
    yield daemons
    daemons.forget_jobs()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny model."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A home in a folder with a name that shells and Slurm would change if they could."""
    folder = tmp_path / "a b%j'$x\"#;é"
    monkeypatch.setenv("DPO_WORKBENCH_HOME", str(folder))
    for name, value in (("HF_HUB_OFFLINE", "1"), ("CUDA_VISIBLE_DEVICES", ""),
                        ("GOMP_SPINCOUNT", "5000")):  # fmt: skip
        monkeypatch.setenv(name, value)
    return Paths.from_environment()


@pytest.fixture
def submit(cluster: Cluster, tiny: Path, home: Paths, tmp_path: Path) -> Submit:
    """Submits a run of the tiny model, DPO alone."""

    def make(steps: int = 4, **options: str) -> RunDirectory:
        setup = tuple(options.pop("setup", "").splitlines())
        recipe = write_tiny_recipe(tmp_path / "tiny.yaml", tiny, stages=("dpo",), steps=steps)
        run = create_run(home, load_recipe(recipe))
        asked = {**SMALL, **{name.replace("_", "-"): text for name, text in options.items()}}
        submit_new(run, SlurmWish(asked, setup))
        return run

    return make
