"""Which rows the editor's form has, and where they write."""

from __future__ import annotations

from pathlib import Path

import pytest
from tui_fakes import FLAT, RECIPE

from workbench.recipe.recipe import SHIPPED, load_recipe
from workbench.recipe.schema import OWN_KEYS, load_schema
from workbench.recipe.yaml_edit import edit
from workbench.tui.form import OTHERS, SHARED, Setting, added_set, settings
from workbench.tui.typed import from_text

Path_ = tuple[str | int, ...]
PREFS = "[{path: json, data_files: data/prefs.jsonl}]"


def rows_of(text: str) -> dict[Path_, Setting]:
    recipe = load_recipe(Path("recipe.yaml"), text=text)
    return {row.path: row for row in settings(recipe)}


def test_a_staged_recipe_writes_stage_settings_into_their_section() -> None:
    rows = rows_of(RECIPE)
    assert rows["dpo", "beta"].value == 0.1
    assert rows["sft", "learning_rate"].value == 2e-4
    assert rows["dpo", "learning_rate"].shown == "5e-5"
    assert rows["lora_r",].stage == SHARED


def test_a_flat_recipe_writes_everything_at_the_top_and_has_no_other_stage() -> None:
    rows = rows_of(FLAT)
    assert rows["beta",].value == 0.05
    assert ("packing",) not in rows
    assert "SFT" not in {row.section for row in rows.values()}
    assert {row.stage for row in rows.values()} == {SHARED}


@pytest.mark.parametrize("text", [RECIPE, FLAT])
def test_every_setting_of_the_stages_has_a_row(text: str) -> None:
    recipe = load_recipe(Path("recipe.yaml"), text=text)
    shown = {row.key for row in settings(recipe)} | {"datasets"}
    for stage in recipe.stages:
        assert set(load_schema().names(stage)) <= shown
    assert set(OWN_KEYS) <= shown


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.yaml")), ids=lambda file: file.stem)
def test_no_place_has_two_rows(file: Path) -> None:
    paths = [row.path for row in settings(load_recipe(file))]
    assert len(paths) == len(set(paths))


def test_nothing_the_recipe_sets_is_hidden() -> None:
    rows = rows_of(RECIPE.replace("use_peft: true", "use_peft: true\nno_such_key: 2\nbeta: 3"))
    assert (rows["no_such_key",].section, rows["no_such_key",].value) == (OTHERS, 2)
    assert rows["beta",].value == 3


def test_where_one_stage_overrides_each_has_a_row_that_tells_what_it_inherits() -> None:
    text = RECIPE.replace("  beta: 0.1", "  beta: 0.1\n  gradient_accumulation_steps: 8")
    rows = rows_of(text)
    assert rows["gradient_accumulation_steps",].value == 2
    assert rows["dpo", "gradient_accumulation_steps"].value == 8
    inherited = rows["sft", "gradient_accumulation_steps"]
    assert (inherited.value, inherited.effective, inherited.inherited) == (None, 2, True)
    assert inherited.origin.endswith("for all stages")


def test_a_value_tells_its_line() -> None:
    rows = rows_of(RECIPE)
    line = RECIPE.splitlines().index("lora_r: 8") + 1
    assert rows["lora_r",].origin == f"line {line}"
    assert rows["use_dora",].origin == ""


def test_each_loss_type_stands_with_its_stage() -> None:
    rows = rows_of(RECIPE)
    assert (rows["sft", "loss_type"].section, rows["sft", "loss_type"].kind) == ("SFT", "choice")
    assert (rows["dpo", "loss_type"].section, rows["dpo", "loss_type"].kind) == ("DPO", "losses")


def test_each_data_set_of_a_mixture_has_rows_of_its_own() -> None:
    text = RECIPE.replace(PREFS, "[{path: a/b}, {path: c/d, split: test}]")
    rows = rows_of(text)
    assert rows["dpo", "datasets", 1, "path"].shown == "c/d"
    assert rows["dpo", "datasets", 0, "split"].effective == "train"
    row = rows["dpo", "datasets", 1, "split"]
    assert 'split: "train[:5]"' in edit(text, {row.path: from_text(row.type_name, "train[:5]")})
    assert rows["dpo", "datasets", 2].kind == "add"


def test_a_mixture_of_another_form_is_one_text() -> None:
    rows = rows_of(RECIPE.replace(PREFS, "data/prefs.jsonl"))
    assert rows["dpo", "datasets"].shown == "data/prefs.jsonl"


def test_a_second_data_set_keeps_the_one_that_dataset_name_names() -> None:
    text = "dataset_name: mine\ndataset_train_split: long\nbeta: 0.1\n"
    recipe = load_recipe(Path("recipe.yaml"), text=text)
    changed = edit(text, added_set(recipe, ("datasets", 0), {"path": "theirs"}))
    assert load_recipe(Path("recipe.yaml"), text=changed).data == {
        "datasets": [{"path": "mine", "split": "long"}, {"path": "theirs"}],
        "beta": 0.1,
    }


def test_a_search_finds_words_of_name_label_and_help() -> None:
    rows = rows_of(RECIPE)
    assert rows["lora_r",].matches("LORA r")
    assert rows["dpo", "beta"].matches("reference model")
    assert not rows["dpo", "beta"].matches("reference nonsense")
    assert rows["dpo", "beta"].is_named("BETA")
    assert not rows["dpo", "beta"].is_named("reference")


def test_every_shown_text_reads_back_as_its_value() -> None:
    for row in rows_of(RECIPE).values():
        if row.kind not in ("long", "add") and row.value is not None:
            assert from_text(row.type_name, row.shown) == row.value, row.path


def test_launch_keys_stand_once_at_the_top() -> None:
    rows = rows_of(RECIPE.replace("use_peft: true", "use_peft: true\nnum_processes: 2"))
    processes = [row for row in rows.values() if row.section == "Distributed"]
    assert [row.path for row in processes] == [
        *(("num_processes",), ("accelerate_config",), ("num_machines",), ("machine_rank",)),
        *(("main_process_ip",), ("main_process_port",)),
    ]
    assert {row.stage for row in processes} == {SHARED}
    assert rows["num_processes",].value == 2
    assert from_text(rows["num_processes",].type_name, "4") == 4
    assert rows["fsdp_offload_params",].section == OTHERS
    # What has no effect, or cannot be used, is not offered.
    assert not {("quiet",), ("gpu_ids",), ("megatron_lm_tp_degree",)} & rows.keys()


def test_a_launch_config_is_chosen_or_typed() -> None:
    row = rows_of(RECIPE)["accelerate_config",]
    assert (row.kind, row.choices[:2]) == ("choice", ("single_gpu", "multi_gpu"))
    own = rows_of(RECIPE.replace("use_peft: true", "use_peft: true\naccelerate_config: own.yaml"))
    assert (own["accelerate_config",].kind, own["accelerate_config",].shown) == ("text", "own.yaml")


def test_a_launch_key_in_a_section_is_not_hidden() -> None:
    rows = rows_of(RECIPE.replace("dpo:\n", "dpo:\n  num_processes: 2\n"))
    assert rows["dpo", "num_processes"].section == OTHERS
