"""Fitting a config to the machine, and reading the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.worker import machine


def fit(tmp_path: Path, text: str, **machine_has: bool) -> tuple[dict[str, Any], list[str]]:
    config = tmp_path / "dpo.yaml"
    config.write_text("# trl dpo --config dpo.yaml\n" + text)
    notes = machine.fit_config(config, **machine_has)
    assert config.read_text().startswith("# trl dpo")
    return yaml.safe_load(config.read_text()), notes


def test_without_a_gpu_the_config_asks_for_the_cpu(tmp_path: Path) -> None:
    config, notes = fit(tmp_path, "beta: 0.1\n", has_cuda=False)
    assert config == {"beta": 0.1, "use_cpu": True, "bf16": False}
    assert notes == ["dpo.yaml: use_cpu: true, bf16: false, because no GPU is visible."]
    assert fit(tmp_path, yaml.safe_dump(config), has_cuda=False) == (config, [])


def test_what_the_recipe_says_stays(tmp_path: Path) -> None:
    text = "use_cpu: true\nbf16: true\n"
    assert fit(tmp_path, text, has_cuda=False)[0] == {"use_cpu": True, "bf16": True}
    assert fit(tmp_path, "fp16: true\n", has_cuda=True, bf16_works=False)[1] == []


def test_an_old_gpu_gets_no_bf16(tmp_path: Path) -> None:
    assert fit(tmp_path, "beta: 1\n", has_cuda=True, bf16_works=False)[0]["bf16"] is False
    assert fit(tmp_path, "beta: 1\n", has_cuda=True, bf16_works=True)[1] == []


@pytest.mark.parametrize("has_cuda", [True, False])
def test_lora_trains_beside_bf16_weights(has_cuda: bool, tmp_path: Path) -> None:
    config, notes = fit(tmp_path, "use_peft: true\n", has_cuda=has_cuda)
    assert (config["dtype"], config["bf16"]) == ("bfloat16", False)
    assert "dtype: bfloat16" in notes[-1]
    assert "LoRA" in notes[-1]
    assert fit(tmp_path, yaml.safe_dump(config), has_cuda=has_cuda) == (config, [])


@pytest.mark.parametrize(
    "text",
    [
        "use_peft: true\ndtype: float32\n",
        "use_peft: true\nbf16: true\n",
        "use_peft: true\nbf16: false\n",
        "use_peft: true\nfp16: true\n",
        "use_peft: true\nload_in_4bit: true\n",
        "learning_rate: 1.0e-5\n",
    ],
)
def test_a_precision_that_was_chosen_stays(text: str, tmp_path: Path) -> None:
    assert fit(tmp_path, text, has_cuda=True) == (yaml.safe_load(text), [])


def test_a_cpu_without_bf16_keeps_fp32(tmp_path: Path) -> None:
    config, _ = fit(tmp_path, "use_peft: true\n", has_cuda=False, bf16_works=False)
    assert config == {"use_peft": True, "use_cpu": True, "bf16": False}


def test_activations_are_recomputed_only_where_memory_asks_for_it(
    tiny: Path, tmp_path: Path
) -> None:
    text = f"use_peft: true\nbf16: true\nuse_cpu: true\nmodel_name_or_path: {tiny}\n"
    config, notes = fit(tmp_path, text, has_cuda=False, free_bytes=8 * 10**9)
    assert config["gradient_checkpointing"] is False
    assert "the memory suffices" in notes[0]
    assert fit(tmp_path, text, has_cuda=False, free_bytes=10**9)[1] == []
    kept = text + "gradient_checkpointing: true\n"
    assert fit(tmp_path, kept, has_cuda=False, free_bytes=8 * 10**9)[1] == []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"CUDA_VISIBLE_DEVICES": "2,3"}, "2"),
        ({"CUDA_VISIBLE_DEVICES": "5"}, "5"),
        ({"CUDA_VISIBLE_DEVICES": ""}, ""),
        ({"CUDA_VISIBLE_DEVICES": "0,1", "LOCAL_RANK": "1"}, "0,1"),
    ],
)
def test_one_of_several_gpus(environ: dict[str, str], expected: str) -> None:
    note = machine.choose_gpu(environ)
    assert environ["CUDA_VISIBLE_DEVICES"] == expected
    assert bool(note) == (expected == "2")


def test_the_environment_of_the_user_wins() -> None:
    environ = {"HF_HUB_DISABLE_TELEMETRY": "0", "CUDA_VISIBLE_DEVICES": ""}
    machine.prepare_environment(environ)
    assert environ["HF_HUB_DISABLE_TELEMETRY"] == "0"
    assert environ["GOMP_SPINCOUNT"] == "5000"


def test_freed_memory_is_kept_where_the_c_library_can() -> None:
    """In a process of its own: a freed block of 64 MB stays resident with it and not without."""
    script = (
        "import ctypes, sys; from workbench.worker import machine\n"
        "if sys.argv[1] == 'keep' and not machine.keep_freed_memory(): raise SystemExit(7)\n"
        "c = ctypes.CDLL(None); c.malloc.restype = ctypes.c_void_p\n"
        "block = ctypes.c_void_p(c.malloc(64 << 20)); ctypes.memset(block, 1, 64 << 20)\n"
        "c.free(block); print(machine.rss_bytes())"
    )
    found = {}
    for word in ("keep", "usual"):
        command = [sys.executable, "-c", script, word]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 7:
            pytest.skip("this C library has no mallopt")
        found[word] = int(done.stdout)
    assert found["keep"] - found["usual"] > 48 << 20


def test_memory_is_read_in_bytes() -> None:
    assert 10_000_000 < machine.rss_bytes() <= machine.peak_rss_bytes() * 1.01


def test_git_state_of_no_repository(tmp_path: Path) -> None:
    assert machine.git_state(tmp_path) == {}
