"""How large a model is, from its config.json and the headers of its safetensors files.

Nothing of the weights is read. Whoever wrote these files is not trusted: what is odd, too large or
cut short tells nothing, and never raises.
"""

from __future__ import annotations

import functools
import json
import math
import os
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.base.tail import open_regular

LLAMA_LIKE = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "smollm3")
SIZE_KEYS = (
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "num_hidden_layers",
    "vocab_size",
)
OTHER_NAMES = {
    "hidden_size": ("n_embd", "d_model", "dim"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads"),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
}
"""What families that are not Llama's call the same sizes."""
LENGTH = struct.Struct("<Q")
"""A safetensors file begins with the length of its JSON header."""
HEADER_LIMIT_BYTES = 100_000_000
FILES_LIMIT = 1000
HEADS = ("lm_head", "embed_out")
EMBEDDING_PARTS = ("embed", "wte", "wpe")
PACKED_TYPES = ("U8", "I8", "I32")
"""Types of weights that were quantized before: their shapes are not those of the layers."""
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Module:
    """The linear modules of a model that have one last name, such as `q_proj`.

    Attributes:
        inputs, outputs: Features of one; where they differ between layers, their means.
        count: How many there are.
    """

    inputs: float
    outputs: float
    count: int


@dataclass(frozen=True)
class Sizes:
    """What an estimate needs to know of a model.

    Attributes:
        hidden, inner: Features of a token between the layers, and inside a layer's MLP.
        query, key_value: Features of all query heads, and of all key heads.
        gated: Whether the MLP multiplies two projections, as that of Llama.
        parameters: Of the whole model.
        modules: The linear modules inside the layers, by last name; the head is none of them.
    """

    hidden: int
    inner: int
    query: int
    key_value: int
    layers: int
    vocabulary: int
    gated: bool
    parameters: int
    modules: Mapping[str, Module]

    @property
    def linear(self) -> int:
        """Parameters of the linear modules: what 4 and 8 bit make small."""
        return int(sum(m.count * m.inputs * m.outputs for m in self.modules.values()))


def sizes_of(config: Mapping[str, Any], folder: Path | None = None) -> Sizes | None:
    """A model's sizes; None where they cannot be told.

    Args:
        config: Its config.json.
        folder: Where its files lie, if they are on this machine: exact counts then, and
            architectures other than Llama's too.
    """
    text = config.get("text_config")
    known = {**config, **text} if isinstance(text, dict) else dict(config)
    for key, others in OTHER_NAMES.items():
        known[key] = next((known[n] for n in (key, *others) if known.get(n)), None)
    if not known["intermediate_size"] and _is_size(known["hidden_size"]):
        known["intermediate_size"] = 4 * known["hidden_size"]
    if not _has_sizes(known):
        return None
    shapes = read_shapes(folder) if folder else None
    modules = _modules(shapes) if shapes else {}
    if shapes and modules:
        tied = bool(known.get("tie_word_embeddings", known.get("model_type") not in LLAMA_LIKE))
        return _sizes(known, _count(shapes, tied), modules)
    layer = module_shapes(known)
    count = int(known["num_hidden_layers"])
    modules = {name: Module(i, o, count) for name, (i, o) in layer.items()}
    return _sizes(known, parameter_count(known), modules) if layer else None


def _sizes(config: Mapping[str, Any], parameters: int, modules: Mapping[str, Module]) -> Sizes:
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    head = int(config.get("head_dim") or max(hidden // heads, 1))
    return Sizes(
        hidden=hidden,
        inner=int(config["intermediate_size"]),
        query=head * heads,
        key_value=head * int(config.get("num_key_value_heads") or heads),
        layers=int(config["num_hidden_layers"]),
        vocabulary=int(config["vocab_size"]),
        gated=any(name.startswith("gate") for name in modules),
        parameters=parameters,
        modules=modules,
    )


def module_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """`(in, out)` features of each linear module of one decoder layer, by its name.

    Empty for architectures whose modules are not those of Llama, and where a size is missing.
    """
    if config.get("model_type") not in LLAMA_LIKE or not _has_sizes(config):
        return {}
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    head = int(config.get("head_dim") or hidden // heads)
    key_value = head * int(config.get("num_key_value_heads") or heads)
    inner = int(config["intermediate_size"])
    return {
        "q_proj": (hidden, head * heads),
        "k_proj": (hidden, key_value),
        "v_proj": (hidden, key_value),
        "o_proj": (head * heads, hidden),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _has_sizes(config: Mapping[str, Any]) -> bool:
    """Whether a config.json, which anybody may have written, tells a model's sizes."""
    sizes = [config.get(key) for key in SIZE_KEYS]
    sizes += [config[key] for key in ("head_dim", "num_key_value_heads") if config.get(key)]
    return all(_is_size(size) for size in sizes)


def parameter_count(config: Mapping[str, Any]) -> int:
    """Parameters of a Llama-like model (biases, which some have, are left out: below 0.1 %)."""
    hidden, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
    layer = sum(i * o for i, o in module_shapes(config).values()) + 2 * hidden
    embeddings = int(config["vocab_size"]) * hidden
    tied = bool(config.get("tie_word_embeddings", False))
    return layers * layer + hidden + embeddings * (1 if tied else 2)


def module_names(folder: Path) -> tuple[str, ...]:
    """Last names of a model's linear modules, as LoRA targets them; empty where not known."""
    return tuple(_modules(read_shapes(folder) or {}))


def read_shapes(folder: Path) -> Shapes | None:
    """The shape of each tensor of a model folder; None without whole safetensors headers."""
    found: dict[str, tuple[int, ...]] = {}
    try:
        files = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("*.safetensors"))
    except OSError:
        return None
    for file in [file for file in files if not file.name.startswith("adapter")][:FILES_LIMIT]:
        try:
            status = file.stat()
        except OSError:
            return None
        header = _header(file, status.st_mtime_ns, status.st_size)
        if header is None:
            return None
        found |= header
    return found or None


@functools.lru_cache(maxsize=256)
def _header(file: Path, changed: int, size: int) -> Shapes | None:
    """The shapes in a file's header; `changed` and `size` tell one version of it from another."""
    try:
        with open_regular(file) as content:
            (length,) = LENGTH.unpack(content.read(LENGTH.size))
            if length > min(HEADER_LIMIT_BYTES, os.fstat(content.fileno()).st_size - LENGTH.size):
                return None
            header = json.loads(content.read(length))
    except (OSError, ValueError, struct.error, RecursionError):
        return None
    if not isinstance(header, dict):
        return None
    header.pop("__metadata__", None)
    shapes = {str(name): _shape(entry) for name, entry in header.items()}
    return None if None in shapes.values() else {n: s for n, s in shapes.items() if s is not None}


def _shape(entry: object) -> tuple[int, ...] | None:
    if not isinstance(entry, dict) or entry.get("dtype") in PACKED_TYPES:
        return None
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(s == 0 or _is_size(s) for s in shape):
        return None
    return tuple(shape)


def _modules(shapes: Shapes) -> dict[str, Module]:
    """The linear modules by last name: matrices called `weight`, but for embeddings and head."""
    inputs: Counter[str] = Counter()
    outputs: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for name, shape in shapes.items():
        parts = name.split(".")
        if len(shape) != 2 or len(parts) < 2 or parts[-1] != "weight" or _is_outer(parts):
            continue
        outputs[parts[-2]] += shape[0]
        inputs[parts[-2]] += shape[1]
        count[parts[-2]] += 1
    return {n: Module(inputs[n] / c, outputs[n] / c, c) for n, c in count.items()}


def _is_outer(parts: list[str]) -> bool:
    """Whether a tensor is an embedding or the head."""
    return parts[-2] in HEADS or any(mark in parts[-2] for mark in EMBEDDING_PARTS)


def _count(shapes: Shapes, tied: bool) -> int:
    """Parameters; a head that is tied to the embedding counts once, a mask is none."""
    total = 0
    for name, shape in shapes.items():
        parts = name.split(".")
        if len(shape) == 4 and parts[-1] == "bias":  # a causal mask that old files hold
            continue
        if not (tied and len(parts) > 1 and parts[-2] in HEADS):
            total += math.prod(shape)
    return total
