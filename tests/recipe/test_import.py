"""Configurations of other trainers become recipes, and nothing of them is lost silently."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from foreign_configs import (
    AUTOTRAIN_DPO,
    AXOLOTL_SFT,
    HANDBOOK,
    LLAMA_FACTORY_DPO,
    OLD_DPO,
    SOURCES,
    Import,
    notes,
)

from workbench.base.problems import ProblemError
from workbench.recipe.checks import check, errors
from workbench.recipe.exchange.importing import KINDS, Imported, import_file
from workbench.recipe.recipe import load_recipe
from workbench.recipe.yaml_file import parse

SHARED = Path(__file__).parents[3] / "shared" / "data" / "configs"


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


def unaccounted(text: str, found: Imported) -> list[tuple[str | int, ...]]:
    """The values of a source of which the report says nothing."""
    told = {entry.path for entry in found.entries}
    return [
        path
        for path in leaves(parse(text, "source").data)
        if not any(path[:count] in told for count in range(1, len(path) + 1))
    ]


@pytest.mark.parametrize("kind", SOURCES)
def test_each_kind_is_recognised_and_every_value_accounted_for(kind: str, bring: Import) -> None:
    found, _ = bring(SOURCES[kind])
    assert found.kind == kind
    assert unaccounted(SOURCES[kind], found) == []
    assert all(entry.where.startswith("source.yaml") for entry in found.entries)
    assert all(entry.note for entry in found.of("dropped", "no equal", "default"))


def test_an_old_file_keeps_its_comments_and_order(bring: Import) -> None:
    found, _ = bring(OLD_DPO)
    assert (
        found.text
        == """\
# source, imported from an older TRL

# Our second try.
model_name_or_path: org/base
dtype: bfloat16      # as on the cluster
use_peft: true
lora_target_modules: [q_proj, v_proj]
dataset_name: org/pairs
learning_rate: 5.0e-6
loss_type: [sigmoid, sft]
eval_strategy: "no"
warmup_steps: 0.1

# the rest
train_sampling_strategy: group_by_length
loss_weights: [1.0, 0.5]

# no equal: learning_rte: Did you mean learning_rate?
# no equal: tools: Put them into a column tools of the data.
"""
    )
    dropped = notes(found, "dropped")
    assert set(dropped) == {
        *("max_prompt_length", "overwrite_output_dir", "use_flash_attention_2", "push_to_hub"),
        *("trust_remote_code", "hub_token", "resume_from_checkpoint"),
    }
    assert "--trust-remote-code" in dropped["trust_remote_code"]
    (entry,) = [entry for entry in found.entries if entry.key == "torch_dtype"]
    assert (entry.where, entry.becomes) == ("source.yaml:3:1", "dtype: bfloat16")


def test_a_file_of_today_stays_as_it_is(bring: Import) -> None:
    text = "# Mine\nmodel_name_or_path: org/base\ndataset_name: org/pairs\nbeta: 0.2  # low\n"
    found, _ = bring(text)
    assert (found.kind, found.text) == ("trl", text)
    assert {entry.outcome for entry in found.entries} == {"same"}


def test_a_staged_recipe_is_read_section_by_section(bring: Import) -> None:
    text = (
        "title: Two\nmodel_name_or_path: org/base\nuse_peft: true\n"
        "sft:\n  dataset_name: org/chats\n  max_seq_length: 64\n"
        "dpo:\n  dataset_name: org/pairs\n  beta: 0.2\n  warmup_ratio: 0.2\n"
    )
    found, _ = bring(text)
    assert found.stages == ("sft", "dpo")
    assert found.text == text.replace("max_seq_length", "max_length").replace(
        "warmup_ratio", "warmup_steps"
    )
    assert unaccounted(text, found) == []


def test_a_value_that_trl_refuses_stays_for_check(bring: Import) -> None:
    found, values = bring(OLD_DPO.replace("rpo_alpha: 0.5", "loss_type: kto_pair"))
    assert values["loss_type"] == "kto_pair"
    assert "there is no kto_pair" in notes(found, "no equal")["loss_type"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("warmup_ratio: 0.0", {}),
        ("warmup_ratio: 0.1\nwarmup_steps: 0", {"warmup_steps": 0.1}),
        ("warmup_ratio: 0.1\nwarmup_steps: 20", {"warmup_steps": 20}),
        ("warmup_steps: 7", {"warmup_steps": 7}),
    ],
)
def test_warmup(lines: str, expected: dict[str, Any], bring: Import) -> None:
    _, values = bring(f"model_name_or_path: org/base\nbeta: 0.1\n{lines}\n")
    assert {k: v for k, v in values.items() if k.startswith("warmup")} == expected


def test_rpo_alpha_joins_the_losses_that_are_there(bring: Import) -> None:
    _, values = bring("model_name_or_path: m\nloss_type: hinge\nrpo_alpha: 2\n")
    assert (values["loss_type"], values["loss_weights"]) == (["hinge", "sft"], [1.0, 2.0])


def test_a_mixer_of_one_whole_data_set_becomes_a_name_and_splits(bring: Import) -> None:
    _, values = bring(HANDBOOK.replace("  org/two: 0.25\n", ""))
    assert {key: value for key, value in values.items() if key.startswith("dataset")} == {
        "dataset_name": "org/one",
        "dataset_train_split": "train_prefs",
        "dataset_test_split": "test_prefs",
    }


def test_a_mixer_of_shares_reads_the_first_rows_of_each_split(bring: Import) -> None:
    found, values = bring(HANDBOOK)
    assert values["datasets"] == [
        {"path": "org/one", "split": "train_prefs"},
        {"path": "org/two", "split": "train_prefs[:25%]"},
    ]
    assert "test_split_size" in notes(found, "no equal")["dataset_splits"]


def test_the_handbook_s_mixture_and_its_sft(bring: Import) -> None:
    text = """\
