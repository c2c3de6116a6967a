"""Which rows the editor's form has, where they write, and how typed text becomes values."""

from __future__ import annotations

from pathlib import Path

import pytest
from tui_fakes import FLAT, RECIPE

from workbench.recipe.recipe import load_recipe
from workbench.recipe.yaml_edit import REMOVE, edit
from workbench.tui.form import SHARED, Setting, from_text, settings, to_text


def rows_of(text: str) -> dict[tuple[tuple[str, ...], str], Setting]:
    recipe = load_recipe(Path("recipe.yaml"), text=text)
    return {(row.path, row.section): row for row in settings(recipe)}


def test_a_staged_recipe_writes_stage_settings_into_their_section() -> None:
    rows = rows_of(RECIPE)
    assert rows[("dpo", "beta"), "DPO"].value == 0.1
    assert rows[("sft", "learning_rate"), "SFT"].value == 2e-4
    assert rows[("dpo", "learning_rate"), "DPO"].shown == "5e-5"
    assert rows[("lora_r",), "LoRA"].stage == SHARED


def test_a_flat_recipe_writes_everything_at_the_top_and_has_no_other_stage() -> None:
    rows = rows_of(FLAT)
    assert rows[("beta",), "DPO"].value == 0.05
    assert not [key for key in rows if key[1] == "SFT"]
    assert all(len(path) == 1 for path, _ in rows)
    assert {row.stage for row in rows.values()} == {SHARED}


def test_nothing_the_recipe_sets_is_hidden() -> None:
    rows = rows_of(RECIPE.replace("use_peft: true", "use_peft: true\ndataloader_num_workers: 2"))
    assert rows[("dataloader_num_workers",), "More from the file"].value == 2


def test_a_shared_setting_that_a_stage_overrides_has_a_row_of_its_own() -> None:
    text = RECIPE.replace("  beta: 0.1", "  beta: 0.1\n  gradient_accumulation_steps: 8")
    rows = rows_of(text)
    assert rows[("gradient_accumulation_steps",), "Training"].value == 2
    assert rows[("dpo", "gradient_accumulation_steps"), "Training"].value == 8


def test_the_data_file_of_each_stage_is_a_plain_text() -> None:
    row = rows_of(RECIPE)[("dpo", "datasets"), "Data"]
    assert row.shown == "data/prefs.jsonl"
    text = edit(RECIPE, {row.path: from_text(row, "data/other.jsonl")})
    assert "datasets: [{path: json, data_files: data/other.jsonl}]" in text


def test_a_mixture_of_data_sets_stays_in_the_file() -> None:
    text = RECIPE.replace(
        "[{path: json, data_files: data/prefs.jsonl}]", "[{path: a/b}, {path: c/d}]"
    )
    assert rows_of(text)[("dpo", "datasets"), "Data"].fixed


@pytest.mark.parametrize(
    ("key", "typed", "value"),
    [
        (("lora_r",), "16", 16),
        (("dpo", "learning_rate"), "3e-5", 3e-5),
        (("dpo", "beta"), "a lot", "a lot"),
        (("dpo", "beta"), "  ", REMOVE),
        (("lora_target_modules",), "[q_proj, k_proj]", ["q_proj", "k_proj"]),
        (("lora_target_modules",), "q_proj", ["q_proj"]),
        (("title",), "12", "12"),
    ],
)
def test_typed_text_becomes_a_value_of_the_settings_type(
    key: tuple[str, ...], typed: str, value: object
) -> None:
    row = next(row for (path, _), row in rows_of(RECIPE).items() if path == key)
    result = from_text(row, typed)
    assert result is value if value is REMOVE else result == value


def test_every_shown_text_reads_back_as_its_value() -> None:
    for row in rows_of(RECIPE).values():
        if row.kind == "text" and row.value is not None and row.type_name != "data_file":
            assert from_text(row, row.shown) == row.value, row.path


def test_values_as_text() -> None:
    assert to_text(["a", "b"]) == "a, b"
    shown = [
        to_text(value) for value in (5e-05, 2e-4, 1.23456e-5, 0.1, 3.0, 1e-3, 0.30000000000000004)
    ]
    assert shown == ["5e-5", "2e-4", "1.23456e-5", "0.1", "3", "0.001", "0.30000000000000004"]
    assert to_text(None) == ""
