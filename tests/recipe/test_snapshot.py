"""Which description of the settings is taken, and that another TRL is asked for its own."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from workbench.base.problems import ProblemError
from workbench.recipe import snapshot
from workbench.recipe.schema import load_schema, renew_schema


@pytest.fixture
def known_versions() -> None:
    """Here the installed versions are what it is about."""


def test_versions_are_those_of_the_installed_packages() -> None:
    assert snapshot.installed_versions() == {name: version(name) for name in snapshot.SOURCES}


def test_the_first_folder_wins_and_missing_ones_are_passed_over(tmp_path: Path) -> None:
    for name in ("a/trl-2.0.dist-info", "b/trl-1.0.dist-info", "b/trlx-9.dist-info"):
        (tmp_path / name).mkdir(parents=True)
    folders = [str(tmp_path / name) for name in ("none", "a", "b")]
    assert snapshot.installed_versions(folders) == {"trl": "2.0"}


@pytest.fixture
def another_trl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if another TRL were installed; the file that would describe it."""
    monkeypatch.setenv("DPO_WORKBENCH_HOME", str(tmp_path))
    monkeypatch.setattr(snapshot, "installed_versions", lambda: {"trl": "99.0"})
    load_schema.cache_clear()
    return tmp_path / "cache" / "settings-trl-99.0.json"


@pytest.fixture(autouse=True)
def _forget() -> object:
    yield
    load_schema.cache_clear()


def test_another_version_is_asked_once(another_trl: Path) -> None:
    assert snapshot.is_outdated()
    assert load_schema().field("beta", "dpo")  # the shipped description serves meanwhile
    renew_schema()
    assert not snapshot.is_outdated()
    described = json.loads(another_trl.read_text())
    assert described["fields"].keys() == {"sft", "dpo"}
    described["fields"]["dpo"] = [f for f in described["fields"]["dpo"] if f["name"] != "beta"]
    another_trl.write_text(json.dumps(described))
    load_schema.cache_clear()
    assert load_schema().field("beta", "dpo") is None


@pytest.mark.parametrize("content", ["", "[]", '{"versions": 1}'])
def test_a_broken_description_is_not_taken(another_trl: Path, content: str) -> None:
    another_trl.parent.mkdir()
    another_trl.write_text(content)
    assert load_schema().field("beta", "dpo")


def test_a_trl_that_cannot_be_asked_is_told(
    another_trl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'ImportError: no trl' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(snapshot.sys, "executable", str(broken))
    with pytest.raises(ProblemError, match=r"settings of trl 99\.0 .*: ImportError: no trl"):
        snapshot.describe_installed()
    assert not another_trl.exists()