model_name_or_path: org/base
chat_template: "{{ messages }}"
dataset_mixture:
  datasets:
    - id: org/chats
      config: default
      split: train_sft
      columns: [messages]
      weight: 1.0
      odd: 1
  test_split_size: 100
  seed: 0
max_seq_length: 512
"""
    found, values = bring(text)
    assert found.stages == ("sft",)
    entry = {"path": "org/chats", "name": "default", "split": "train_sft", "columns": ["messages"]}
    assert values["datasets"] == [entry]
    assert (values["test_split_size"], values["packing"]) == (100, False)
    assert set(notes(found, "no equal")) == {"chat_template", "dataset_mixture.datasets[0].odd"}
    assert unaccounted(text, found) == []


def test_axolotl(bring: Import, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"messages": []}\n')
    found, values = bring(AXOLOTL_SFT)
    rows = str(tmp_path / "rows.jsonl")
    expected = {
        "model_name_or_path": "org/base",
        "use_peft": True,
        "load_in_4bit": True,
        "lora_target_modules": "all-linear",
        "datasets": [{"path": "org/chats", "split": "train"}, {"path": "json", "data_files": rows}],
        "test_split_size": 0.05,
        "max_length": 4096,
        "packing": True,
        "eval_strategy": "steps",
        "eval_steps": 0.125,
        "save_strategy": "steps",
        "save_steps": 0.5,
        "attn_implementation": "flash_attention_2",
        "eos_token": "<end>",
        "report_to": ["wandb"],
        "env": {"WANDB_PROJECT": "chats"},
    }
    assert expected.items() <= values.items()
    assert not {"warmup_steps", "bf16", "optim"} & values.keys()
    assert "use_deepspeed: true\ndeepspeed_config_file: zero2.json\n" in found.text
    assert values["lr_scheduler_type"] == "cosine"  # Axolotl's default, not TRL's
    assert set(notes(found, "no equal")) == {
        *("datasets[1].type", "datasets[1].shards", "optimizer", "special_tokens.bos_token"),
        "plugins",
    }


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("rl: ipo", {"loss_type": ["ipo"]}),
        ("rl: dpo\nevals_per_epoch: 0", {"eval_strategy": "no"}),
        ("rl: dpo\nbf16: true", {"bf16": True, "dtype": "bfloat16"}),
        ("rl: dpo\nbf16: full", {"bf16": False, "dtype": "bfloat16"}),
        ("rl: dpo\nadapter: lora\nload_in_4bit: false", {"load_in_4bit": False, "use_peft": True}),
        ("rl: dpo\nlora_r: 8", {}),
        ("rl: dpo\nsaves_per_epoch: 1\nnum_epochs: 1", {"save_strategy": "epoch"}),
        ("rl: dpo\nbatch_size: 32\nmicro_batch_size: 4", {"gradient_accumulation_steps": 8}),
        ("rl: dpo\ncosine_min_lr_ratio: 0.1", {"lr_scheduler_kwargs": {"min_lr_rate": 0.1}}),
        ("rl: dpo\ntrl: {beta: 0.3}", {"beta": 0.3}),
        ("rl: dpo\nwarmup_steps: 0", {"warmup_steps": 0}),
        ("rl: dpo", {"warmup_steps": 0.03}),
    ],
)
def test_axolotl_s_meanings(lines: str, expected: dict[str, Any], bring: Import) -> None:
    _, values = bring(f"base_model: org/base\ndatasets: [{{path: org/pairs}}]\n{lines}\n")
    assert expected.items() <= values.items()
    assert ("lora_r" in values) == ("lora_r" in expected)


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("chatml.intel", "question to prompt"),
        ("chatml.argilla", "chosen_response to chosen"),
        ("chatml.ultra", "columns: [chosen, rejected]"),
        ("chat_template.default", "messages to prompt"),
        ("llama3.icr", "input to prompt"),
        ("something.else", "prompt, chosen and rejected"),
    ],
)
def test_axolotl_s_types_say_how_the_columns_are_called(
    kind: str, hint: str, bring: Import
) -> None:
    found, _ = bring(f"base_model: b\nrl: dpo\ndatasets: [{{path: org/pairs, type: {kind}}}]\n")
    assert hint in notes(found, "no equal")["datasets[0].type"]


def test_llama_factory(bring: Import, tmp_path: Path) -> None:
    columns = {"prompt": "question", "chosen": "chosen", "rejected": "bad"}
    info = {"mine": {"file_name": "pairs.json", "ranking": True, "columns": columns}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    (tmp_path / "pairs.json").write_text("[]")
    found, values = bring(LLAMA_FACTORY_DPO)
    expected = {
        "use_peft": True,
        "lora_r": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.0,
        "lora_target_modules": ["q_proj", "v_proj"],
        "load_in_4bit": True,
        "use_bnb_nested_quant": True,
        "beta": 0.2,
        "loss_type": ["hinge", "sft"],
        "loss_weights": [1.0, 0.3],
        "max_length": 512,
        "warmup_steps": 0.1,
        "test_split_size": 0.1,
        "eval_strategy": "steps",
        "bf16": True,
        "dtype": "bfloat16",
        "datasets": [
            {"path": "json", "data_files": str(tmp_path / "pairs.json"), "split": "train[:100]"},
            {"path": "unknown", "split": "train[:100]"},
        ],
    }
    assert expected.items() <= values.items()
    hints = [entry.note for entry in found.of("no equal") if entry.key == "dataset"]
    assert hints[0].startswith("unknown would be described in dataset_info.json")
    assert hints[1] == "Rename the columns of the data: question to prompt, bad to rejected."


def test_autotrain(bring: Import) -> None:
    found, values = bring(AUTOTRAIN_DPO)
    expected = {
        "dataset_name": "org/pairs",
        "dataset_test_split": "test",
        "eval_strategy": "epoch",
        "max_length": 512,
        "load_in_8bit": True,
        "beta": 0.2,
        "report_to": "wandb",
        "bf16": True,
        "dtype": "bfloat16",
        "num_train_epochs": 2,
        "gradient_accumulation_steps": 4,
        "warmup_steps": 0.1,
        "lora_target_modules": "all-linear",
    }
    assert expected.items() <= values.items()
    assert notes(found, "no equal").keys() == {
        *("data.chat_template", "data.column_mapping.text_column", "params.odd_one"),
    }
    assert "HF_TOKEN" in notes(found, "dropped")["hub.token"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("base_model: b\nrl: orpo\n", "source.yaml:2:1: rl: orpo is neither DPO nor SFT"),
        ("base_model: b\nadapter: ia3\n", "source.yaml:2:1: adapter: ia3 is not LoRA"),
        ("base_model: b\npretraining_dataset: [{path: d}]\n", "source.yaml:2:1: pretraining"),
        ("stage: kto\n", "source.yaml:1:1: stage: kto"),
        ("stage: sft\nfinetuning_type: freeze\n", "source.yaml:2:1: finetuning_type: freeze"),
        ("stage: dpo\npref_loss: simpo\n", "source.yaml:2:1: pref_loss: simpo"),
        ("task: llm-orpo\nbase_model: b\n", "source.yaml:1:1: task: llm-orpo"),
        ("model_name_or_path: b\nnum_generations: 4\n", "source.yaml:2:1: num_generations"),
        ("services: {web: 1}\n", "source.yaml: the file has no setting of a trainer"),
        ("beta: [\n", "source.yaml:2:1: this is not valid YAML"),
    ],
)
def test_what_cannot_be_imported_is_one_error(text: str, what: str, bring: Import) -> None:
    with pytest.raises(ProblemError) as caught:
        bring(text)
    (problem,) = caught.value.problems
    assert str(problem).startswith(what)
    assert caught.value.exit_code == 1
    assert problem.next_step


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_can_be_forced_on_any_file(kind: str, bring: Import) -> None:
    text = "model_name_or_path: org/base\nbase_model: org/base\ntask: llm-dpo\nbeta: 0.1\n"
    found, _ = bring(text, kind=kind)
    assert found.kind == kind
    assert unaccounted(text, found) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", SOURCES.values(), ids=SOURCES)
def test_values_of_any_type_end_in_a_report_or_an_error(
    kind: str, text: str, bring: Import
) -> None:
    data = parse(text, "x").data
    for odd in ("[]", "{a: {b: [1, {c: 2}]}}", "text", "-3.5", "true", "[x, {y: 1}]"):
        odd_text = "".join(f"{key}: {odd}\n" for key in data)
        try:
            found, _ = bring(odd_text, kind=kind)
        except ProblemError:
            continue
        assert unaccounted(odd_text, found) == []


def test_relative_files_are_found_from_the_new_place(bring: Import, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "pairs").mkdir()
    _, values = bring("model_name_or_path: model\ndataset_name: ./pairs\nwarmup_ratio: 0.1\n")
    assert values["model_name_or_path"] == str(tmp_path / "model")
    assert values["dataset_name"] == str(tmp_path / "pairs")


def test_configs_that_people_have(tmp_path: Path) -> None:
    files = sorted(SHARED.glob("*.yaml"))
    if not files:
        pytest.skip(f"no configurations in {SHARED}")
    for file in files:
        found = import_file(file)
        assert unaccounted(file.read_text(encoding="utf-8"), found) == [], file
        recipe = load_recipe(tmp_path / "new.yaml", text=found.text)
        assert recipe.stages == found.stages
        assert errors(check(recipe)) == [], file
