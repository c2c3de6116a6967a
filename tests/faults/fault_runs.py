"""Run directories without any training, and ways to be somebody without rights."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static

from workbench.base.paths import Paths
from workbench.run.directory import RunDirectory
from workbench.tui.app import WorkbenchApp

RUN_ID = "20260101-120000-trial-0001"
NOBODY = 65534


def home(root: Path) -> Paths:
    """The user's folders below a root."""
    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(root)})
    paths.runs.mkdir(parents=True)
    return paths


def make_run(paths: Paths, run_id: str = RUN_ID, **record: Any) -> RunDirectory:
    """A run that has ended, with three logged steps and a log."""
    run = RunDirectory(paths.runs / run_id)
    run.path.mkdir(mode=0o700)
    fields = {
        "version": 1,
        "id": run_id,
        "name": "trial",
        "title": "Trial",
        "state": "finished",
        "stages": ["dpo"],
        "stage": "dpo",
        "step": 3,
        "max_steps": 3,
        "created": 1.0,
        "started": 2.0,
        "finished": 9.0,
    }
    run.record.write_text(json.dumps({**fields, **record}))
    run.record.chmod(0o600)
    run.recipe.write_text("model_name_or_path: org/model\ndataset_name: org/pairs\n")
    for step in (1, 2, 3):
        add_row(run, step, loss=0.7 - step / 10)
    run.log.write_text("Loading\nDone\n")
    return run


def add_row(run: RunDirectory, step: int, stage: str = "dpo", **values: Any) -> None:
    """Append a log record by hand."""
    add_line(run, json.dumps({"time": 100.0 + step, "stage": stage, "step": step, **values}))


def add_line(run: RunDirectory, line: str) -> None:
    """Append any line."""
    with run.metrics.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """File permissions count even where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture(name="paths")
def reader_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("DPO_WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return home(tmp_path / "home")


@pytest.fixture(name="run")
def reader_run(paths: Paths) -> RunDirectory:
    return make_run(paths)


async def until(pilot: Any, condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await pilot.pause(0.02)


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).visual)
