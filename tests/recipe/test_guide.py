"""The guide to the settings: complete, short, and in keeping with what the checks say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workbench.recipe.check_values import check_value
from workbench.recipe.guide import CHOICES, GUIDES, LOSSES, SECTIONS, Guide
from workbench.recipe.recipe import load_recipe
from workbench.recipe.rules import check_rules
from workbench.recipe.schema import OWN_KEYS, STAGES, load_schema

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
LONGEST_LABEL = 26
LONGEST_EFFECT = 220
LONGEST_LOSS = 60
LONGEST_CHOICE = 50


def usual_numbers(guide: Guide, stage: str) -> list[float]:
    """The numbers of a range such as "unset, or 8 to 64"; none of words like "1 for robust"."""
    text = guide.usual_in(stage).removeprefix("unset, or ")
    if not re.fullmatch(rf"{NUMBER.pattern}(?:(?:,? or| to) {NUMBER.pattern})*", text):
        return []
    return [float(number) for number in NUMBER.findall(text)]


def test_every_setting_exists() -> None:
    known = {*load_schema().names(), *OWN_KEYS, *load_schema().launch}
    assert [key for key in GUIDES if key not in known] == []
    assert OWN_KEYS.keys() <= GUIDES.keys()


def test_every_section_is_used_in_the_order_of_the_form() -> None:
    used = [guide.section for guide in GUIDES.values()]
    assert list(dict.fromkeys(used)) == list(SECTIONS)
    assert used == sorted(used, key=SECTIONS.index)


@pytest.mark.parametrize("stage", STAGES)
def test_the_section_of_a_stage_holds_nothing_that_it_does_not_know(stage: str) -> None:
    schema = load_schema()
    keys = [key for key, guide in GUIDES.items() if guide.section == stage.upper()]
    assert [key for key in keys if schema.field(key, stage) is None] == []
    others = [key for key in keys if key != "loss_type" and len(schema.field(key).stages) > 1]
    assert others == []


def test_labels_are_short_and_unlike() -> None:
    labels = [(guide.section, guide.label) for guide in GUIDES.values()]
    assert len(set(labels)) == len(labels)
    assert [label for _, label in labels if not 0 < len(label) <= LONGEST_LABEL] == []


@pytest.mark.parametrize("key", GUIDES)
def test_effects_are_sentences_of_their_own(key: str) -> None:
    effect = GUIDES[key].effect
    assert effect.endswith(".")
    assert len(effect) <= LONGEST_EFFECT
    assert effect not in (OWN_KEYS.get(key), getattr(load_schema().field(key), "help", None))


def test_usual_values_are_told_by_stage() -> None:
    assert GUIDES["learning_rate"].usual_in("sft") == "1e-4 to 5e-4"
    assert GUIDES["learning_rate"].usual_in("dpo") == "5e-6 to 5e-5"
    assert GUIDES["lora_r"].usual_in("sft") == GUIDES["lora_r"].usual_in("dpo") == "8 to 64"
    stages = [set(guide.usual) for guide in GUIDES.values() if isinstance(guide.usual, dict)]
    assert stages
    assert all(names <= set(STAGES) for names in stages)


@pytest.mark.parametrize("stage", STAGES)
def test_usual_numbers_pass_the_checks(stage: str) -> None:
    checked = 0
    for key, guide in GUIDES.items():
        field = load_schema().field(key, stage)
        for number in usual_numbers(guide, stage) if field else []:
            value = int(number) if number.is_integer() else number
            assert list(check_value(key, value, field, "")) == []
            checked += 1
    assert checked > 40


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("end", [0, -1])
def test_usual_numbers_break_no_rule(stage: str, end: int, tmp_path: Path) -> None:
    """All lower ends together, and all upper ends, make a recipe without a warning."""
    named = ("learning_rate", "lora_r", "warmup_steps", "save_steps", "logging_steps", "eval_steps")
    numbers = {key: usual_numbers(GUIDES[key], stage)[end] for key in named}
    lines = [f"{key}: {number:g}" for key, number in numbers.items()]
    data = "datasets: [{path: json, data_files: a.jsonl}]\ntest_split_size: 0.1\n"
    head = f"model_name_or_path: org/model\nuse_peft: true\neval_strategy: steps\n{data}"
    ratio = (1, 2)[end]
    lines.append(f"lora_alpha: {ratio * numbers['lora_r']:g}")
    file = tmp_path / "usual.yaml"
    file.write_text(head + "\n".join(lines) + f"\n{stage}: {{}}\n", encoding="utf-8")
    assert list(check_rules(load_recipe(file), stage, tmp_path)) == []


def test_every_loss_is_told() -> None:
    field = load_schema().field("loss_type", "dpo")
    assert field is not None
    assert tuple(LOSSES) == field.choices
    assert [text for text in LOSSES.values() if len(text) > LONGEST_LOSS] == []


@pytest.mark.parametrize("key", CHOICES)
def test_choices_exist_and_are_short(key: str) -> None:
    fields = [load_schema().field(key, stage) for stage in STAGES]
    known = {choice for field in fields if field for choice in field.choices}
    if known:
        assert CHOICES[key].keys() <= known
    longest = LONGEST_LOSS if key == "loss_type" else LONGEST_CHOICE
    assert [text for text in CHOICES[key].values() if not 0 < len(text) <= longest] == []
    assert key in GUIDES
