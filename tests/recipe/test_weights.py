"""A model's sizes from safetensors headers, which anybody may have written."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from workbench.recipe import weights
from workbench.recipe.weights import module_names, read_shapes, sizes_of

GPT2 = {
    "model_type": "gpt2",
    "n_embd": 8,
    "n_layer": 2,
    "n_head": 2,
    "vocab_size": 50,
    "n_positions": 16,
}


def write_header(file: Path, header: Any, *, length: int | None = None) -> None:
    """A safetensors file that is all header."""
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text)


def gpt2_tensors() -> dict[str, Any]:
    """Two layers as GPT-2 names them."""
    shapes: dict[str, list[int]] = {"wte.weight": [50, 8], "wpe.weight": [16, 8]}
    for layer in range(2):
        shapes |= {
            f"h.{layer}.attn.c_attn.weight": [8, 24],
            f"h.{layer}.attn.c_attn.bias": [24],
            f"h.{layer}.attn.bias": [1, 1, 16, 16],
            f"h.{layer}.mlp.c_fc.weight": [8, 32],
            f"h.{layer}.ln_1.weight": [8],
        }
    return {name: {"dtype": "F32", "shape": shape} for name, shape in shapes.items()}


def test_another_architecture_is_counted_by_its_headers(tmp_path: Path) -> None:
    write_header(tmp_path / "model.safetensors", {"__metadata__": {}, **gpt2_tensors()})
    assert module_names(tmp_path) == ("c_attn", "c_fc")
    sizes = sizes_of(GPT2, tmp_path)
    assert sizes is not None
    # A causal mask that old files hold is no parameter.
    assert sizes.parameters == 50 * 8 + 16 * 8 + 2 * (8 * 24 + 24 + 8 * 32 + 8)
    assert sizes.linear == 2 * (8 * 24 + 8 * 32)
    assert (sizes.hidden, sizes.inner, sizes.layers, sizes.gated) == (8, 32, 2, False)
    assert sizes_of(GPT2) is None  # its config.json alone tells no modules


def test_parts_of_a_model_are_added_and_a_tied_head_counts_once(tmp_path: Path) -> None:
    tensors = {
        "model.embed_tokens.weight": {"dtype": "BF16", "shape": [50, 8]},
        "lm_head.weight": {"dtype": "BF16", "shape": [50, 8]},
    }
    write_header(tmp_path / "model-00001-of-00002.safetensors", tensors)
    write_header(
        tmp_path / "model-00002-of-00002.safetensors",
        {"model.layers.0.self_attn.q_proj.weight": {"dtype": "BF16", "shape": [8, 8]}},
    )
    tied = {**GPT2, "tie_word_embeddings": True}
    sizes = [sizes_of({**tied, "tie_word_embeddings": tie}, tmp_path) for tie in (True, False)]
    assert [found.parameters for found in sizes if found] == [464, 864]
    assert module_names(tmp_path) == ("q_proj",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01\x02",
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 200_000_000) + b"{}",
        struct.pack("<Q", 10) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 4) + b"{\xff\xff}",
        struct.pack("<Q", 12) + b'{"a": "text"}'[:12],
        struct.pack("<Q", 60_000) + b"[" * 60_000,
    ],
)
def test_a_bad_header_tells_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert read_shapes(tmp_path) is None
    assert module_names(tmp_path) == ()


def test_a_huge_header_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_header(tmp_path / "model.safetensors", gpt2_tensors())
    monkeypatch.setattr(weights, "HEADER_LIMIT_BYTES", 100)
    assert read_shapes(tmp_path) is None


@pytest.mark.parametrize("shape", ["many", None, [-1, 2], [1.5], [True], {"a": 1}])
def test_an_odd_shape_tells_nothing(shape: object, tmp_path: Path) -> None:
    write_header(tmp_path / "model.safetensors", {"a.b.weight": {"dtype": "F32", "shape": shape}})
    assert read_shapes(tmp_path) is None


def test_quantized_tensors_have_no_shapes_of_layers(tmp_path: Path) -> None:
    write_header(tmp_path / "model.safetensors", {"a.b.weight": {"dtype": "U8", "shape": [512, 1]}})
    assert read_shapes(tmp_path) is None


def test_a_pickled_model_and_missing_sizes(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    assert read_shapes(tmp_path) is None
    write_header(tmp_path / "model.safetensors", gpt2_tensors())
    assert sizes_of({"model_type": "gpt2", "n_embd": 8}, tmp_path) is None


def test_a_file_that_changes_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    write_header(file, gpt2_tensors())
    assert module_names(tmp_path) == ("c_attn", "c_fc")
    write_header(file, {"a.other.weight": {"dtype": "F32", "shape": [2, 2]}})
    assert module_names(tmp_path) == ("other",)
