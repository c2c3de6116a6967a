from __future__ import annotations

from pathlib import Path

import pytest

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.catalog import Catalog
from workbench.recipe.recipe import SHIPPED, load_recipe


def test_all_three_places_and_broken_files(paths: Paths, tmp_path: Path) -> None:
    paths.recipes.mkdir(parents=True)
    (paths.recipes / "mine.yaml").write_text("title: Mine\nbeta: 0.1\n# needs: a GPU\n")
    local = tmp_path / "work" / "recipes"
    local.mkdir(parents=True)
    (local / "broken.yaml").write_text("a: [1\n")
    catalog = Catalog(paths, tmp_path / "work")
    entries = {entry.name: entry for entry in catalog.entries()}
    assert entries["mine"].origin == "user"
    assert entries["mine"].needs == "a GPU"
    assert entries["mine"].stages == ("dpo",)
    assert "not valid YAML" in entries["broken"].problem
    assert entries["quickstart"].origin == "shipped"
    assert catalog.find("mine") == paths.recipes / "mine.yaml"
    assert catalog.find(str(local / "broken.yaml")) == local / "broken.yaml"
    with pytest.raises(ProblemError, match="no such recipe") as caught:
        catalog.find("nope")
    assert caught.value.exit_code == 2


def test_save_as(paths: Paths, tmp_path: Path) -> None:
    catalog = Catalog(paths, tmp_path)
    text = (SHIPPED / "quickstart.yaml").read_text()
    path = catalog.save_as(text, "copy", source=SHIPPED / "quickstart.yaml")
    assert path.read_text() == text  # shipped data is found from everywhere
    with pytest.raises(ProblemError, match="there is a recipe copy already"):
        catalog.save_as(text, "copy")
    catalog.save_as("title: x\n", "copy", overwrite=True)
    assert path.read_text() == "title: x\n"
    for name in ("", "../x", "a/b", "-x", "x\n"):
        with pytest.raises(ProblemError, match="cannot be a recipe's name"):
            catalog.save_as(text, name.replace("\n", "\n."))


def test_a_copy_still_finds_the_files_of_its_source(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    source = tmp_path / "here.yaml"
    source.write_text("datasets: [{path: json, data_files: rows.jsonl}]\n")
    path = Catalog(paths, tmp_path).save_as(source.read_text(), "there", source=source)
    datasets = load_recipe(path).data["datasets"]
    assert datasets == [{"path": "json", "data_files": str(tmp_path / "rows.jsonl")}]


def test_shipped_recipes_are_never_overwritten(paths: Paths, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="not changed"):
        Catalog(paths, tmp_path).save(SHIPPED / "quickstart.yaml", "title: x\n")
